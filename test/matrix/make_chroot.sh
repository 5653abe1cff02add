#!/bin/bash
#
# make_chroot.sh [--check] SUITE DIR
#	Build one private Debian system in DIR that holds a compiler, one major of
#	PostgreSQL and one release of libxgboost.  A system that this very recipe
#	has made before is left as it is; a stale one is built anew.  --check only
#	tells by its exit status whether there is nothing to do.
#
# The Debian archive is the one that this machine's apt uses.  Its name does
# not stay behind in the system made, and is not printed.
#
# Exit status: 0 it is there; 3 it cannot be had (the reason is printed).
set -euo pipefail

check=
[ "$1" != --check ] || { check=yes; shift; }
suite=$1
dir=$2

# Suite: its PostgreSQL, and the LLVM that PostgreSQL's -dev package asks for.
case $suite in
	bookworm) pg=15 llvm=14 more= ;;
	trixie) pg=17 llvm=19 more=postgresql-common-dev ;;
	forky) pg=18 llvm=21 more=postgresql-common-dev ;;
	*) echo "unknown suite $suite"; exit 2 ;;
esac
packages="make gcc libc6-dev perl python3 diffutils procps
	libipc-run-perl libio-pty-perl postgresql-$pg postgresql-server-dev-$pg
	libxgboost-dev $more"

recipe=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
stamp=etc/pg_risk_recipe
[ "$(cat "$dir/$stamp" 2>/dev/null)" != "$recipe" ] || exit 0
[ -z "$check" ] || exit 1

# The archive's address: what apt itself takes Debian's main section from.
archive()
{
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Origin: Debian' 'Label: Debian' 'Component: main' | head -n 1
}

# Hide the archive's address in text that people will read.
hide() { sed "s|${mirror%/}|(archive)|g; s|${host:-(archive)}|(archive)|g"; }

[ -e "$dir" ] && [ ! -e "$dir/$stamp" ] &&
	{ echo "$dir exists and was not made by this script"; exit 3; }
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is not installed"; exit 3; }
mirror=$(archive)
if [ -z "$mirror" ]; then
	apt-get -qq update >/dev/null 2>&1 || true
	mirror=$(archive)
fi
[ -n "$mirror" ] || { echo "apt knows no Debian archive"; exit 3; }
host=${mirror#*://}
host=${host%%/*}

work=$(mktemp -d)
new=$dir.new
trap 'rm -rf --one-file-system "$work" "$new"' EXIT
rm -rf --one-file-system "$new"

# PostgreSQL's -dev package asks for clang and llvm-dev, 600 MB that only JIT
# bitcode needs: two empty packages of these names stand in for them.
for name in clang-$llvm llvm-$llvm-dev; do
	mkdir -p "$work/$name/DEBIAN"
	printf '%s\n' "Package: $name" "Version: 1:$llvm.999~empty" \
		'Architecture: all' 'Maintainer: nobody <nobody@localhost>' \
		'Description: empty package' >"$work/$name/DEBIAN/control"
	dpkg-deb -Znone -b "$work/$name" "$work/$name.deb" >/dev/null
done

# Suites in preparation let their Release files expire, hence Valid-Until.
# The empty packages must be found under the same path inside the system.
if ! mmdebstrap --mode=root --variant=apt --format=directory \
	--aptopt='Acquire::Check-Valid-Until "false"' \
	--aptopt='Acquire::Languages "none"' \
	--aptopt='APT::Install-Recommends "false"' \
	--aptopt='Dpkg::Use-Pty "0"' \
	--dpkgopt='force-unsafe-io' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--setup-hook='mkdir -p "$1/etc/postgresql-common" &&
		echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
	--setup-hook="mkdir -p \"\$1$work\" && cp $work/*.deb \"\$1$work/\"" \
	--customize-hook="rm -rf \"\$1$work\"" \
	--include="$work/clang-$llvm.deb" --include="$work/llvm-$llvm-dev.deb" \
	--include="$(echo $packages | tr ' ' ',')" \
	"$suite" "$new" "$mirror" >"$work/log" 2>&1 </dev/null
then
	{ grep -E '^(E|error):' "$work/log" || tail "$work/log"; } | head -n 1 | hide
	exit 3
fi

rm -rf "$new"/etc/apt/sources.list "$new"/etc/apt/sources.list.d/* \
	"$new"/var/lib/apt/lists/* "$new"/var/cache/apt/* "$new"/var/log/*.log
mkdir -p "$new/src" "$new/data"
echo "$recipe" >"$new/$stamp"
rm -rf --one-file-system "$dir"
mv "$new" "$dir"
