#!/bin/bash
#
# run.sh [TARGET...]
#	Run the fuzz targets test/fuzz/NAME_fuzz.c, sanitized, and report in TAP:
#	first a fixed number of mutants of the seeds, the same every time; then, if
#	FUZZ_SECONDS is set, libFuzzer for so many seconds each.
#
# Seeds are test/fuzz/corpus, models and, where there are some, the small models
# of PG_RISK_DATA.  An input that breaks a target is kept in build/fuzz; see it
# again with build/fuzz/NAME_mutants --replay FILE.
#
# Environment:
#	FUZZ_INPUTS		mutants of each target (50000)
#	FUZZ_SEED		of the mutants (1)
#	FUZZ_SECONDS	of libFuzzer for each target (none)
#	SANITIZER_CC	compiler of the mutants' programs (clang, else CC)
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

inputs=${FUZZ_INPUTS:-50000}
seconds=${FUZZ_SECONDS:-}
targets=${*:-$(basename -as _fuzz.c test/fuzz/*_fuzz.c)}
number=0 broken=0

# Report one test: whether it held, its name, and what a failed one said.
report()
{
	number=$((number + 1))
	[ "$1" = ok ] || broken=$((broken + 1))
	echo "$1 $number - $2"
	[ "$1" = ok ] || grep -vE '^(#[0-9]+|(not )?ok) ' "$log" | tail -n 40 | sed 's/^#* */# /'
}

# The files that inputs are made from.
seeds()
{
	ls test/fuzz/corpus/* models/*.json models/*.ubj 2>/dev/null
	[ -z "${PG_RISK_DATA:-}" ] ||
		find "$PG_RISK_DATA/models/generated" \( -name '*.json' -o -name '*.ubj' \) \
			! -name '*.expect.json' -size -64k 2>/dev/null | sort
}

# Fixed mutants of one target: each line of its report, renumbered.
run_mutants()
{
	local name=$1 status=0 line

	log=build/fuzz/$name-mutants.log
	seeds | xargs -d '\n' -s 1000000 "build/fuzz/${name}_mutants" --inputs="$inputs" \
		--seed="${FUZZ_SEED:-1}" --keep="build/fuzz/$name" >"$log" 2>&1 || status=$?
	while read -r line; do
		report "${line%% [0-9]*}" "$name: ${line#* - }"
	done < <(grep -E '^(not )?ok [0-9]+ - ' "$log")
	[ $status -eq 0 ] || grep -q '^not ok' "$log" ||
		report "not ok" "$name: ended with status $status"
}

# libFuzzer on one target.
run_libfuzzer()
{
	local name=$1 status=0 runs

	log=build/fuzz/$name-libfuzzer.log
	mkdir -p "build/fuzz/found/$name" "build/fuzz/seeds/$name"
	seeds | xargs -d '\n' -s 1000000 "build/fuzz/${name}_mutants" --seeds="build/fuzz/seeds/$name"
	"build/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1500 \
		-max_len=65536 -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
		"build/fuzz/found/$name" "build/fuzz/seeds/$name" >"$log" 2>&1 </dev/null || status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	if [ $status -eq 0 ]; then
		report ok "$name: libFuzzer, $runs inputs in $seconds s"
	else
		report "not ok" "$name: libFuzzer"
	fi
}

if ! echo 'int main(void) { return 0; }' |
	"${SANITIZER_CC:-$(command -v clang || echo "${CC:-cc}")}" -fsanitize=address,undefined \
		-x c -o /dev/null - 2>/dev/null; then
	echo "1..0 # SKIP the compiler has no sanitizers"
	exit 0
fi
make --no-print-directory -s fuzz-mutants || exit 1
for name in $targets; do
	run_mutants "$name"
done
if [ -n "$seconds" ]; then
	make --no-print-directory -s fuzz-targets || exit 1
	for name in $targets; do
		run_libfuzzer "$name"
	done
fi
echo "1..$number"
[ $broken -eq 0 ]
