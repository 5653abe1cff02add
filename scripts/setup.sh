#!/bin/sh
#
# setup.sh [build|demo|test|bench|matrix]
#	Install the Debian packages that a task needs and that are not there yet.
#	Asks apt for nothing when all are there.  The benchmarks compare with some
#	more where apt offers them.
#
# PG_CONFIG chooses the PostgreSQL; without it the newest major with installed
# headers is taken, else the one that this Debian release offers.
set -eu

task=${1:-build}

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

installed()
{
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

may_install()
{
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null
}

# Run as root, by sudo where need be.
privileged()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "packages are missing ($missing) and installing them needs root or sudo"
	fi
}

# Quiet apt-get that waits for others who hold dpkg's lock.
apt()
{
	privileged env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
		apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confold "$@" </dev/null
}

# Refresh apt's lists; another apt may hold their lock, for which apt does not
# wait.  Failure shows when a package cannot be had.
update()
{
	say "refreshing the package lists"
	for pause in 2 5 10 20 0; do
		apt update >/dev/null 2>&1 && return
		sleep $pause
	done
}

# apt's idea of a package's version, empty if there is none.
candidate()
{
	apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)' || true
}

# The PostgreSQL major to build for; nothing for a server that is not Debian's.
major()
{
	if [ -n "${PG_CONFIG:-}" ] && version=$("$PG_CONFIG" --version 2>/dev/null); then
		case $("$PG_CONFIG" --bindir) in
			/usr/lib/postgresql/*) echo "$version" | sed 's/[^0-9]*\([0-9]*\).*/\1/' ;;
		esac
		return
	fi
	newest=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 'postgresql-server-dev-*' 2>/dev/null |
		sed -n 's/^postgresql-server-dev-\([0-9]*\) installed$/\1/p' | sort -n | tail -n 1)
	if [ -z "$newest" ]; then
		[ -n "$(candidate postgresql)" ] || update >&2
		newest=$(candidate postgresql | sed 's/[^0-9].*//')
		[ -n "$newest" ] || fail "apt offers no PostgreSQL; set PG_CONFIG to the pg_config of yours"
	fi
	echo "$newest"
}

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
	say "not a Debian system: a C compiler, make, PostgreSQL's headers and libxgboost are taken for granted"
	exit 0
}

pg=
optional=
[ "$task" = matrix ] || pg=$(major)
build="gcc make libc6-dev libxgboost-dev ${pg:+postgresql-$pg postgresql-server-dev-$pg}"
case $task in
	build) packages=$build ;;
	demo) packages="$build python3" ;;
	test) packages="$build clang libclang-rt-dev perl libipc-run-perl libio-pty-perl python3" ;;
	bench)
		packages="$build python3 python3-xgboost ${pg:+postgresql-plpython3-$pg}"
		optional="python3-pandas python3-psycopg2 python3-flask gunicorn"
		;;
	matrix) packages="mmdebstrap" ;;
	*) fail "unknown task \"$task\"" ;;
esac

missing=
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
for package in $optional; do
	installed "$package" && continue
	if may_install && [ -n "$(candidate "$package")" ]; then
		missing="$missing $package"
	else
		say "$package cannot be had: what needs it is left out"
	fi
done
missing=${missing# }
[ -n "$missing" ] || exit 0

for package in $missing; do
	[ -n "$(candidate "$package")" ] || { update; break; }
done
for package in $missing; do
	[ -n "$(candidate "$package")" ] || fail "apt does not offer the package $package"
done

# A database server that starts by itself is not what was asked for.
config=/etc/postgresql-common/createcluster.conf
if [ -n "$pg" ] && ! installed postgresql-common && [ ! -e $config ]; then
	privileged mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' | privileged tee $config >/dev/null
fi

say "installing $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! apt install --no-install-recommends $missing >"$log" 2>&1; then
	update
	apt install --no-install-recommends $missing >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		fail "apt could not install: $missing"
	}
fi
say "done"
