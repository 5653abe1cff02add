#!/bin/bash
#
# run.sh
#	Set up, build, install, and run every test suite against throwaway
#	servers.  A line for each suite; only failures are shown in full.  The last
#	line is always "N passed, M failed, K skipped".
#
# Suites, in this order; one without files is left out:
#	unit		test/unit/*_test.c, sanitized, without a server
#	fuzz		test/fuzz/*_fuzz.c, some seconds each
#	regress		sql/*.sql with expected/*.out
#	isolation	test/specs/*.spec with test/expected/*.out
#	tap			test/t/*.pl
#	models		test/models.sh
#
# Environment:
#	SUITES			only these
#	PROVE_TESTS		only these TAP tests (test/t/010_x.pl ...)
#	PG_CONFIG		which PostgreSQL
#	PG_RISK_DATA	folder of real-world models and transactions; without it
#					../shared/data is used if there; tests that need it are
#					skipped where it is not
#	PG_RISK_LONG	1: tests that go on for longer where more is seen by that
#	PG_RISK_SETUP	no: install no packages
#
# PostgreSQL does not run as root: root's tests run as the user postgres.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

suites=${SUITES:-unit fuzz regress isolation tap models}
pg_config=${PG_CONFIG:-pg_config}
limit=$([ -n "${PG_RISK_LONG:-}" ] && echo 7200 || echo 1200)	# seconds that one test program may take
passed=0 failed=0 skipped=0

# Report the sum and leave; the work folder stays if something failed.
finish()
{
	trap - EXIT
	if [ -n "${work:-}" ]; then
		if [ $failed -eq 0 ]; then
			rm -rf "$work"
		else
			echo "logs are in $work"
		fi
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
	exit
}

# --- Where the tests run, and as whom ---------------------------------------

# Run a command as the user that tests run as, in the copy of the tree.
as_tester()
{
	local runner=()

	[ "$(id -u)" -ne 0 ] ||
		runner=(setpriv --reuid=postgres --regid=postgres --init-groups)
	(cd "$work/tree" && exec "${runner[@]}" env HOME="$work" TMPDIR="$work/tmp" \
		PATH="$bindir:$PATH" PG_CONFIG="$pg_config" PG_RISK_DATA="$data" \
		timeout --foreground --kill-after=20 "$limit" "$@")
}

# Copy the tree, less what the build made but for objects, to a folder of the tester's own.
prepare()
{
	work=$(mktemp -d /var/tmp/pg_risk-test.XXXXXX) || return
	mkdir -p "$work/tree/build" "$work/tmp" "$work/log"
	tar -c --exclude=./.git --exclude=./build --exclude='*.so' . |
		tar -x --no-same-owner -C "$work/tree"
	[ "$(id -u)" -ne 0 ] || chown -R postgres: "$work"

	bindir=$("$pg_config" --bindir)
	tools=$(dirname "$("$pg_config" --pgxs)")/..
	data=
	data=$(realpath -e "${PG_RISK_DATA:-../shared/data}" 2>/dev/null) &&
		as_tester test -r "$data" || data=
	unset PGHOST PGPORT PGUSER PGDATABASE PGSERVICE PGOPTIONS PGDATA
	export LC_ALL=C.UTF-8
}

# "PostgreSQL 15.8, libxgboost 1.7.4, gcc 12.2.0"
versions()
{
	local xgboost compiler=${CC:-$("$pg_config" --cc)}

	xgboost=$(printf '#include <xgboost/version_config.h>\n%s\n' \
		'XGBOOST_VER_MAJOR.XGBOOST_VER_MINOR.XGBOOST_VER_PATCH' |
		$compiler -E -P -xc - 2>/dev/null | tail -n 1 | tr -d ' ')
	echo "$("$pg_config" --version | cut -d' ' -f1,2), libxgboost ${xgboost:-not found}," \
		"${compiler##*-} $($compiler -dumpfullversion 2>/dev/null || $compiler -dumpversion)"
}

# --- Running and counting ---------------------------------------------------

# Take a program's report into the suite's sums: FILE, exit STATUS, number of
# tests EXPECTED (0: by its plan).
count()
{
	local tag text numbers=

	while read -r tag text; do
		case $tag in
			skip) echo "$text" >>"$suite_skips" ;;
			fail) echo "$text" >>"$suite_fails" ;;
			count)
				numbers=($text)
				suite_passed=$((suite_passed + numbers[0]))
				suite_failed=$((suite_failed + numbers[1]))
				suite_skipped=$((suite_skipped + numbers[2]))
				;;
		esac
	done < <(awk -v name="$(basename "$1" .log)" -v status="$2" -v expected="$3" \
		-f test/summary.awk "$1")
	if [ -z "$numbers" ]; then
		echo "there is no report $1" >>"$suite_fails"
		suite_failed=$((suite_failed + 1))
	fi
}

# Run a program that writes TAP: NAME, then the command.
tap_program()
{
	local log=$work/log/$suite-$1.log status=0

	shift
	(as_tester "$@" >"$log" 2>&1 </dev/null) || status=$?
	[ $status -ne 124 ] || echo "Bail out!  Stopped after $limit s" >>"$log"
	count "$log" $status 0
	# failed tests explain themselves, a program that broke off does not
	[ $status -eq 0 ] || grep -q '^not ok' "$log" || suite_guilty+=("$log")
	return $status
}

# Run pg_regress or its isolation sister: PROGRAM, input folder, tests.  It
# would end at the first test without an expected file, so none goes without.
regress_program()
{
	local log=$work/log/$suite.log status=0 program=$1 input=$2

	shift 2
	mkdir -p "$work/$suite" "$work/tree/$input/expected"
	touch -a $(printf "$work/tree/$input/expected/%s.out " "$@")
	[ "$(id -u)" -ne 0 ] || chown postgres: "$work/$suite"
	(as_tester "$tools/test/$program" --bindir="$bindir" --inputdir="$input" \
		--outputdir="$work/$suite" --temp-instance="$work/$suite/instance" \
		--temp-config=test/pg_risk.conf --no-locale --encoding=UTF8 \
		--dbname="regression_$suite" "$@" >"$log" 2>&1 </dev/null) || status=$?
	[ $status -eq 0 ] || as_tester "$bindir/pg_ctl" -D "$work/$suite/instance/data" \
		-m immediate stop >/dev/null 2>&1
	count "$log" $status $#
	if [ -s "$work/$suite/regression.diffs" ]; then
		suite_guilty+=("$work/$suite/regression.diffs")
	elif [ $status -ne 0 ]; then
		suite_guilty+=("$log")
	fi
	[ $status -eq 0 ] || suite_guilty+=("$work/$suite/log/postmaster.log")
}

# Show what failed, then of each log the part that may explain it.
explain()
{
	local log text

	sed 's/^/    /' "$suite_fails"
	for log in "${suite_guilty[@]}"; do
		case $log in
			*.diffs) text=$(head -n 200 "$log") ;;
			"$work"/log/*) text=$(grep -vE '^(ok |test .* ok )| -o ' "$log" | head -n 40) ;;
			*) text=$(grep -E 'PANIC|FATAL|TRAP|by signal|was running' "$log" | tail -n 20) ;;
		esac 2>/dev/null
		[ -z "$text" ] || printf '  --- %s\n%s\n' "${log#"$work"/}" "$text"
	done
}

# Run one suite and print its line.
run_suite()
{
	local start=$EPOCHREALTIME

	suite=$1
	suite_passed=0 suite_failed=0 suite_skipped=0 suite_guilty=()
	suite_skips=$work/log/$suite.skips suite_fails=$work/log/$suite.fails
	: >"$suite_skips"
	: >"$suite_fails"

	"suite_$suite" || return 0

	printf '%-11s %d passed%s%s %6.1f s\n' "$suite" $suite_passed \
		"$([ $suite_failed -eq 0 ] || echo ", $suite_failed failed")" \
		"$([ $suite_skipped -eq 0 ] || echo ", $suite_skipped skipped")" \
		"$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')"
	sort "$suite_skips" | uniq -c |
		while read -r times why; do echo "    skipped: $why ($times)"; done
	[ $suite_failed -eq 0 ] || explain
	passed=$((passed + suite_passed))
	failed=$((failed + suite_failed))
	skipped=$((skipped + suite_skipped))
}

# --- The suites: each returns false if it has no files ----------------------

suite_unit()
{
	local source name log=$work/log/unit-build.log

	compgen -G 'test/unit/*_test.c' >/dev/null || return 1
	if ! make --no-print-directory -j"$(nproc)" unit-tests >"$log" 2>&1; then
		echo "the unit tests do not compile" >"$suite_fails"
		suite_failed=1 suite_guilty=("$log")
		return 0
	fi
	cp -a build/unit "$work/tree/build/"
	[ "$(id -u)" -ne 0 ] || chown -R postgres: "$work/tree/build"
	for source in test/unit/*_test.c; do
		name=$(basename "$source" .c)
		tap_program "$name" "build/unit/$name" || true
	done
}

suite_fuzz()
{
	compgen -G 'test/fuzz/*_fuzz.c' >/dev/null || return 1
	tap_program run bash test/fuzz/run.sh || true
}

suite_regress()
{
	compgen -G 'sql/*.sql' >/dev/null || return 1
	regress_program regress/pg_regress . $(basename -s .sql sql/*.sql)
}

suite_isolation()
{
	compgen -G 'test/specs/*.spec' >/dev/null || return 1
	regress_program isolation/pg_isolation_regress test $(basename -s .spec test/specs/*.spec)
}

suite_tap()
{
	local test name check

	compgen -G 'test/t/*.pl' >/dev/null || return 1
	for test in ${PROVE_TESTS:-test/t/*.pl}; do
		name=$(basename "$test" .pl)
		check=$work/tap/$name/tmp_check
		as_tester mkdir -p "$check/log"
		tap_program "$name" env TESTDIR="${check%/*}" TESTDATADIR="$check" \
			TESTLOGDIR="$check/log" PGPORT=65432 \
			PG_REGRESS="$tools/test/regress/pg_regress" \
			perl -I "$tools/test/perl" -I test/perl "$test" ||
			suite_guilty+=("$check"/log/*.log)
	done
}

suite_models()
{
	[ -e test/models.sh ] || return 1
	tap_program models bash test/models.sh || true
}

# --- All of it --------------------------------------------------------------

trap 'failed=$((failed + 1)); echo "interrupted" >&2; finish' INT TERM
scripts/build.sh test || { failed=1; finish; }
prepare || { failed=1; finish; }
versions
for suite in $suites; do
	if declare -F "suite_$suite" >/dev/null; then
		run_suite "$suite"
	else
		echo "there is no suite \"$suite\""
		failed=$((failed + 1))
	fi
done
if [ $((passed + failed + skipped)) -eq 0 ]; then
	echo "no suite has any tests"
	failed=1
fi
finish
