# The prediction log: rows of triggers stand and fall with what they scored,
# rows of queries go by way of the queue, and what is not logged is counted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main', streaming => 1, conf => <<'CONF');
restart_after_crash = on
pg_risk.worker_naptime = '1s'
pg_risk.flush_interval = '100ms'
pg_risk.queue_size = '32MB'
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
CONF
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', map { ("v$_" => forest(20, $_)) } (1 .. 3));
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('m', entity_id => 'id', log => 'transactional');
	CREATE TABLE transactions (id bigint, amount real, hour int, score float8, version text, role text);
	CREATE TRIGGER score BEFORE INSERT ON transactions
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version', 'role');
	-- Transactions of these ids.
	CREATE FUNCTION batch(first int, last int) RETURNS TABLE (id bigint, amount real, hour int)
	LANGUAGE sql AS $$ SELECT i, i * 37 % 1000, i * 101 % 1000 FROM generate_series(first, last) AS i $$;
	-- The log as it should be, and as it is: of rows that triggers scored.
	CREATE VIEW expected AS
		SELECT t.id::text AS entity_id, t.version, t.role, t.score,
			   'v1' AS champion_version, risk.score_transaction('m', t, 'v1') AS champion_score
		FROM transactions AS t
		UNION ALL
		SELECT t.id::text, 'v2', 'shadow', risk.score_transaction('m', t, 'v2'),
			   'v1', risk.score_transaction('m', t, 'v1')
		FROM transactions AS t;
	CREATE VIEW logged AS
		SELECT entity_id, version, role, score, champion_version, champion_score
		FROM risk.predictions WHERE model = 'm' AND source = 'trigger';
	CREATE VIEW differences AS
		(TABLE expected EXCEPT ALL TABLE logged) UNION ALL (TABLE logged EXCEPT ALL TABLE expected);
	SQL

# Wait until nothing waits in the queue for a model any more; what became of
# its transactions: "logged dropped failed rolled_back not_logged".
sub outcome
{
	my ($model, $on) = @_;

	$on //= $node;
	$on->poll_query_until('postgres', "SELECT waiting = 0 FROM risk.queue_status WHERE model = '$model'")
	  or diag($on->safe_psql('postgres', "SELECT * FROM risk.queue_status"));
	return $on->safe_psql('postgres', <<~"SQL");
		SELECT concat_ws(' ', logged, dropped, failed, rolled_back, not_logged)
		FROM risk.queue_status WHERE model = '$model'
		SQL
}

# ---------------------------------------------------------------------------
# Triggers: exactly what was committed.
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.start_shadow('m', 'v2');
	SELECT risk.start_canary('m', 'v3', 25);
	INSERT INTO transactions SELECT * FROM batch(1, 500);
	BEGIN;
	INSERT INTO transactions SELECT * FROM batch(501, 600);
	ROLLBACK;
	BEGIN;
	INSERT INTO transactions SELECT * FROM batch(601, 650);
	SAVEPOINT s;
	INSERT INTO transactions SELECT * FROM batch(651, 700);
	ROLLBACK TO s;
	INSERT INTO transactions SELECT * FROM batch(701, 750);
	SAVEPOINT s;
	INSERT INTO transactions SELECT * FROM batch(751, 800);
	RELEASE s;
	COMMIT;
	SQL
is($node->value('count(*) FROM transactions'), 650, 'rows were committed, and others rolled back');
is($node->value("string_agg(DISTINCT version || ' ' || role, ', ') FROM transactions"),
	'v1 champion, v3 canary', 'champion and canary decided');
is($node->value('count(*) FROM logged'), 1300, 'each has its row, and one of the shadow');
is($node->value('count(*) FROM differences'),
	0, 'no other has; scores and champion scores are those of the versions they name');
is($node->value('count(*) FROM risk.predictions WHERE error IS NOT NULL'), 0, 'without errors');

# Who inserts need not know of the log.
$node->safe_psql('postgres', 'CREATE ROLE writer; GRANT INSERT ON transactions TO writer');
$node->safe_psql('postgres',
	"SET SESSION AUTHORIZATION writer; INSERT INTO transactions VALUES (1001, 5, 5), (1002, 6, 6)");
is($node->value("count(*) FROM logged WHERE entity_id IN ('1001', '1002')"), 4, 'a writer logs without rights on the log');
like(
	$node->error_of('postgres', 'SET SESSION AUTHORIZATION writer; TABLE risk.predictions'),
	qr/^42501: permission denied/, 'which it cannot read');
like(
	$node->error_of('postgres', "SET SESSION AUTHORIZATION writer; INSERT INTO risk.predictions DEFAULT VALUES"),
	qr/^42501: permission denied/, 'nor write');
is($node->value('count(*) FROM differences'), 0, 'its rows match');

# ---------------------------------------------------------------------------
# Canaries: shares, stickiness, growth.
# ---------------------------------------------------------------------------

# Keep who decides for each of 20000 entities, at a percentage.
sub decide_all
{
	my ($name, $percent) = @_;

	$node->safe_psql('postgres', <<~"SQL");
		SET pg_risk.log_queries = off;
		SELECT risk.set_canary('m', $percent) FROM risk.models WHERE model = 'm' AND canary_percent <> $percent;
		CREATE TABLE $name AS SELECT s.id, (risk.decide_transaction('m', s)).version FROM batch(1, 20000) AS s;
		SQL
	return $node->value("count(*) FROM $name WHERE version = 'v3'");
}

for my $percent (5, 25, 60)
{
	my $canary = decide_all("at_$percent", $percent);
	my $expected = 20000 * $percent / 100;

	# Five standard deviations of the binomial distribution.
	cmp_ok(abs($canary - $expected), '<', 5 * sqrt($expected * (1 - $percent / 100)),
		"a canary of $percent % decides so many of 20000 entities: $canary");
}
is(decide_all('again', 60), $node->value("count(*) FROM at_60 WHERE version = 'v3'"), 'as many decide at the next time');
is($node->value('count(*) FROM at_60 AS a JOIN again AS b USING (id) WHERE a.version <> b.version'),
	0, 'an entity stays with its version');
is($node->value('count(*) FROM at_5 AS a JOIN at_25 AS b USING (id) WHERE a.version > b.version')
	  + $node->value('count(*) FROM at_25 AS a JOIN at_60 AS b USING (id) WHERE a.version > b.version'),
	0, 'a higher percentage only adds entities');
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.set_canary('m', 25);
	INSERT INTO transactions SELECT * FROM batch(2001, 3000);
	SQL
is($node->value('count(*) FROM transactions AS t JOIN at_25 AS a USING (id) WHERE t.id > 2000 AND t.version <> a.version'),
	0, 'back at the old percentage, triggers find the same entities');
is($node->value('count(*) FROM differences'), 0, 'and log them so');
$node->safe_psql('postgres', "SELECT risk.abort('m', 'v3'); SELECT risk.start_canary('m', 'v3', 25)");
decide_all('other', 25);
cmp_ok(
	$node->value("count(*) FROM at_25 AS a JOIN other AS b USING (id) WHERE a.version = 'v3' AND b.version = 'v3'"),
	'<', 2000, 'another rollout has other entities');
is($node->value("queued FROM risk.queue_status WHERE model = 'm'"), 0, 'with pg_risk.log_queries off, queries log nothing');

# ---------------------------------------------------------------------------
# Queries: by way of the queue, wherever they run.
# ---------------------------------------------------------------------------

$node->add_model('postgres', 'q', map { ("v$_" => forest(20, $_)) } (1 .. 2));
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('q', entity_id => 'id', log => 'queued');
	SELECT risk.start_shadow('q', 'v2');
	CREATE TABLE history AS SELECT * FROM batch(10001, 30000);
	ANALYZE history;
	SQL

# Predictions of a model that are not right: each row of some query, once by the
# champion and once by the shadow.
sub wrong_in_log
{
	my ($model, $rows, $condition) = @_;

	return $node->safe_psql('postgres', <<~"SQL");
		SET pg_risk.log_queries = off;
		WITH right_ones AS (
			SELECT r.id::text, v.version, v.role, risk.score_transaction('$model', r, v.version),
				   'v1', risk.score_transaction('$model', r, 'v1')
			FROM $rows AS r, (VALUES ('v1', 'champion'), ('v2', 'shadow')) AS v (version, role)
		), logged AS (
			SELECT entity_id, version, role, score, champion_version, champion_score
			FROM risk.predictions WHERE model = '$model' AND $condition
		)
		SELECT count(*) FROM ((TABLE right_ones EXCEPT ALL TABLE logged)
			UNION ALL (TABLE logged EXCEPT ALL TABLE right_ones)) AS wrong
		SQL
}

$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.score_transaction('q', b) FROM batch(1, 100) AS b;
	BEGIN READ ONLY;
	SELECT (risk.decide_transaction('q', b)).score FROM batch(101, 200) AS b;
	COMMIT;
	BEGIN READ ONLY;
	SELECT risk.score_transaction('q', b) FROM batch(201, 300) AS b;
	ROLLBACK;
	SQL
is(outcome('q'), '300 0 0 0 0', 'queries are logged, READ ONLY or not, whatever becomes of their transaction');
is(wrong_in_log('q', 'batch(1, 300)', "source = 'query'"), 0, 'with champion and shadow, each once');

my $parallel = "SELECT max(risk.score_transaction('q', h)) FROM history AS h";
like($node->safe_psql('postgres', "EXPLAIN $parallel"), qr/Parallel Seq Scan/, 'a large table is scored in parallel');
$node->safe_psql('postgres', $parallel);
is(outcome('q'), '20300 0 0 0 0', 'parallel queries are logged');
is(wrong_in_log('q', 'history', 'entity_id::int > 10000'), 0, 'each row once');

$node->safe_psql('postgres', "SET pg_risk.log_queries = off; $parallel");
is(outcome('q'), '20300 0 0 0 0', 'with pg_risk.log_queries off they are not');
$node->safe_psql('postgres', "SELECT risk.score_transaction('q', h, 'v2') FROM history AS h LIMIT 10");
is(outcome('q'), '20300 0 0 0 0', 'nor are scores of a version that was named');

# In a transaction that writes, it decides.
$node->safe_psql('postgres', <<~'SQL');
	CREATE TABLE queued (LIKE transactions);
	CREATE TRIGGER score BEFORE INSERT ON queued
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('q', 'score', 'version', 'role');
	INSERT INTO queued SELECT * FROM batch(1001, 1100);
	BEGIN;
	INSERT INTO queued SELECT * FROM batch(1101, 1200);
	SELECT count(risk.score_transaction('q', b)) FROM batch(1201, 1210) AS b;
	ROLLBACK;
	BEGIN;
	SAVEPOINT s;
	INSERT INTO queued SELECT * FROM batch(1301, 1400);
	ROLLBACK TO s;
	INSERT INTO queued SELECT * FROM batch(1401, 1500);
	COMMIT;
	SQL
is(outcome('q'), '20500 0 0 210 0', 'what a rolled back transaction scored is counted');
is(wrong_in_log('q', 'queued', 'entity_id::int BETWEEN 1001 AND 9999'), 0, 'and not logged, unlike the rest');

my ($session) = $node->session('postgres');
$session->query_safe('BEGIN; INSERT INTO queued SELECT * FROM batch(2001, 2100)');
$node->safe_psql('postgres', 'INSERT INTO queued SELECT * FROM batch(2101, 2200)');
$node->poll_query_until('postgres', "SELECT logged = 20600 FROM risk.queue_status WHERE model = 'q'");
is($node->value("waiting FROM risk.queue_status WHERE model = 'q'"), 100, 'what an open transaction scored waits for it');
is($node->value("queue_fill FROM risk.queue_status WHERE model = 'q'"), 0, '... outside of the queue');
is( $node->value("count(*) FROM risk.predictions WHERE model = 'q' AND entity_id::int BETWEEN 2001 AND 2100"),
	0, '... and is not logged');
$session->query_safe('COMMIT');
is(outcome('q'), '20700 0 0 210 0', 'until it commits');
is(wrong_in_log('q', 'queued', 'entity_id::int BETWEEN 1001 AND 9999'), 0, 'then it is');
is($node->value("string_agg(DISTINCT source, ' ') FROM risk.predictions WHERE model = 'q' AND entity_id::int BETWEEN 1001 AND 9999"),
	'trigger', 'as scored by a trigger');

# One that cannot be written takes no others with it.
$node->safe_psql('postgres', <<~'SQL');
	ALTER TABLE risk.predictions ADD CONSTRAINT refused CHECK (entity_id <> '45050') NOT VALID;
	SELECT count(risk.score_transaction('q', b)) FROM batch(45001, 45100) AS b;
	SQL
is(outcome('q'), '20799 0 1 210 0', 'one that cannot be written is counted, and the others are logged');
is($node->safe_psql('postgres', "SELECT count(*) FROM risk.predictions WHERE model = 'q' AND entity_id::int BETWEEN 45001 AND 45100"),
	198, '... with their shadows');
$node->safe_psql('postgres', <<~'SQL');
	ALTER TABLE risk.predictions DROP CONSTRAINT refused;
	SELECT risk.acknowledge_alert(alert_id) FROM risk.open_alerts WHERE kind = 'log_failed';
	SQL

# A worker that is told to leave hands over what waits.
$session->query_safe('BEGIN; INSERT INTO queued SELECT * FROM batch(2201, 2300)');
$node->poll_query_until('postgres', 'SELECT risk.queue_fill() = 0');
my $worker = $node->process('pg_risk worker');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
wait_until(sub { !running($worker) });
$session->query_safe('COMMIT');
is(outcome('q'), '20899 0 1 210 0', 'what waited is logged by the next worker');
is(wrong_in_log('q', 'queued', 'entity_id::int BETWEEN 1001 AND 9999'), 0, 'each row once');
is($node->value("count(*) FROM risk.open_alerts WHERE kind <> 'log_failed'"), 0, 'nobody was alarmed');

# ---------------------------------------------------------------------------
# Who decides does not depend on a session's settings, and a plan is no traffic.
# ---------------------------------------------------------------------------

$session->quit;
$node->add_model('postgres', 's', map { ("v$_" => forest(20, $_)) } (1 .. 2));
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('s', entity_id => 'id', log => 'queued');
	SELECT risk.start_canary('s', 'v2', 50);
	CREATE FUNCTION deciders(settings text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config(split_part(s, '=', 1), split_part(s, '=', 2), true) FROM unnest(string_to_array(settings, ' ')) AS s;
		RETURN QUERY SELECT string_agg(d.version, ' ' ORDER BY i)
			FROM generate_series(1, 100) AS i, LATERAL (SELECT int4send(i) AS id, 1 AS amount, 1 AS hour) AS t,
				LATERAL risk.decide_transaction('s', t) AS d;
		RETURN QUERY SELECT string_agg(d.version, ' ' ORDER BY i)
			FROM generate_series(1, 100) AS i, LATERAL (SELECT timestamptz 'epoch' + i * interval '1 hour' AS id, 1 AS amount, 1 AS hour) AS t,
				LATERAL risk.decide_transaction('s', t) AS d;
		RETURN QUERY SELECT string_agg(d.version, ' ' ORDER BY i)
			FROM generate_series(1, 100) AS i, LATERAL (SELECT i / 7.0::float8 AS id, 1 AS amount, 1 AS hour) AS t,
				LATERAL risk.decide_transaction('s', t) AS d;
	END $$;
	SQL
is($node->safe_psql('postgres', "SELECT deciders('bytea_output=escape timezone=Asia/Tokyo datestyle=German extra_float_digits=-5')"),
	$node->safe_psql('postgres', "SELECT deciders('bytea_output=hex timezone=America/New_York datestyle=SQL extra_float_digits=3')"),
	'entities stay with their version in sessions of other settings');
is(outcome('s'), '600 0 0 0 0', 'which are logged');
$node->safe_psql('postgres', <<~'SQL');
	EXPLAIN SELECT FROM history WHERE amount > risk.score_transaction('s', '{"id": "plan", "amount": 1, "hour": 1}'::jsonb)
	SQL
is(outcome('s'), '600 0 0 0 0', 'EXPLAIN logs nothing');
($session) = $node->session('postgres');

# ---------------------------------------------------------------------------
# A full queue: nobody waits, nothing is lost uncounted.
# ---------------------------------------------------------------------------

$session->quit;
$node->append_conf('postgresql.conf', "pg_risk.queue_size = '64kB'");
$node->restart;
$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
($session) = $node->session('postgres');
$session->query_safe('BEGIN; LOCK TABLE risk.predictions IN ACCESS EXCLUSIVE MODE');
$node->safe_psql('postgres', "SELECT risk.score_transaction('q', b) FROM batch(30001, 30010) AS b");
$node->process('pg_risk worker', "wait_event_type = 'Lock'");
$node->safe_psql('postgres', <<~'SQL');
	SET statement_timeout = '10s';
	SELECT count(risk.score_transaction('q', b)) FROM batch(30011, 35000) AS b;
	SQL
pass('who scores does not wait for a full queue');
my $dropped = $node->value("dropped FROM risk.queue_status WHERE model = 'q'");
cmp_ok($dropped, '>', 1000, "what found no room is counted: $dropped");
cmp_ok($node->value("queue_fill FROM risk.queue_status WHERE model = 'q'"), '>', 0.9, 'the queue is full');
$session->query_safe('COMMIT');
is(outcome('q'), 5000 - $dropped . " $dropped 0 0 0", 'the rest is logged when the table is free');
is($node->value("count(*) FROM risk.predictions WHERE model = 'q' AND entity_id::int BETWEEN 30001 AND 35000"),
	2 * (5000 - $dropped), 'as many rows are there');
ok( $node->poll_query_until('postgres', <<~"SQL"), 'an alert says how many are missing');
	SELECT count(*) = 1 FROM risk.open_alerts
	WHERE kind = 'queue_full' AND model = 'q' AND severity = 'warning' AND occurrences = $dropped
	SQL

# What waits for an open transaction is no more than the queue holds.
$session->query_safe('BEGIN; INSERT INTO queued SELECT * FROM batch(40001, 41000)');
for my $part (1 .. 5)
{
	$session->query_safe("INSERT INTO queued SELECT * FROM batch(40001 + $part * 100, 40100 + $part * 100)");
	$node->poll_query_until('postgres', 'SELECT risk.queue_fill() = 0');
}
my $full = $node->value("dropped FROM risk.queue_status WHERE model = 'q'") - $dropped;
cmp_ok($full, '>', 0, "more than that is dropped: $full");
$session->query_safe('COMMIT');
is( outcome('q'),
	join(' ', 5000 + 1500 - $dropped - $full, $dropped + $full, 0, 0, 0),
	'the rest is logged when it commits');

# ---------------------------------------------------------------------------
# A crash: rows of triggers are as durable as what they scored; of the queue
# only the end is lost, and an alert says so.
# ---------------------------------------------------------------------------

$session->quit;
$node->append_conf('postgresql.conf', "pg_risk.queue_size = '32MB'");
$node->restart;
my $next = 50000;
for my $victim ('a session that scores', 'the worker')
{
	my $pid;

	# Each transaction scores one id in a query, and inserts the same.
	($session, $pid) = $node->session('postgres');
	$session->query_until(qr/started/, <<~"SQL");
		\\echo started
		DO \$\$
		BEGIN
			FOR i IN $next + 1 .. $next + 1000000 LOOP
				PERFORM risk.score_transaction('q', b) FROM batch(i, i) AS b;
				INSERT INTO transactions SELECT * FROM batch(i, i);
				COMMIT;
			END LOOP;
		END \$\$;
		SQL
	$node->poll_query_until('postgres',
		"SELECT count(*) > 500 FROM risk.predictions WHERE model = 'q' AND entity_id::int > $next")
	  or die 'queries are not logged';
	$pid = $node->process('pg_risk worker') if $victim eq 'the worker';

	my $offset = -s $node->logfile;
	kill(9, $pid);
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	$node->poll_query_until('postgres', 'SELECT true');
	end_lost($session);

	my ($scored, $logged, $last) = split /\|/, $node->value(<<~"SQL");
		(SELECT count(*) FROM transactions WHERE id > $next),
		count(*), max(entity_id::int) - $next
		FROM risk.predictions WHERE model = 'q' AND entity_id::int > $next AND role = 'champion'
		SQL
	is($node->value('count(*) FROM differences'), 0, "after the death of $victim: rows and their predictions match");
	cmp_ok($scored, '>', 500, "... $scored were committed");
	is($logged, $last, "... of the queue, the first $logged are there without a gap");
	# The last one may have been scored, but not committed.
	cmp_ok($logged, '<=', $scored + 1, '... and no others');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM risk.open_alerts WHERE kind = 'queue_lost' AND severity = 'warning'"),
		'... an alert says so');
	$node->safe_psql('postgres',
		"SELECT risk.acknowledge_alert(alert_id) FROM risk.open_alerts WHERE kind = 'queue_lost'");
	is(outcome('q'), '0 0 0 0 0', '... counters begin anew');
	$next += 1000000;
}
$node->safe_psql('postgres', "SELECT risk.score_transaction('q', b) FROM batch(1, 10) AS b");
is(outcome('q'), '10 0 0 0 0', 'queries are logged as before');
ok($node->poll_query_until('postgres', 'SELECT NOT bool_or(open) FROM risk.queue_sessions'),
	'the worker leaves the queue when it is empty');
$node->restart;
$node->safe_psql('postgres', "SELECT risk.worker_upkeep()");
is($node->value("count(*) FROM risk.open_alerts WHERE kind = 'queue_lost'"), 0, 'then a restart loses nothing');

# ---------------------------------------------------------------------------
# A standby scores, and counts what it cannot log.
# ---------------------------------------------------------------------------

$node->backup('backup');
my $standby = PgRisk->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
my $scores = "SELECT sum(risk.score_transaction('q', b)), count(*) FROM batch(1, 1000) AS b";
my $logged = $node->value('count(*) FROM risk.predictions');
is( $standby->safe_psql('postgres', $scores),
	$node->safe_psql('postgres', "SET pg_risk.log_queries = off; $scores"),
	'scores of a standby are those of its primary');
is(outcome('q', $standby), '0 0 0 0 1000', 'what it would have logged is counted');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM risk.predictions'), $logged, 'and is not logged');

# Unless it knows where.
$node->safe_psql('postgres', 'CREATE EXTENSION dblink; CREATE ROLE forwarder LOGIN');
$node->wait_for_catchup($standby);
$standby->set_and_reload('pg_risk.forward_to', 'host=' . $node->host . ' port=' . $node->port . ' user=forwarder');
my $offset = -s $standby->logfile;
my $forward = "SELECT count(risk.score_transaction('q', b)) FROM batch(60001, 61001) AS b";
$standby->safe_psql('postgres', $forward);
is(outcome('q', $standby), '0 0 1001 0 1000', 'what the primary does not take is counted');
$standby->wait_for_log(qr/ERROR:  predictions could not be forwarded to the primary: permission denied for schema risk/, $offset);
pass('the log says why');
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA risk TO forwarder; GRANT INSERT ON risk.predictions TO forwarder');
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', $forward);
is(outcome('q', $standby), '1001 0 1001 0 1000', 'a standby logs by way of its primary');
is(wrong_in_log('q', 'batch(60001, 61001)', "entity_id::int BETWEEN 60001 AND 61001 AND source = 'query'"),
	0, 'each row once, shadows included, to the last bit');
$standby->stop('fast');

# ---------------------------------------------------------------------------
# Partitions: a day each, a week ahead, none older than they are kept.
# ---------------------------------------------------------------------------

# Move the clock, and wait until the worker has made the partitions of the week
# from then on; they are what is returned: "first last count".
sub move_clock
{
	my ($day) = @_;
	my $last = $node->value("date '$day' + 7");

	$node->set_and_reload('pg_risk.clock', "$day 12:00:00+00");
	$node->poll_query_until('postgres', "SELECT bool_or(day = '$last') FROM risk.prediction_partitions()")
	  or diag("there is no partition of $last");
	return $node->value(<<~"SQL");
		concat_ws(' ', min(day), max(day), count(*)) FROM risk.prediction_partitions() WHERE day >= '$day'
		SQL
}

$node->safe_psql('postgres', "ALTER SYSTEM SET pg_risk.prediction_retention = 30");
for my $day ('2031-01-01', '2031-01-03', '2031-01-31')
{
	is(move_clock($day), "$day " . $node->value("date '$day' + 7") . ' 8', "partitions of today and the week ahead: $day");
}
# 30 days before 2031-01-31 is 2031-01-01.
ok($node->poll_query_until('postgres', "SELECT min(day) = '2031-01-01' FROM risk.prediction_partitions()"),
	'partitions of the last 30 days are kept, older ones are dropped');
is($node->value("count(*) FROM risk.predictions WHERE scored_at < '2031-01-01'"), 0, 'with their rows');

# Rows of two days, before their partitions are there.
for my $day ('2031-03-01', '2031-03-20')
{
	$node->safe_psql('postgres', <<~"SQL");
		SET pg_risk.clock = '$day 10:00:00+00';
		INSERT INTO transactions SELECT * FROM batch(3000001, 3000010);
		SQL
}
is($node->value("string_agg(DISTINCT tableoid::regclass::text, ' ') FROM risk.predictions WHERE scored_at >= '2031-03-01'"),
	'risk.predictions_default', 'what nobody foresaw goes to the default partition');
move_clock('2031-02-27');
is($node->value("string_agg(DISTINCT tableoid::regclass || ' ' || scored_at::date, ', ') FROM risk.predictions WHERE scored_at >= '2031-03-01'"),
	'risk.predictions_20310301 2031-03-01, risk.predictions_default 2031-03-20',
	'rows are moved to their partition when it is made');
is($node->value("count(*) FROM risk.predictions WHERE scored_at >= '2031-03-01'"), 40, 'all of them');
is($node->value("occurrences FROM risk.open_alerts WHERE kind = 'late_partition'"), 20, 'an alert counts them');
is($node->value("message ~ '2031-03-20' FROM risk.open_alerts WHERE kind = 'default_partition'"),
	't', 'another one names the day of those that are left');

# A lock that cannot be had is given up.
($session) = $node->session('postgres');
$session->query_safe('BEGIN; SELECT count(*) FROM risk.predictions');
$offset = -s $node->logfile;
$node->set_and_reload('pg_risk.clock', '2031-04-30 12:00:00+00');
$node->wait_for_log(qr/pg_risk: risk.predictions_\d+ has to wait to be dropped/, $offset);
$node->safe_psql('postgres', "SET statement_timeout = '10s'; INSERT INTO transactions SELECT * FROM batch(3000011, 3000020)");
pass('who scores does not wait for it');
$session->query_safe('COMMIT');
$session->quit;
ok( $node->poll_query_until('postgres', "SELECT min(day) >= '2031-03-31' FROM risk.prediction_partitions()"),
	'it is tried again');
is($node->value("count(*) FROM risk.predictions WHERE scored_at < '2031-03-31'"),
	0, 'what is too old goes from the default partition, too');
is($node->value("count(*) FROM risk.predictions WHERE scored_at >= '2031-03-31'"), 20, 'what is not, stays');

done_testing();
