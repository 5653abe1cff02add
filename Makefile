# pg_risk: built and installed by PGXS.  `make help` lists the targets.
#
# Three things are built: the extension (src/server and the pure cores), the
# importer program pg_risk_xgboost (src/import and the forest; nothing else
# links libxgboost) and, on demand, the pure cores' tests under build/.

# Knobs: which PostgreSQL; WERROR=yes makes warnings errors; the compiler of
# the sanitized tests; seconds that each fuzz target runs.
PG_CONFIG ?= pg_config
WERROR ?=
SANITIZER_CC ?= $(shell command -v clang || echo $(CC))
FUZZ_SECONDS ?= 60

# `make demo DATA=...` names a file of transactions; PGXS means install
# scripts by the same word.
demo_data := $(if $(filter command line,$(origin DATA)),$(DATA))

EXTENSION = control/pg_risk
MODULE_big = pg_risk
version := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" control/pg_risk.control)

# The install script of this version is the files of control/install, one a
# noun, in the order of their names.
install_script = control/pg_risk--$(version).sql
override DATA = $(sort $(filter-out $(install_script),$(wildcard control/pg_risk--*.sql)))
DATA_built = $(install_script)

core_sources = $(sort $(foreach core,forest rolling measure,$(wildcard src/$(core)/*.c)))
server_sources = $(sort $(wildcard src/server/*.c))
import_sources = $(sort $(wildcard src/import/*.c))
headers = $(wildcard src/*/*.h)

core_objects = $(core_sources:.c=.o)
OBJS = $(core_objects) $(server_sources:.c=.o)
importer = $(if $(import_sources),pg_risk_xgboost)
SCRIPTS_built = $(importer)
EXTRA_CLEAN = build tmp_check output_iso log

# Every score must have libxgboost's bits: no contraction into fused
# multiply-add, where that is a compiler's default.
language = -std=gnu11 -ffp-contract=off
warnings = -Wall -Wextra $(if $(WERROR),-Werror)
PG_CPPFLAGS = -Isrc -DPG_RISK_VERSION='"$(version)"'
PG_CFLAGS = $(language) $(warnings) -Wno-unused-parameter -Wno-sign-compare
# What the library calls of its own is not looked up: 16 hides the names, 15 does not.
SHLIB_LINK = -lm -Wl,-Bsymbolic

# PostgreSQL's flags are those of the compiler that built it, mostly gcc.
ifneq ($(findstring clang,$(CC)),)
PG_CFLAGS += -Wno-ignored-optimization-argument -Wno-unknown-warning-option -Wno-ignored-attributes
endif

# JIT cannot inline calls into this extension; its bitcode would need clang.
override with_llvm = no

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test
TAP_TESTS = $(if $(wildcard test/t/*.pl),1)
PROVE_TESTS ?= test/t/*.pl

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
else
all install uninstall installcheck clean:
	@echo "$(PG_CONFIG) was not found: run scripts/setup.sh, or set PG_CONFIG" >&2; exit 1
endif

$(install_script): $(sort $(wildcard control/install/*.sql)) Makefile
	@cat $(filter %.sql,$^) >$@

# The pure cores are C11 and in the inner loop of every score.
$(core_objects): CFLAGS += -O3 -Wsign-compare -Wno-declaration-after-statement
$(OBJS): $(headers) Makefile

# --- The importer -----------------------------------------------------------

import_objects = $(patsubst %.c,build/%.o,$(import_sources) $(filter src/forest/%,$(core_sources)))

pg_risk_xgboost: $(import_objects)
	$(CC) $(LDFLAGS) -o $@ $^ -lxgboost -lm

# It reads strangers' files, so it is hardened as PostgreSQL's packages are.
harden = -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2

build/src/%.o: optimize = -O3
build/src/import/%.o: optimize = -O2
build/src/%.o: src/%.c $(headers) Makefile
	@mkdir -p $(@D)
	$(CC) $(language) $(optimize) -g $(harden) $(warnings) -Isrc -c -o $@ $<

# --- Tests and benchmarks of the pure cores ---------------------------------
# NAME_test.c and NAME_bench.c are one program each, NAME_fuzz.c is two: one of
# fixed mutants and one for libFuzzer (test/fuzz/fuzz.h).  Tests are linked with
# the sanitized cores; those of the importer (import_*) also with all of it but
# its main; fuzz targets with what of it does without libxgboost.

test_includes = -Isrc -Isrc/forest -Isrc/rolling -Isrc/measure -Itest/unit
sanitize = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
core_library = $(patsubst %.c,build/$1/%.o,$(core_sources))
import_library = $(patsubst %.c,build/$1/%.o,$(filter-out %/main.c,$(import_sources)))

unit_tests = $(patsubst test/unit/%.c,build/unit/%,$(sort $(wildcard test/unit/*_test.c)))
fuzz_targets = $(patsubst test/fuzz/%.c,build/fuzz/%,$(sort $(wildcard test/fuzz/*_fuzz.c)))
fuzz_mutants = $(fuzz_targets:%_fuzz=%_mutants)
fuzz_sources = $(filter-out $(patsubst %,src/import/%.c,main confine library certify predict),$(import_sources)) \
	$(filter-out %_fuzz.c %/driver.c %/libfuzzer.c,$(wildcard test/fuzz/*.c))
fuzz_library = $(call core_library,$1) $(patsubst %.c,build/$1/%.o,$(fuzz_sources))
fuzz_wrap = $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc realloc free _exit \
	region_get region_get_zero region_get_string)
comma = ,
benchmarks = $(patsubst test/bench/%.c,build/bench/%,$(sort $(wildcard test/bench/*_bench.c)))

unit-tests: $(unit_tests)
fuzz-targets: $(fuzz_targets)
fuzz-mutants: $(fuzz_mutants)
benchmarks: $(benchmarks)

$(filter build/unit/import_%,$(unit_tests)): $(call import_library,unit)
build/unit/import_%: libraries = -lxgboost

build/unit/%_test: build/unit/test/unit/%_test.o $(call core_library,unit)
	$(SANITIZER_CC) $(sanitize) -o $@ $^ $(libraries) -lm

build/fuzz/%_mutants: build/unit/test/fuzz/%_fuzz.o build/unit/test/fuzz/driver.o $(call fuzz_library,unit)
	@mkdir -p $(@D)
	$(SANITIZER_CC) $(sanitize) $(fuzz_wrap) -o $@ $^ -lm

build/fuzz/%_fuzz: build/fuzz/test/fuzz/%_fuzz.o build/fuzz/test/fuzz/libfuzzer.o $(call fuzz_library,fuzz)
	clang $(sanitize) -fsanitize=fuzzer $(fuzz_wrap) -o $@ $^ -lm

build/bench/%_bench: test/bench/%_bench.c $(patsubst %.c,build/%.o,$(core_sources)) $(headers) $(wildcard test/bench/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(language) -O2 -g $(warnings) $(test_includes) -o $@ $(filter %.c %.o,$^) -lxgboost -lm

test_headers = $(wildcard test/unit/*.h test/fuzz/*.h)

build/unit/%.o: %.c $(headers) $(test_headers) Makefile
	@mkdir -p $(@D)
	$(SANITIZER_CC) $(language) $(sanitize) $(warnings) $(test_includes) -c -o $@ $<

build/fuzz/%.o: %.c $(headers) $(test_headers) Makefile
	@mkdir -p $(@D)
	clang $(language) $(sanitize) -fsanitize=fuzzer-no-link $(warnings) $(test_includes) -c -o $@ $<

# What is made on the way is kept.
.PRECIOUS: build/src/%.o build/unit/%.o build/fuzz/%.o

# --- Everything else is a script --------------------------------------------

demo:		## set up, build, install; then a guided tour (DATA=file.csv: your transactions)
	@scripts/build.sh demo
	@scripts/demo.sh $(demo_data)

test:		## set up, build, install; then every test (SUITES="unit regress ...", PROVE_TESTS=...)
	@test/run.sh

unit:		## the pure cores' unit tests alone, sanitized
	@SUITES=unit test/run.sh

matrix:		## the tests in Debian 12, 13 and testing: PostgreSQL 15, 17, 18 (root)
	@test/matrix/run.sh

bench:		## set up, build, install; then measure (PARTS=..., KINDS=all, REPORT=docs/performance.md)
	@scripts/build.sh bench
	@test/bench/run.sh

fuzz:		## fuzz the pure cores and the importer's parsers (FUZZ_SECONDS=60 each)
	@scripts/setup.sh test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz/run.sh

help:		## this list
	@echo "make		build the extension and the importer"
	@echo "make install	install them into the server of PG_CONFIG"
	@sed -n 's/^\([a-z]*\):\t*## /make \1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

.PHONY: all install uninstall installcheck clean unit-tests fuzz-targets fuzz-mutants benchmarks \
	demo test unit matrix bench fuzz help
