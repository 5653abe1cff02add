#!/bin/bash
#
# run.sh [SYSTEM...]
#	Build and test in private systems that hold other majors of PostgreSQL and
#	releases of libxgboost, all with warnings as errors:
#
#	bookworm	PostgreSQL 15, libxgboost 1.7
#	trixie		PostgreSQL 17, libxgboost 3.0
#	forky		PostgreSQL 18, libxgboost 3.3
#
#	A system that cannot be had here counts as one skipped test.  The last line
#	is "N passed, M failed, K skipped", the sum over the systems.
#
# Environment:
#	PG_RISK_MATRIX_DIR	where the systems are kept (/var/tmp/pg_risk-matrix)
#	PG_RISK_DATA		real-world models, as for test/run.sh
#	SUITES, PROVE_TESTS, PG_RISK_LONG	as for test/run.sh; fuzzing is left to the host
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

systems=${*:-bookworm trixie forky}
home=${PG_RISK_MATRIX_DIR:-/var/tmp/pg_risk-matrix}
data=$(realpath -e "${PG_RISK_DATA:-../shared/data}" 2>/dev/null) || data=
passed=0 failed=0 skipped=0

# Count a system that cannot be had here.
skip()
{
	printf '%-11s skipped: %s\n' "$1" "$2"
	skipped=$((skipped + 1))
}

# Why this machine can have no private system at all; nothing if it can.
obstacle()
{
	if [ "$(id -u)" -ne 0 ]; then
		echo "needs root"
	elif ! unshare --mount --pid --fork --ipc --net --uts true 2>/dev/null; then
		echo "private namespaces are not allowed here"
	elif ! mkdir -p "$home" 2>/dev/null; then
		echo "cannot write to $home"
	fi
}

# What is done inside: /src is read-only and may hold another system's objects.
inside='
	mkdir /build && cd /build
	tar -C /src -c --exclude=./.git --exclude=./build --exclude="*.o" --exclude="*.so" \
		--exclude=./pg_risk_xgboost . | tar -x --no-same-owner
	exec test/run.sh'

# Run the tests in one system and add up what they say.
run_system()
{
	local system=$1 log sums start=$EPOCHREALTIME

	log=$(mktemp)
	test/matrix/in_chroot.sh "$home/$system" . "$data" env \
		PG_RISK_SETUP=no PG_RISK_LONG="${PG_RISK_LONG:-}" WERROR=yes PG_RISK_DATA="${data:+/data}" \
		SUITES="${SUITES:-unit regress isolation tap models}" PROVE_TESTS="${PROVE_TESTS:-}" \
		bash -euc "$inside" >"$log" 2>&1 </dev/null
	sums=($(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p'))
	[ ${#sums[@]} -eq 3 ] || sums=(0 1 0)
	[ "${sums[1]}" -eq 0 ] || sed 's/^/    /' "$log"
	printf '%-11s %s: %d passed, %d failed, %d skipped %6.0f s\n' "$system" \
		"$(grep -m 1 '^PostgreSQL ' "$log" || echo "no tests ran")" "${sums[@]}" \
		"$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')"
	[ "${sums[1]}" -ne 0 ] || grep '^    skipped: ' "$log"
	passed=$((passed + sums[0]))
	failed=$((failed + sums[1]))
	skipped=$((skipped + sums[2]))
	rm -f "$log"
}

# One system: have it, then test in it.  The lock keeps others from rebuilding
# it under a run, and two from building it at once.
try_system()
{
	local system=$1 reason make=test/matrix/make_chroot.sh

	exec {lock}>"$home/$system.lock"
	flock -s "$lock"
	if ! $make --check "$system" "$home/$system"; then
		echo "building $system"
		flock "$lock"
	fi
	if reason=$($make "$system" "$home/$system" 2>&1); then
		flock -s "$lock"
		run_system "$system"
	else
		skip "$system" "${reason:-it could not be built}"
	fi
	exec {lock}>&-
}

reason=$(obstacle)
[ -n "$reason" ] || scripts/setup.sh matrix || true
for system in $systems; do
	if [ -n "$reason" ]; then
		skip "$system" "$reason"
	else
		try_system "$system"
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
