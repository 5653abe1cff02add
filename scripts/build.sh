#!/bin/bash
#
# build.sh [TASK]
#	Set up for TASK (see setup.sh), build, and install into the server of
#	PG_CONFIG: a line for what is done, the compiler's words only if it fails.
#
# PG_RISK_SETUP=no leaves out the set-up.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "${PG_RISK_SETUP:-yes}" = no ] || scripts/setup.sh "${1:-build}"

pg_config=${PG_CONFIG:-pg_config}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Run a step of the build; show what it said only if it failed.
step()
{
	local name=$1 start=$EPOCHREALTIME status=0

	shift
	"$@" >"$log" 2>&1 </dev/null || status=$?
	if [ $status -ne 0 ]; then
		grep -v -e ' -o ' "$log" | tail -n 60 >&2
		echo "$name failed" >&2
		exit 1
	fi
	printf '%-11s %s %6.1f s\n' "$name" "done" "$(seconds_since "$start")"
}

# Seconds since a value of EPOCHREALTIME.
seconds_since()
{
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

step build make --no-print-directory -j"$(nproc)" all PG_CONFIG="$pg_config"

# The server's folders are root's as a rule.
sudo=
for dir in --pkglibdir --bindir --sharedir; do
	[ -w "$("$pg_config" $dir)" ] || sudo=sudo
done
if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
	echo "installing into $("$pg_config" --pkglibdir) needs root or sudo" >&2
	exit 1
fi
step install $sudo make --no-print-directory install PG_CONFIG="$pg_config"
