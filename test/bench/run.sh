#!/bin/bash
#
# run.sh
#	Measure pg_risk on a private cluster and print the report: what
#	`make bench` runs after set-up, build and installation.
#
# Environment:
#	REPORT		a file to write the report to as well (docs/performance.md)
#	PARTS		what is measured: "scoring rollout rolling live" by default, or some of them
#	KINDS		all: also the kinds of models that there are, each with its kernel (the first
#			time it takes minutes to train them); with PARTS=kinds nothing else
#	ROWS		rows of the large table, 1000000 by default
#	DAYS		days of events for live features, 8 by default: windows of 7 days are full, and
#			a run is short; 30 for 2.5 million events
#	ROUNDS		rounds of each comparison, 3 by default
#	SECONDS_EACH	seconds of each run of pgbench, 1 by default
#	NODE_PATH	where Node.js finds @duckdb/node-api, to compare rolling features with DuckDB:
#			`npm install @duckdb/node-api` in any folder, and its node_modules here
#	PG_CONFIG	which PostgreSQL
#
# All of it takes some ten minutes on a machine that does nothing else.  The
# trained models stay in build/bench/models for the next run.  Python is
# Debian's, for which libxgboost is packaged and which PL/Python runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=/usr/bin/python3
models=build/bench/models
parts=${PARTS:-scoring rollout rolling live}
case ${KINDS:-} in
	'') ;;
	all) parts="$parts kinds" ;;
	*) echo "KINDS is \"$KINDS\": there is only \"all\"" >&2; exit 1 ;;
esac
dir=$(mktemp -d /var/tmp/pg_risk-bench.XXXXXX)
child=

# Run a program, and be there for signals meanwhile.
run()
{
	"$@" &
	child=$!
	wait "$child"
	child=
}

# Leave nothing running and nothing behind.
clean()
{
	if [ -n "$child" ] && kill "$child" 2>/dev/null; then
		wait "$child" || true
	fi
	[ ! -e "$dir/cluster/.pg_risk_cluster" ] || scripts/cluster.sh remove "$dir/cluster"
	rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

make --no-print-directory -s benchmarks
"${CC:-cc}" -O2 -fPIC -shared -I"$("${PG_CONFIG:-pg_config}" --includedir-server)" -o "$dir/bare.so" test/bench/bare.c
run nice $python test/bench/train_models.py $models $([[ $parts != *kinds* ]] || echo all)

chmod 711 "$dir"					# root's cluster is another user's
PG_RISK_CONF="shared_buffers = 1GB
work_mem = 64MB
max_wal_size = 4GB
checkpoint_timeout = 1h
autovacuum = off
jit = off
pg_risk.queue_size = 32MB
pg_risk.worker_naptime = 1d" scripts/cluster.sh start "$dir/cluster"
scripts/cluster.sh psql "$dir/cluster" -q -c "CREATE DATABASE bench"

run scripts/cluster.sh run "$dir/cluster" $python test/bench/bench.py \
	--models $models --forest-bench build/bench/forest_bench --importer ./pg_risk_xgboost \
	--scratch "$dir" ${REPORT:+--report "$REPORT"} --parts "$parts" ${ROWS:+--rows "$ROWS"} \
	${DAYS:+--days "$DAYS"} ${ROUNDS:+--rounds "$ROUNDS"} ${SECONDS_EACH:+--seconds "$SECONDS_EACH"}
