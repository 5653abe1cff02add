# Rolling features over other people's data: the card payments of the Fraud
# Detection Handbook with the features that its authors computed, and transfers
# of Ethereum with values past 64 bits.
#
# PG_RISK_DATA names the folder; without it this test is skipped.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use Test::More;

my $data = ($ENV{PG_RISK_DATA} // '') . '/transactions';
my ($features) = glob "$data/card-simulated/features_*.csv.gz";
plan skip_all => 'no real-world transactions (PG_RISK_DATA)' unless $features && -r $features;

my $node = PgRisk->server('main', conf => "max_wal_size = '4GB'\nwork_mem = '64MB'");
$node->start;

# Load CSV files into a table.
sub load
{
	my ($table, @files) = @_;

	$node->safe_psql('postgres', "\\copy $table FROM PROGRAM 'gzip -cd $_' (FORMAT csv, HEADER)") for @files;
	return;
}

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_risk;
CREATE TABLE tx (transaction_id int, tx_datetime timestamp, customer_id int, terminal_id int, tx_amount numeric,
	tx_fraud int, tx_fraud_scenario int);
CREATE TABLE handbook (transaction_id int, tx_during_weekend int, tx_during_night int,
	customer_n1 int, customer_avg1 float8, customer_n7 int, customer_avg7 float8, customer_n30 int, customer_avg30 float8,
	terminal_n1 int, terminal_risk1 float8, terminal_n7 int, terminal_risk7 float8, terminal_n30 int, terminal_risk30 float8);
CREATE TABLE eth (hash text, block_number int, transaction_index int, block_timestamp bigint, nonce bigint,
	from_address text, to_address text, value numeric, gas bigint, gas_price numeric, input_bytes int);
SQL
load('tx', sort glob "$data/card-simulated/tx_*.csv.gz");
load('handbook', $features);
load('eth', "$data/ethereum-transactions/tx.csv.gz");
$node->safe_psql('postgres', 'ANALYZE');

# How many of the handbook's features are not those of "ours".
my $compare = <<'SQL';
SELECT count(*),
	   count(*) FILTER (WHERE (c[1] + 1, c[2] + 1, c[3] + 1) IS DISTINCT FROM (customer_n1, customer_n7, customer_n30)),
	   count(*) FILTER (WHERE (greatest(abs((c[4] + amount) / (c[1] + 1) - customer_avg1), abs((c[5] + amount) / (c[2] + 1) - customer_avg7),
						abs((c[6] + amount) / (c[3] + 1) - customer_avg30)) <= 1e-9) IS NOT TRUE),
	   count(*) FILTER (WHERE (n[1], n[2], n[3]) IS DISTINCT FROM (terminal_n1, terminal_n7, terminal_n30)),
	   count(*) FILTER (WHERE (greatest(abs(coalesce(share[1], 0) - terminal_risk1), abs(coalesce(share[2], 0) - terminal_risk7),
						abs(coalesce(share[3], 0) - terminal_risk30)) <= 1e-9) IS NOT TRUE)
FROM handbook JOIN ours USING (transaction_id)
SQL

# The handbook's windows are open at the start and closed at the end.  A
# customer's (t - w, t] has the payment itself: it is [t - w + 1 us, t), that is
# the window of w - 1 us, and the payment.  A terminal's (t - 7 d - w, t - 7 d] is
# the window of w with a delay of 7 d - 1 us.
is($node->safe_psql('postgres', <<"SQL"), '134333|0|0|0|0', 'the handbook\'s features: counts equal, means within 1e-9');
WITH ours AS (
	SELECT transaction_id, tx_amount::float8 AS amount,
		   risk.rolling_array(tx_amount, tx_datetime, '{23:59:59.999999,6 days 23:59:59.999999,29 days 23:59:59.999999}', '{count,sum}') OVER customer AS c,
		   ARRAY[risk.rolling_count(tx_datetime, '1 day', '6 days 23:59:59.999999') OVER terminal,
				 risk.rolling_count(tx_datetime, '7 days', '6 days 23:59:59.999999') OVER terminal,
				 risk.rolling_count(tx_datetime, '30 days', '6 days 23:59:59.999999') OVER terminal] AS n,
		   ARRAY[risk.rolling_share(tx_fraud = 1, tx_datetime, '1 day', '6 days 23:59:59.999999') OVER terminal,
				 risk.rolling_share(tx_fraud = 1, tx_datetime, '7 days', '6 days 23:59:59.999999') OVER terminal,
				 risk.rolling_share(tx_fraud = 1, tx_datetime, '30 days', '6 days 23:59:59.999999') OVER terminal] AS share
	FROM tx
	WINDOW customer AS (PARTITION BY customer_id ORDER BY tx_datetime), terminal AS (PARTITION BY terminal_id ORDER BY tx_datetime)
)
$compare
SQL

# The same, declared: of each payment from the training set, of some by a lookup.
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE tx ADD PRIMARY KEY (transaction_id);
SELECT risk.create_rolling_features('tx', 'customer_id', 'tx_datetime', 'tx_amount', '{23:59:59.999999,6 days 23:59:59.999999,29 days 23:59:59.999999}',
	'{count,sum}', create_index => true);
SELECT risk.create_rolling_features('tx', 'terminal_id', 'tx_datetime', 'tx_fraud', '{1 day,7 days,30 days}', '{count,avg}',
	delay => '6 days 23:59:59.999999', create_index => true);
ANALYZE tx;
CREATE TABLE declared AS
SELECT (event ->> 'transaction_id')::int AS transaction_id, event_time::timestamp AS tx_datetime, features AS f
FROM (SELECT min(tx_datetime) AS first, max(tx_datetime) AS last FROM tx JOIN handbook USING (transaction_id)) AS h,
	LATERAL risk.training_set('tx', h.first, h.last + interval '1 s');
SQL
is($node->safe_psql('postgres', <<"SQL"), '134333|0|0|0|0', 'declared, too');
WITH ours AS (
	SELECT transaction_id, tx_amount::float8 AS amount,
		   ARRAY[f -> 'customer_id_cnt_prev_86399999999us', f -> 'customer_id_cnt_prev_6d86399999999us', f -> 'customer_id_cnt_prev_29d86399999999us',
				 f -> 'customer_id_sum_tx_amount_prev_86399999999us', f -> 'customer_id_sum_tx_amount_prev_6d86399999999us',
				 f -> 'customer_id_sum_tx_amount_prev_29d86399999999us']::float8[] AS c,
		   ARRAY[f -> 'terminal_id_cnt_prev_1d_delay_6d86399999999us', f -> 'terminal_id_cnt_prev_7d_delay_6d86399999999us',
				 f -> 'terminal_id_cnt_prev_30d_delay_6d86399999999us']::float8[] AS n,
		   ARRAY[f ->> 'terminal_id_avg_tx_fraud_prev_1d_delay_6d86399999999us', f ->> 'terminal_id_avg_tx_fraud_prev_7d_delay_6d86399999999us',
				 f ->> 'terminal_id_avg_tx_fraud_prev_30d_delay_6d86399999999us']::float8[] AS share
	FROM declared JOIN tx USING (transaction_id)
)
$compare
SQL
is($node->safe_psql('postgres', <<'SQL'), '2000|0', 'lookups say the same');
SELECT count(*), count(*) FILTER (WHERE risk.rolling_features('tx', t) IS DISTINCT FROM f)
FROM (SELECT t.*, d.f FROM tx AS t JOIN declared AS d USING (transaction_id) WHERE t.transaction_id % 61 = 0 ORDER BY transaction_id LIMIT 2000) AS s
JOIN tx AS t USING (transaction_id)
SQL

# All payments: PostgreSQL's own frames, to one microsecond before the payment.  (Not
# with months: a frame's start never goes back, as t - interval '1 month' does.)
is($node->safe_psql('postgres', <<'SQL'), '872795|0|0', 'counts and decimal sums are those of native frames');
SELECT count(*), count(*) FILTER (WHERE n IS DISTINCT FROM native_n), count(*) FILTER (WHERE s IS DISTINCT FROM native_s)
FROM (SELECT risk.rolling_count(tx_datetime, '30 days') OVER k AS n, risk.rolling_sum(tx_amount, tx_datetime, '7 days') OVER k AS s,
			 count(*) OVER (k RANGE BETWEEN '30 days' PRECEDING AND '1 microsecond' PRECEDING) AS native_n,
			 coalesce(sum(tx_amount) OVER (k RANGE BETWEEN '7 days' PRECEDING AND '1 microsecond' PRECEDING), 0) AS native_s
	  FROM tx WINDOW k AS (PARTITION BY customer_id ORDER BY tx_datetime)) AS x
SQL

# The set form is the window functions, bit for bit; of numeric, sums are its own.
is($node->safe_psql('postgres', <<'SQL'), '872795|0', 'the set form has the bits of the window functions');
SELECT count(*), count(*) FILTER (WHERE
	(f[1], f[2], float8send(f[3]), float8send(f[6]), float8send(sum::float8)) IS DISTINCT FROM
	(terminal_id_cnt_prev_24h, terminal_id_cnt_prev_30d, float8send(terminal_id_stddev_tx_amount_prev_24h), float8send(terminal_id_avg_amount_prev_30d),
	 float8send(terminal_id_sum_tx_amount_prev_30d)))
FROM (SELECT transaction_id, risk.rolling_array(tx_amount, tx_datetime, '{24 h,30 days}', '{count,stddev,avg}') OVER terminal AS f,
			 risk.rolling_sum(tx_amount, tx_datetime, '30 days') OVER terminal AS sum
	  FROM tx WINDOW terminal AS (PARTITION BY terminal_id ORDER BY tx_datetime)) AS w
JOIN risk.rolling_table('SELECT *, tx_amount::float8 AS amount FROM tx', 'terminal_id', 'tx_datetime', 'tx_amount', '{24 h,30 days}', '{count,stddev,sum,avg(amount)}')
	AS t (transaction_id int, terminal_id_cnt_prev_24h bigint, terminal_id_cnt_prev_30d bigint, terminal_id_stddev_tx_amount_prev_24h float8,
		terminal_id_avg_amount_prev_30d float8, terminal_id_sum_tx_amount_prev_30d float8) USING (transaction_id)
SQL

# Wei past 64 bits, many transfers of a sender in one block: a self-join.
is($node->safe_psql('postgres', <<'SQL'), '19999|0|0|t|t', 'transfers of Ethereum: every digit, ties, receivers');
CREATE TABLE transfer AS SELECT hash, from_address, to_address, value, to_timestamp(block_timestamp) AS at FROM eth;
CREATE INDEX ON transfer (from_address, at);
ANALYZE transfer;
SELECT count(*), count(*) FILTER (WHERE o.sum IS DISTINCT FROM n.sum), count(*) FILTER (WHERE o.receivers IS DISTINCT FROM n.receivers),
	   max(o.sum) > 18446744073709551616, bool_or(n.ties > 1)
FROM (SELECT hash, from_address, at, risk.rolling_sum(value, at, '1 hour') OVER k AS sum, risk.rolling_distinct(to_address, at, '1 hour') OVER k AS receivers
	  FROM transfer WINDOW k AS (PARTITION BY from_address ORDER BY at)) AS o,
	LATERAL (SELECT coalesce(sum(value) FILTER (WHERE t.at < o.at), 0) AS sum, count(DISTINCT to_address) FILTER (WHERE t.at < o.at) AS receivers,
					count(*) FILTER (WHERE t.at = o.at) AS ties
			 FROM transfer AS t WHERE t.from_address = o.from_address AND t.at >= o.at - interval '1 hour' AND t.at <= o.at) AS n
SQL

# Keys that are text, in the set form.
is($node->safe_psql('postgres', <<'SQL'), '19999|0', 'the set form of text keys');
SELECT count(*), count(*) FILTER (WHERE (w.n, w.since) IS DISTINCT FROM (t.from_address_cnt_prev_1h, t.from_address_since_last_prev_1h))
FROM (SELECT hash, risk.rolling_count(at, '1 hour') OVER k AS n, risk.rolling_since_last(at, '1 hour') OVER k AS since
	  FROM transfer WINDOW k AS (PARTITION BY from_address ORDER BY at)) AS w
JOIN risk.rolling_table('transfer', 'from_address', 'at', NULL, '{1 hour}', '{count,since_last}')
	AS t (hash text, from_address_cnt_prev_1h bigint, from_address_since_last_prev_1h float8) USING (hash)
SQL

$node->stop;
done_testing();
