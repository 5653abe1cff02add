# Training equals serving: a month of card payments arrives at the scoring
# trigger, some of them late; afterwards training_set() as known then gives
# every feature that the trigger saw, and so every score.
#
# PG_RISK_DATA names the folder of the payments; without it they are simulated.
# Of the month the first ten days, or with PG_RISK_LONG all of it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $file = ($ENV{PG_RISK_DATA} // '') . '/transactions/card-simulated/tx_2018-04.csv.gz';
my $real = -r $file;
my $some = $ENV{PG_RISK_LONG} ? '' : '| head -n 96001';
my $node = PgRisk->server('main', conf => "fsync = off\nmax_wal_size = '4GB'\nwork_mem = '64MB'");
$node->start;
$node->install('postgres');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE arrivals (transaction_id int, tx_datetime timestamp, customer_id int, terminal_id int,
	tx_amount numeric(8,2), tx_fraud int, tx_fraud_scenario int);
CREATE TABLE payments (transaction_id int PRIMARY KEY, tx_datetime timestamp NOT NULL, known timestamp NOT NULL,
	customer_id int, terminal_id int, tx_amount numeric(8,2), fraud boolean, score float8);
CREATE INDEX ON payments (customer_id, tx_datetime);
CREATE INDEX ON payments (terminal_id, tx_datetime);
SELECT risk.create_rolling_features('payments', 'customer_id', 'tx_datetime', 'tx_amount', '{1 hour,24 hours,7 days}',
	'{count,sum,avg,max,stddev,since_last,distinct(terminal_id)}', known_time => 'known');
SELECT risk.create_rolling_features('payments', 'terminal_id', 'tx_datetime', windows => '{24 hours,7 days}',
	aggregates => '{count,share(fraud)}', known_time => 'known', delay => '1 day');
SQL
if ($real)
{
	$node->safe_psql('postgres', "COPY arrivals FROM PROGRAM 'gzip -dc $file $some' (FORMAT csv, HEADER)");
}
else
{
	note 'no real payments (PG_RISK_DATA)';
	$node->safe_psql('postgres', <<'SQL');
SELECT setseed(0.5);
INSERT INTO arrivals
SELECT i, timestamp '2018-04-01' + (i / 7) * interval '13 seconds', (random() ^ 2 * 500)::int, (random() ^ 3 * 1000)::int,
	   (random() * 100)::numeric(8,2), (random() < 0.01)::int, 0
FROM generate_series(1, 50000) AS i;
SQL
}

# A model of all features; toy trees on some of them.
$node->safe_psql('postgres', <<'SQL');
SELECT risk.create_model('m', entity_id => 'transaction_id', event_time => 'tx_datetime', log => 'transactional');
SELECT risk.alter_model('m', log_features => 'full');
SELECT FROM risk.register_model('m', 'v1', toy_model((SELECT array_agg(feature ORDER BY feature) FROM risk.rolling_features_info) || '{tx_amount}'::text[],
	'[[0, 2, 1, 0.25, 1], [3, 40, 1, 2, 4], [6, 90, 0, 8, 16], [9, 20, 1, 32, 64], [12, 3000, 0, 128, 256]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('m', 'v1');
CREATE TRIGGER score BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
SQL

# One payment in fifty arrives up to eight hours late.  A statement brings a day.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE queue AS
SELECT a.*, known + transaction_id * interval '1 microsecond' AS known
FROM arrivals AS a, LATERAL (SELECT hashint4extended(transaction_id, 1) & 4294967295 AS h) AS h,
	 LATERAL (SELECT tx_datetime + CASE WHEN h % 50 = 0 THEN (h / 50 % 28800) * interval '1 second' ELSE '0' END AS known) AS k;
CREATE INDEX ON queue (known);
ANALYZE;
DO $$
DECLARE
	day timestamp;
BEGIN
	FOR day IN SELECT DISTINCT date_trunc('day', known) FROM queue ORDER BY 1 LOOP
		INSERT INTO payments (transaction_id, tx_datetime, known, customer_id, terminal_id, tx_amount, fraud)
		SELECT transaction_id, tx_datetime, known, customer_id, terminal_id, tx_amount, tx_fraud::boolean
		FROM queue WHERE known >= day AND known < day + interval '1 day' ORDER BY known;
		COMMIT;
	END LOOP;
END $$;
VACUUM ANALYZE;
SQL

my $vector = $node->safe_psql('postgres', <<'SQL');
SELECT string_agg(format('(features ->> %L)::float8::float4', feature), ', ' ORDER BY feature) FROM risk.rolling_features_info
SQL
my $compare = <<"SQL";
WITH vectors AS MATERIALIZED (
	SELECT p.transaction_id::text AS id, ARRAY[$vector, p.tx_amount::float8::float4] AS vector
	FROM risk.training_set('payments', known_as_of => %s) AS t JOIN payments AS p ON p.transaction_id = (t.event ->> 'transaction_id')::int
)
SELECT (SELECT count(*) FROM arrivals), count(*),
	   count(*) FILTER (WHERE v.vector IS DISTINCT FROM l.features),
	   count(*) FILTER (WHERE risk.score_transaction('m', v.vector, 'v1') IS DISTINCT FROM l.score)
FROM vectors AS v JOIN risk.predictions AS l ON l.entity_id = v.id AND l.source = 'trigger'
SQL
my ($arrived, $vectors, $different, $scores) =
  split /\|/, $node->safe_psql('postgres', sprintf($compare, 'true'));
note "$vectors vectors of " . ($real ? 'real' : 'simulated') . " payments compared, $different differ, $scores scores differ";
is($vectors, $arrived, "the trigger saw a vector of each payment: $vectors");
ok($arrived >= 50000, 'which are enough');
is($different, 0, 'each is what training_set() says as known then');
is($scores, 0, 'and so are the scores');

(undef, undef, $different) = split /\|/, $node->safe_psql('postgres', sprintf($compare, 'false'));
cmp_ok($different, '>', $arrived / 200, "knowing what came late, $different would be others");

# Each row looked up now is what the training set says with all that is known.
is($node->safe_psql('postgres', <<'SQL'), '0|10000', 'lookups of rows and training_set() agree');
SELECT count(*) FILTER (WHERE risk.rolling_features('payments', p) IS DISTINCT FROM t.features), count(*)
FROM (SELECT * FROM payments ORDER BY tx_datetime DESC LIMIT 10000) AS p
LEFT JOIN risk.training_set('payments') AS t ON t.event ->> 'transaction_id' = p.transaction_id::text
SQL

done_testing();
