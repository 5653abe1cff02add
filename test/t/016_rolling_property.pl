# Rolling features of a random stream, whatever happens to it: several writers at
# once insert events in any order of time, with ties, NULLs and values of any
# magnitude, replay and retract blocks, update, move, delete and roll back.
# Lookups, the training set, window functions, PostgreSQL's frames over exact
# numbers and a plain self-join agree all the while, to the bit.
#
# 50,000 events; with PG_RISK_LONG 1,000,000.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use Test::More;

my $long = $ENV{PG_RISK_LONG};
my ($events, $keys, $days) = $long ? (1_000_000, 1000, 300) : (50_000, 50, 30);
my $chains = 5;
my $node = PgRisk->server('main', conf => "fsync = off\nmax_wal_size = '4GB'\nwork_mem = '64MB'\ntimezone = 'UTC'");
$node->start;
$node->install('postgres');

$node->safe_psql('postgres', <<"SQL");
-- A float8 as the number that it is.
CREATE FUNCTION exactly(v float8) RETURNS numeric LANGUAGE sql IMMUTABLE AS \$\$
	SELECT CASE WHEN b < 0 THEN -1 ELSE 1 END * CASE WHEN e >= 1075 THEN m * 2::numeric ^ (e - 1075)
		ELSE ((m * 5::numeric ^ (1075 - e))::text || 'e' || (e - 1075))::numeric END
	FROM (SELECT ('x' || encode(float8send(v), 'hex'))::bit(64)::bigint) AS f (b),
		 LATERAL (SELECT greatest((b >> 52) & 2047, 1)) AS g (e),
		 LATERAL (SELECT ((b & 4503599627370495) + CASE WHEN (b >> 52) & 2047 > 0 THEN 4503599627370496 ELSE 0 END)::numeric) AS h (m)
\$\$;
CREATE TABLE events (chain int, log int, k text, at timestamptz, known timestamptz,
	v float8, fee numeric, flag boolean, peer int, x numeric GENERATED ALWAYS AS (exactly(v)) STORED,
	rate numeric GENERATED ALWAYS AS (CASE WHEN peer % 7 > 0 THEN round(peer / 4.0, peer % 5) END) STORED, PRIMARY KEY (chain, log));
CREATE INDEX ON events (k, at);
CREATE INDEX ON events (peer, k, at);
CREATE INDEX ON events (chain, k, rate, at DESC);

-- A value of any magnitude, or none.
CREATE FUNCTION draw_value() RETURNS float8 LANGUAGE plpgsql AS \$\$
DECLARE
	sign CONSTANT float8 := CASE WHEN random() < 0.5 THEN -1 ELSE 1 END;
BEGIN
	CASE (random() * 50)::int
		WHEN 1, 2 THEN RETURN NULL;
		WHEN 3 THEN RETURN sign * random() * 1e300;
		WHEN 4 THEN RETURN sign * random() * 1e-300;
		WHEN 5 THEN RETURN sign * (random() * 9)::int * 5e-324;
		WHEN 6 THEN RETURN sign * 0.0;
		WHEN 7, 8, 9 THEN RETURN sign * random() * 10 ^ (random() * 30 - 15);
		WHEN 10, 11, 12, 13, 14, 15, 16, 17 THEN RETURN sign * (random() * 9)::int;
		ELSE RETURN sign * round((random() * 1000)::numeric, 2);
	END CASE;
END \$\$;

-- So many events of a chain from a number on: many of few keys, at few instants,
-- in whatever order of time, some of them known late.
CREATE FUNCTION draw(of int, first int, n int)
RETURNS TABLE (chain int, log int, k text, at timestamptz, known timestamptz, v float8, fee numeric, flag boolean, peer int) LANGUAGE sql AS \$\$
	SELECT of, log, CASE WHEN random() < 0.99 THEN 'k' || floor(random() ^ 3 * $keys) END,
		   CASE WHEN random() < 0.995 THEN t.at END, CASE WHEN random() < 0.99 THEN t.at + CASE WHEN random() < 0.05 THEN random() * interval '8 hours' ELSE '1 second' END END,
		   draw_value(), CASE WHEN random() < 0.95 THEN (random() * 1e15)::numeric * (random() * 1e9)::int * ('1e-' || (random() * 15)::int)::numeric END,
		   CASE WHEN random() < 0.9 THEN random() < 0.3 END, CASE WHEN random() < 0.95 THEN floor(random() ^ 2 * 40) END
	FROM generate_series(first, first + n - 1) AS log,
		 LATERAL (SELECT timestamptz '2026-01-01' + floor(random() * $days * 288 + 0 * log) * interval '5 minutes' AS at) AS t
\$\$;

SELECT risk.create_rolling_features('events', 'k', 'at', 'v', '{1 hour,1 day}', '{count,sum,avg,stddev,sum(fee),avg(fee),distinct(peer)}', known_time => 'known', name => 'moments');
SELECT risk.create_rolling_features('events', 'k', 'at', 'v', '{1 hour,1 day}', '{min,max,last,since_last}', known_time => 'known', name => 'edges');
SELECT risk.create_rolling_features('events', 'k', 'at', 'v', '{7 days,20 days}', '{min,max,min(fee),max(fee)}', known_time => 'known', name => 'extremes');
SELECT risk.create_rolling_features('events', 'k', 'at', 'v', '{1 hour,1 day}',
	'{share(flag),change,change(v),"decayed_distinct(peer, 6 hours)"}', known_time => 'known', name => 'others');
SELECT risk.create_rolling_features('events', 'k', 'at', windows => '{1 hour,1 day}', aggregates => '{share(v > 0 AND flag) AS plus}', known_time => 'known', name => 'conditions');
SELECT risk.create_rolling_features('events', '{k,chain}'::name[], 'at', 'fee', '{2 hours,1 month}', '{count,sum,last,since_last,change,distinct(rate)}', known_time => 'known', name => 'late', delay => '3 hours', create_index => true);

-- The float8 nearest to a number.
CREATE FUNCTION nearest(n numeric) RETURNS float8 LANGUAGE sql IMMUTABLE AS \$\$
	SELECT CASE WHEN abs(n) > 1.7976931348623158e308 THEN sign(n)::float8 * 'Infinity' WHEN abs(n) < 2.4703282292062328e-324 THEN 0 ELSE n::float8 END \$\$;
-- A quotient with digits enough to be rounded once more; a division has 1,000.
CREATE FUNCTION ratio(a numeric, b numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS \$\$
	SELECT a * 1e400 / (('1.' || repeat('0', 1000))::numeric * nullif(b, 0)) * 1e-400 \$\$;
CREATE FUNCTION change(now float8, before float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS \$\$
	SELECT nearest(ratio(exactly(nearest(exactly(now) - exactly(before))), exactly(before))) \$\$;

-- The training set; as known then of two days, since that looks at all that was not known again and again.
CREATE VIEW trained AS
	SELECT (event ->> 'chain')::int AS chain, (event ->> 'log')::int AS log, features FROM risk.training_set('events');
CREATE VIEW trained_as_known AS
	SELECT (event ->> 'chain')::int AS chain, (event ->> 'log')::int AS log, features
	FROM risk.training_set('events', '2026-01-11', '2026-01-13', known_as_of => true);

-- Our window functions.
CREATE VIEW windowed AS
	SELECT chain, log, jsonb_build_object(
		'k_cnt_prev_1h', a[1], 'k_cnt_prev_1d', a[2], 'k_sum_v_prev_1h', a[3], 'k_sum_v_prev_1d', a[4],
		'k_avg_v_prev_1h', a[5], 'k_avg_v_prev_1d', a[6], 'k_stddev_v_prev_1h', a[7], 'k_stddev_v_prev_1d', a[8],
		'k_min_v_prev_1h', a[9], 'k_min_v_prev_1d', a[10], 'k_max_v_prev_1h', a[11], 'k_max_v_prev_1d', a[12],
		'k_last_v_prev_1h', a[13], 'k_last_v_prev_1d', a[14], 'k_since_last_prev_1h', since_1h, 'k_since_last_prev_1d', since_1d,
		'k_sum_fee_prev_1d', fee::float8, 'k_share_flag_prev_1h', share, 'k_share_plus_prev_1h', plus, 'k_distinct_peer_prev_1d', peers, 'k_change_cnt_prev_1d', change,
		'k_change_v_prev_1h', change_v, 'k_decayed_distinct_peer_prev_1d', decayed,
		'k_chain_cnt_prev_2h_delay_3h', late, 'k_chain_sum_fee_prev_1mo_delay_3h', late_fee::float8,
		'k_chain_last_fee_prev_2h_delay_3h', late_last, 'k_chain_distinct_rate_prev_1mo_delay_3h', late_rates, 'k_chain_change_cnt_prev_2h_delay_3h', late_change) AS features
	FROM (SELECT chain, log, risk.rolling_array(v, at, '{1 hour,1 day}', '{count,sum,avg,stddev,min,max,last}') OVER w AS a,
				 risk.rolling_since_last(at, '1 hour') OVER w AS since_1h, risk.rolling_since_last(at, '1 day') OVER w AS since_1d,
				 risk.rolling_sum(fee, at, '1 day') OVER w AS fee, risk.rolling_share(flag, at, '1 hour') OVER w AS share,
				 risk.rolling_share(v > 0 AND flag, at, '1 hour') OVER w AS plus,
				 risk.rolling_distinct(peer, at, '1 day') OVER w AS peers, risk.rolling_change(at, '1 day') OVER w AS change,
				 risk.rolling_change(v, at, '1 hour') OVER w AS change_v, risk.decayed_distinct(peer, at, '1 day', '6 hours') OVER w AS decayed,
				 risk.rolling_count(at, '2 hours', '3 hours') OVER c AS late, risk.rolling_sum(fee, at, '1 month', '3 hours') OVER c AS late_fee,
				 risk.rolling_last(fee::float8, at, '2 hours', '3 hours') OVER c AS late_last, risk.rolling_distinct(rate, at, '1 month', '3 hours') OVER c AS late_rates, risk.rolling_change(at, '2 hours', '3 hours') OVER c AS late_change
		  FROM events WHERE k IS NOT NULL AND at IS NOT NULL
		  WINDOW w AS (PARTITION BY k ORDER BY at), c AS (PARTITION BY k, chain ORDER BY at)) AS f;

-- PostgreSQL's frames over exact numbers.
CREATE VIEW framed AS
	SELECT chain, log, jsonb_build_object(
		'k_cnt_prev_1h', count(*) OVER h, 'k_cnt_prev_1d', count(*) OVER d,
		'k_sum_v_prev_1h', nearest(coalesce(sum(x) OVER h, 0)), 'k_sum_v_prev_1d', nearest(coalesce(sum(x) OVER d, 0)),
		'k_avg_v_prev_1d', nearest(ratio(sum(x) OVER d, count(x) OVER d)),
		'k_min_v_prev_1h', min(v) OVER h, 'k_max_v_prev_1d', max(v) OVER d,
		'k_since_last_prev_1d', extract(epoch FROM at - max(at) OVER d)::float8,
		'k_sum_fee_prev_1h', coalesce(sum(fee) OVER h, 0)::float8, 'k_avg_fee_prev_1d', (sum(fee) OVER d / nullif(count(fee) OVER d, 0))::float8) AS features
	FROM events WHERE k IS NOT NULL AND at IS NOT NULL
	WINDOW h AS (PARTITION BY k ORDER BY at RANGE BETWEEN '1 hour' PRECEDING AND '1 microsecond' PRECEDING),
		   d AS (PARTITION BY k ORDER BY at RANGE BETWEEN '1 day' PRECEDING AND '1 microsecond' PRECEDING);

-- A plain self-join: of one event, of all that is known or of what was known to it.
CREATE FUNCTION joined(e events, as_known boolean) RETURNS jsonb LANGUAGE sql STABLE AS \$\$
	SELECT f.features || l.features || x.features FROM (
		SELECT jsonb_object_agg(f.prefix || w.w, f.value) AS features
		FROM (VALUES ('1h', interval '1 hour'), ('1d', '1 day')) AS w (w, width),
		LATERAL (
			SELECT count(*) AS n, count(v) AS values, coalesce(sum(x), 0) AS sum, sum(x * x) AS squares, min(v), max(v),
				   (array_agg(v ORDER BY at DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1] AS last, max(at) AS latest,
				   coalesce(sum(fee), 0) AS fee, sum(fee) / nullif(count(fee), 0) AS avg_fee, count(DISTINCT peer) AS peers,
				   count(*) FILTER (WHERE flag) AS flags, count(flag) AS flagged,
				   count(*) FILTER (WHERE v > 0 AND flag) AS plus, count(v > 0 AND flag) AS plus_or_not
			FROM events AS o WHERE o.k = (e).k AND o.at >= (e).at - w.width AND o.at < (e).at
			AND NOT coalesce(as_known AND o.known > (e).known, false)) AS a,
		LATERAL (
			SELECT count(*) AS n, coalesce(sum(x), 0) AS sum
			FROM events AS o WHERE o.k = (e).k AND o.at >= (e).at - w.width - w.width AND o.at < (e).at - w.width
			AND NOT coalesce(as_known AND o.known > (e).known, false)) AS p,
		LATERAL (
			SELECT coalesce(sum(exp(-extract(epoch FROM (e).at - s.seen)::float8 / 21600)), 0) + ((e).peer IS NOT NULL)::int AS peers
			FROM (SELECT max(o.at) AS seen FROM events AS o WHERE o.k = (e).k AND o.peer IS NOT NULL AND o.peer IS DISTINCT FROM (e).peer
				  AND o.at >= (e).at - w.width AND o.at < (e).at AND NOT coalesce(as_known AND o.known > (e).known, false) GROUP BY o.peer) AS s) AS s,
		LATERAL (VALUES
			('k_cnt_prev_', a.n::float8), ('k_sum_v_prev_', nearest(a.sum)), ('k_avg_v_prev_', nearest(ratio(a.sum, a.values))),
			('k_stddev_v_prev_', CASE WHEN a.values > 1 THEN nearest(sqrt(ratio(a.values * a.squares - a.sum * a.sum, a.values * (a.values - 1)))) END),
			('k_min_v_prev_', a.min), ('k_max_v_prev_', a.max), ('k_last_v_prev_', a.last),
			('k_since_last_prev_', extract(epoch FROM (e).at - a.latest)::float8),
			('k_sum_fee_prev_', a.fee::float8), ('k_avg_fee_prev_', a.avg_fee::float8),
			('k_distinct_peer_prev_', a.peers), ('k_share_flag_prev_', nearest(ratio(a.flags, a.flagged))),
			('k_share_plus_prev_', nearest(ratio(a.plus, a.plus_or_not))), ('k_change_cnt_prev_', change(a.n, p.n)), ('k_change_v_prev_', change(nearest(a.sum), nearest(p.sum))),
			('k_decayed_distinct_peer_prev_', s.peers)) AS f (prefix, value)) AS f, (
		SELECT jsonb_object_agg(f.prefix || w.w || '_delay_3h', f.value) AS features
		FROM (VALUES ('2h', interval '2 hours'), ('1mo', '1 month')) AS w (w, width),
		LATERAL (
			SELECT count(*) AS n, coalesce(sum(fee), 0) AS fee, max(at) AS latest,
				   (array_agg(fee ORDER BY at DESC, fee DESC) FILTER (WHERE fee IS NOT NULL))[1] AS last, count(DISTINCT rate) AS rates
			FROM events AS o WHERE o.k = (e).k AND o.chain = (e).chain AND o.at >= (e).at - interval '3 hours' - w.width AND o.at < (e).at - interval '3 hours'
			AND NOT coalesce(as_known AND o.known > (e).known, false)) AS a,
		LATERAL (
			SELECT count(*) AS n
			FROM events AS o WHERE o.k = (e).k AND o.chain = (e).chain
			AND o.at >= (e).at - interval '3 hours' - w.width - w.width AND o.at < (e).at - interval '3 hours' - w.width
			AND NOT coalesce(as_known AND o.known > (e).known, false)) AS p,
		LATERAL (VALUES ('k_chain_cnt_prev_', a.n::float8), ('k_chain_sum_fee_prev_', a.fee::float8), ('k_chain_last_fee_prev_', a.last::float8),
			('k_chain_since_last_prev_', extract(epoch FROM (e).at - a.latest)::float8), ('k_chain_change_cnt_prev_', change(a.n, p.n)), ('k_chain_distinct_rate_prev_', a.rates)) AS f (prefix, value)) AS l, (
		SELECT jsonb_object_agg(f.prefix || w.w, f.value) AS features
		FROM (VALUES ('7d', interval '7 days'), ('20d', '20 days')) AS w (w, width),
		LATERAL (
			SELECT min(v) AS least, max(v) AS most, min(fee)::float8 AS least_fee, max(fee)::float8 AS most_fee
			FROM events AS o WHERE o.k = (e).k AND o.at >= (e).at - w.width AND o.at < (e).at
			AND NOT coalesce(as_known AND o.known > (e).known, false)) AS a,
		LATERAL (VALUES ('k_min_v_prev_', a.least), ('k_max_v_prev_', a.most), ('k_min_fee_prev_', a.least_fee), ('k_max_fee_prev_', a.most_fee)) AS f (prefix, value)) AS x
\$\$;
-- Are features those of a self-join: the decayed counts to rounding, all else to the bit?
CREATE FUNCTION agree(features jsonb, plain jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS \$\$
	SELECT coalesce(features - '{k_decayed_distinct_peer_prev_1h,k_decayed_distinct_peer_prev_1d}'::text[] = plain - '{k_decayed_distinct_peer_prev_1h,k_decayed_distinct_peer_prev_1d}'::text[]
		AND abs((features ->> 'k_decayed_distinct_peer_prev_1h')::float8 - (plain ->> 'k_decayed_distinct_peer_prev_1h')::float8) < 1e-9
		AND abs((features ->> 'k_decayed_distinct_peer_prev_1d')::float8 - (plain ->> 'k_decayed_distinct_peer_prev_1d')::float8) < 1e-9, false) \$\$;
CREATE SEQUENCE batch MINVALUE 0;
SQL

# Some random events, looked up while writers write: one statement, one snapshot.
sub look
{
	my ($share) = @_;
	my ($looked, $different) = split /\|/, $node->safe_psql('postgres', <<~"SQL");
		SELECT count(*), count(*) FILTER (WHERE NOT agree(risk.rolling_features('events', e), joined(e, false)))
		FROM (SELECT * FROM events TABLESAMPLE system ($share) WHERE at IS NOT NULL ORDER BY random() LIMIT 30) AS e
		SQL

	return ($looked, $different);
}

# Run writers, look meanwhile, and compare everything when they have finished.
sub run_and_compare
{
	my ($what, $transactions, %scripts) = @_;
	my $writers = $node->begin_pgbench([ '-c', 4, '-t', $transactions ], %scripts);
	my ($looks, $sum, $wrong) = (0, 0, 0);

	while ($writers->{run}->pumpable)
	{
		my ($looked, $different) = look(10);

		$looks++;
		$sum += $looked;
		$wrong += $different;
		$writers->{run}->pump_nb;
	}
	my ($output, $ok) = end_pgbench($writers);
	ok($ok, "$what: four writers at once") or diag($output);
	cmp_ok($looks, '>', 1, "... $sum events looked up meanwhile, in $looks snapshots");
	is($wrong, 0, '... each as a self-join in the same snapshot');

	my ($stored, $trained, $windowed, $framed, $strangers) = split /\|/, $node->safe_psql('postgres', <<~'SQL');
		WITH trained AS MATERIALIZED (SELECT * FROM trained)
		SELECT (SELECT count(*) FROM events WHERE at IS NOT NULL), (SELECT count(*) FROM trained),
			   (SELECT count(*) FROM windowed AS w LEFT JOIN trained AS t USING (chain, log) WHERE (t.features @> w.features) IS NOT TRUE),
			   (SELECT count(*) FROM framed AS f LEFT JOIN trained AS t USING (chain, log) WHERE (t.features @> f.features) IS NOT TRUE),
			   (SELECT count(*) FROM events AS e JOIN trained AS t USING (chain, log) WHERE e.k IS NULL AND t.features ->> 'k_cnt_prev_1d' <> '0')
		SQL
	cmp_ok($stored, '>', $events * 0.9, "... $stored events");
	is($trained, $stored, '... all in the training set');
	is($windowed, 0, '... as the window functions have them');
	is($framed, 0, '... and frames over exact numbers');
	is($strangers, 0, '... without a key without a history');
	is($node->safe_psql('postgres', <<~'SQL'), 't|0|0', '... 600 looked up, half of them the latest, and as a self-join has them');
		WITH trained AS MATERIALIZED (SELECT * FROM trained)
		SELECT count(*) = 600, count(*) FILTER (WHERE t.features IS DISTINCT FROM risk.rolling_features('events', e)),
			   count(*) FILTER (WHERE e.n % 5 = 0 AND NOT agree(t.features, joined(e.e, false)))
		FROM (SELECT e, e.*, row_number() OVER (PARTITION BY at > (SELECT max(at) - interval '2 days' FROM events) ORDER BY random()) AS n
			  FROM events AS e WHERE at IS NOT NULL ORDER BY n LIMIT 600) AS e LEFT JOIN trained AS t USING (chain, log)
		SQL
	is($node->safe_psql('postgres', <<~'SQL'), 't|0|t', '... and as known then, which is something else');
		SELECT count(*) >= 100, count(*) FILTER (WHERE NOT agree(t.features, joined(e, true))), count(*) FILTER (WHERE NOT agree(t.features, joined(e, false))) > 0
		FROM (SELECT * FROM trained_as_known ORDER BY random() LIMIT 100) AS t JOIN events AS e USING (chain, log)
		SQL
	return;
}

run_and_compare('filling', $events / 4 / 250, 'fill@1' => <<"SQL");
INSERT INTO events (chain, log, k, at, known, v, fee, flag, peer)
SELECT d.* FROM (SELECT nextval('batch')::int AS n) AS b, draw(b.n % $chains, b.n / $chains * 250, 250) AS d;
SQL

# From here on tiles answer what they can, and whatever changes is late for them.
$node->safe_psql('postgres', "CALL risk.refresh_rolling_features('events')");

# A chain is one writer's at a time, so that these never wait for each other in
# a circle: if any do, it is the features' doing.  Keys are everybody's.
my $last = $events / $chains - 40;
my $begin = "\\set chain random(0, $chains - 1)\n\\set log random(0, $last)\nBEGIN;\nSELECT pg_advisory_xact_lock(:chain);\n";
my $here = 'chain = :chain AND log BETWEEN :log AND :log + 39';
my $columns = '(chain, log, k, at, known, v, fee, flag, peer)';
run_and_compare(
	'changing', $long ? 2000 : 300,
	'insert@2' => "${begin}INSERT INTO events $columns SELECT * FROM draw(:chain, :log, 40) ON CONFLICT DO NOTHING;\nCOMMIT;\n",
	'replay@3' => <<"SQL", 'reorg@2' => <<"SQL", 'correct@3' => <<"SQL", 'move@2' => <<"SQL", 'delete@1' => "${begin}DELETE FROM events WHERE $here;\nCOMMIT;\n", 'undo@2' => <<"SQL");
${begin}INSERT INTO events $columns SELECT * FROM draw(:chain, :log, 40)
ON CONFLICT (chain, log) DO UPDATE SET k = excluded.k, at = excluded.at, known = excluded.known, v = excluded.v, fee = excluded.fee, peer = excluded.peer;
COMMIT;
SQL
${begin}DELETE FROM events WHERE $here;
INSERT INTO events $columns SELECT * FROM draw(:chain, :log, 40);
COMMIT;
SQL
${begin}UPDATE events SET v = draw_value(), fee = -fee, flag = NOT flag, peer = peer + 1 WHERE $here;
COMMIT;
SQL
${begin}UPDATE events SET at = at + (random() * 288)::int * interval '5 minutes', k = 'k' || floor(random() ^ 3 * $keys) WHERE $here;
COMMIT;
SQL
${begin}UPDATE events SET v = v + 1 WHERE $here;
SAVEPOINT s;
DELETE FROM events WHERE $here;
ROLLBACK TO SAVEPOINT s;
UPDATE events SET at = at - interval '1 hour' WHERE $here AND log % 2 = 0;
SELECT CASE WHEN random() < 0.5 THEN 1 ELSE 0 END AS keep \\gset
\\if :keep
COMMIT;
\\else
ROLLBACK;
\\endif
SQL

my %least = (moments => 30, late => 100, extremes => 100);
for my $set (sort keys %least)
{
	my $by_tiles = $node->safe_psql('postgres', "SELECT lookups_by_tiles FROM risk.rolling_tiles_info WHERE set_name = '$set'");
	cmp_ok($by_tiles, ">", $least{$set}, "$set: $by_tiles lookups were answered by tiles");
}

# What the executor is to do for a frame, of rolling features alone and beside a function that looks at it.
for (['risk.rolling_count(at, \'1 hour\') OVER w' => 'ROWS'], ['risk.rolling_count(at, \'1 hour\') OVER w, count(*) OVER w' => 'RANGE'])
{
	my ($functions, $wanted) = @$_;
	my (undef, undef, $plan) = $node->psql('postgres',
		"SET debug_print_plan = on; SET client_min_messages = log; SELECT $functions FROM events WINDOW w AS (PARTITION BY k ORDER BY at) LIMIT 1");
	my ($options) = $plan =~ /{WINDOWAGG.*?:frameOptions (\d+)/s;
	is($options & 2 ? 'RANGE' : $options & 4 ? 'ROWS' : $options, $wanted, "the frame of $functions");
}

$node->stop;
done_testing();
