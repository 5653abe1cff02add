#!/bin/bash
#
# demo.sh [FILE.csv | FILE.csv.gz | DIRECTORY]
#	A guided tour of pg_risk on a private cluster that stays up afterwards:
#	demo_load.sql, demo.sql, and demo_rollout.sql on payments held back for it.
#
# Without an argument the transactions come from models/simulate.py.  A file or
# the .csv and .csv.gz files of a directory (those named tx_* where there are
# such) need a header line; columns are taken by name:
#
#	simulate.py's own	see models/simulate.py; transaction_id, tx_datetime,
#						customer_id and amount must be there
#	the Fraud Detection Handbook's	terminal_id, tx_amount, tx_fraud and
#						tx_fraud_scenario become merchant_id, amount, is_fraud
#						and fraud_pattern
#
# Features that are not in the file are computed by SQL windows or NULL; the
# demo says which.  Other columns are left out.
#
# PG_RISK_DEMO_DIR is the cluster's folder, /var/tmp/pg_risk-demo by default; a
# second run replaces what is there.  PG_CONFIG chooses the PostgreSQL.
# PG_RISK_DEMO_ROWS is the number of rows to simulate.
set -euo pipefail

data=${1:-}
[ -z "$data" ] || data=$(realpath -- "$data")
cd "$(dirname "$0")/.."
dir=${PG_RISK_DEMO_DIR:-/var/tmp/pg_risk-demo}
rows=${PG_RISK_DEMO_ROWS:-202000}
steps=15
started=$SECONDS

fail() { echo "demo: $*" >&2; exit 1; }
step() { printf '\n[%d/%d] %s\n' "$1" $steps "$2"; }
client() { scripts/cluster.sh psql "$dir" -q -v ON_ERROR_STOP=1 -v steps=$steps "$@"; }

# The CSV files in the directory whose names begin so.
files_named()
{
	find "$data" -maxdepth 1 \( -name "$1*.csv" -o -name "$1*.csv.gz" \) | sort | grep .
}

# The CSV files that were asked for, one a line.
list_files()
{
	if [ -d "$data" ]; then
		files_named tx_ || files_named "" || fail "there is no .csv or .csv.gz file in $data"
	elif [ -f "$data" ]; then
		echo "$data"
	else
		fail "$data is neither a file nor a directory"
	fi
}

# The text of one file.
read_file()
{
	case $1 in
		*.gz) gzip -dc -- "$1" ;;
		*) cat -- "$1" ;;
	esac
}

# A file's column names by our names, separated by commas.
header_of()
{
	local line
	read -r line < <(read_file "$1" 2>/dev/null) || true
	line=$(tr -d '" \r' <<<"$line" | tr '[:upper:]' '[:lower:]')
	case ,$line, in
		*,tx_amount,*)
			sed -E 's/\<terminal_id\>/merchant_id/; s/\<tx_amount\>/amount/
				s/\<tx_fraud_scenario\>/fraud_pattern/; s/\<tx_fraud\>/is_fraud/' <<<"$line"
			;;
		*) echo "$line" ;;
	esac
}

# Refuse a header that names no columns or lacks those that nothing replaces.
check_header()
{
	local column
	[[ $1 =~ ^[a-z_][a-z0-9_]*(,[a-z_][a-z0-9_]*)*$ ]] || fail "$2 has no header line of column names"
	for column in transaction_id tx_datetime customer_id amount; do
		[[ ,$1, == *,$column,* ]] || fail "$2 has no column $column (see the top of scripts/demo.sh)"
	done
}

# Set files and header to what there is to read; all files have one header.
look_at_data()
{
	local file this

	files=$(list_files)
	header=
	while read -r file; do
		this=$(header_of "$file")
		check_header "$this" "$file"
		[ "$this" = "${header:=$this}" ] || fail "$file has other columns than the files before it"
	done <<<"$files"
}

# Make the staging table for a header: every column as text.
make_staging()
{
	client -d demo -c "CREATE UNLOGGED TABLE staging (${1//,/ text,} text)"
}

copy_to_staging()
{
	client -d demo -c "COPY staging FROM STDIN (FORMAT csv, HEADER)"
}

[ -z "$data" ] || look_at_data

step 1 "Starting a private PostgreSQL cluster in $dir"
[ ! -e "$dir/.pg_risk_cluster" ] || scripts/cluster.sh remove "$dir"
PG_RISK_CONF="shared_buffers = 256MB
max_wal_size = 4GB
work_mem = 64MB
synchronous_commit = off
autovacuum = off
jit = off" scripts/cluster.sh start "$dir"
client -d postgres -c "CREATE DATABASE demo" -c "ALTER DATABASE demo SET timezone = 'UTC'"

if [ -z "$data" ]; then
	step 2 "Simulating $rows card payments and loading them"
	make_staging "$(python3 models/simulate.py --rows 1 | sed -n 1p)"
	python3 models/simulate.py --rows "$rows" | copy_to_staging
else
	step 2 "Loading $data"
	make_staging "$header"
	while read -r file; do
		read_file "$file" | copy_to_staging
	done <<<"$files"
	echo "      The example models know another bank: read their figures on these payments as an exercise."
fi
client -d demo -f scripts/demo_load.sql
client -d demo -v models="$PWD/models" -f scripts/demo.sql
client -d demo -f scripts/demo_rollout.sql

cat <<END

The demo took $((SECONDS - started)) s. The cluster is still running:

    connect     scripts/cluster.sh psql $dir -d demo
    stop        scripts/cluster.sh stop $dir
    remove      scripts/cluster.sh remove $dir
END
