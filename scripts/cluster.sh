#!/bin/bash
#
# cluster.sh COMMAND DIR [...]
#	A private, throwaway PostgreSQL cluster in DIR with pg_risk preloaded,
#	reached only through a socket in DIR.  No other cluster is touched.
#
#	start DIR [PORT]	make the cluster if there is none yet, and start it
#	stop DIR			stop it; its data stays
#	remove DIR			stop it and remove DIR
#	psql DIR [ARGS]		psql, connected to it
#	run DIR COMMAND		COMMAND with PATH, PGHOST, PGPORT and PGUSER set for it
#	path DIR			print the socket's directory, for psql -h
#
# PG_CONFIG chooses the PostgreSQL.  PG_RISK_CONF holds further lines of
# postgresql.conf, which hold until the next start.  Root's clusters belong to
# and run as the user postgres.
set -euo pipefail

fail() { echo "cluster.sh: $*" >&2; exit 1; }

usage()
{
	sed -n '3,/^set /{ /^#/ s/^# \{0,1\}//p }' "$0" >&2
	exit 2
}

[ $# -ge 2 ] || usage
command=$1
dir=$(realpath -m -- "$2")
shift 2
marker=$dir/.pg_risk_cluster
bindir=$("${PG_CONFIG:-pg_config}" --bindir) || fail "pg_config was not found: set PG_CONFIG"

# Run a program as the cluster's owner.
as_owner()
{
	if [ "$(id -u)" -eq 0 ]; then
		(cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups \
			env HOME="$dir" "$@")
	else
		"$@"
	fi
}

# Is DIR a cluster of this script's making?
require_cluster()
{
	[ -f "$marker" ] || fail "$dir is not a cluster that this script made"
}

running()
{
	as_owner "$bindir/pg_ctl" -D "$dir/data" status >/dev/null 2>&1
}

# Make the cluster's directory, owned and entered by its owner alone.
create()
{
	[ ${#dir} -le 85 ] || fail "the path $dir is too long for a socket"
	[ -z "$(ls -A "$dir" 2>/dev/null)" ] || fail "$dir is not empty"
	mkdir -p "$dir"
	chmod 700 "$dir"
	[ "$(id -u)" -ne 0 ] || chown postgres: "$dir"
	as_owner test -w "$dir" || fail "the user postgres cannot reach $dir"
	as_owner touch "$marker"
	as_owner "$bindir/initdb" -N -A trust -U postgres --encoding=UTF8 --locale=C.UTF-8 \
		-D "$dir/data" >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; fail "initdb failed"; }
	echo "include '../cluster.conf'" >>"$dir/data/postgresql.conf"
}

start()
{
	[ -f "$marker" ] || create
	running && return
	cat >"$dir/cluster.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$dir'
		unix_socket_permissions = 0700
		port = ${1:-5432}
		shared_preload_libraries = 'pg_risk'
		${PG_RISK_CONF:-}
	CONF
	as_owner "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start >/dev/null 2>&1 </dev/null ||
		{ tail -n 20 "$dir/log" >&2; fail "the server did not start"; }
}

stop()
{
	require_cluster
	running || return 0
	as_owner "$bindir/pg_ctl" -D "$dir/data" -m fast -w -s stop
}

# A client program, run by the caller, who may read files that the cluster's
# owner may not.
client()
{
	require_cluster
	export PATH=$bindir:$PATH PGHOST=$dir PGUSER=postgres
	PGPORT=$(sed -n 's/^port = //p' "$dir/cluster.conf")
	export PGPORT
	exec "$@"
}

case $command in
	start) start "$@" ;;
	stop) stop ;;
	remove)
		stop
		rm -rf -- "$dir"
		;;
	psql) client psql -X "$@" ;;
	run) client "$@" ;;
	path) echo "$dir" ;;
	*) usage ;;
esac
