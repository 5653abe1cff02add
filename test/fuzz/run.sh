#!/bin/bash
#
# run.sh [TARGET...]
#	Run the fuzz targets test/fuzz/NAME_fuzz.c (libFuzzer, sanitized), each for
#	FUZZ_SECONDS, and report in TAP.  Inputs start from test/fuzz/corpus/NAME
#	where there is one; an input that breaks a target is kept in build/fuzz.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

seconds=${FUZZ_SECONDS:-5}
targets=${*:-$(basename -as _fuzz.c $(compgen -G 'test/fuzz/*_fuzz.c'))}
if [ -z "$targets" ]; then
	echo "1..0 # SKIP no fuzz targets"
	exit 0
fi
if ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
	clang -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null; then
	echo "1..0 # SKIP clang with libFuzzer is not installed"
	exit 0
fi
make --no-print-directory -s fuzz-targets || exit 1

number=0 broken=0
for name in $targets; do
	number=$((number + 1))
	new=build/fuzz/new/$name
	log=build/fuzz/$name.log
	mkdir -p "$new"
	if build/fuzz/${name}_fuzz -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 \
		-print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
		"$new" $(compgen -G "test/fuzz/corpus/$name") >"$log" 2>&1 </dev/null; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "ok $number - $name: $runs inputs in $seconds s"
	else
		broken=$((broken + 1))
		echo "not ok $number - $name"
		grep -vE '^#[0-9]+' "$log" | tail -n 40 | sed 's/^/# /'
	fi
done
echo "1..$number"
[ $broken -eq 0 ]
