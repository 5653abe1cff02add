# The worker judges canaries by itself, also while traffic never lets the queue
# run empty: a canary that fails is gone within about one interval of evaluation,
# one that passes becomes champion.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main', conf => "pg_risk.flush_interval = '100ms'");
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => constant(1), v2 => constant(2), v3 => constant(1));
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('m', entity_id => 'id', log => 'queued');
	-- Twice the champion's score is too much.
	INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples)
		VALUES ('m', 'shift', 'mean_shift', 0.5, '1 minute', 10);
	SQL

# Score, so many rows a statement, in several sessions until something is so.
sub traffic_until
{
	my ($what, $rows, $condition) = @_;
	my $traffic = $node->begin_pgbench([ '-c', 4, '-T', 600, '-M', 'prepared', '-D', "rows=$rows" ],
		'score@1' => <<~'SQL');
		\set id random(1, 1000000)
		SELECT count(risk.score_transaction('m', jsonb_build_object('id', i, 'amount', 1)))
		FROM generate_series(:id::int, :id::int + :rows::int - 1) AS i;
		SQL
	ok($node->poll_query_until('postgres', "SELECT $condition"), $what);
	my ($output, $ok) = end_pgbench($traffic, 'INT');

	ok($ok, '... while nothing failed') or diag($output);
	return;
}

# A bad version, by hand at half of the traffic.
$node->safe_psql('postgres', "SELECT risk.start_canary('m', 'v2', 50, step_interval => '1 second')");
my $rolled_back = "SELECT %s FROM risk.rollout_history WHERE action = 'rollback'";
traffic_until('a canary that fails is rolled back while more is scored than can be logged',
	2000, "EXISTS (@{[ sprintf($rolled_back, '') ]})");
is( $node->safe_psql('postgres', sprintf($rolled_back, "version, from_role, to_role, done_by, gates -> 0 ->> 'result'")),
	'v2|canary||pg_risk|failed', '... by the worker');
is($node->safe_psql('postgres', "SELECT kind, severity, version FROM risk.open_alerts WHERE kind = 'rolled_back'"),
	'rolled_back|critical|v2', '... and says so');
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{\"id\": 1, \"amount\": 1}'::jsonb), canary IS NULL FROM risk.models"),
	'1|t', '... and the champion decides');

# A good version, step by step.
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.start_rollout('m', 'v3', steps => '{10,50,100}', step_interval => '1 second')
	SQL
traffic_until('one that passes becomes champion', 1, "champion = 'v3' FROM risk.models");
is( $node->safe_psql('postgres', <<~'SQL'), '10 50 100', '... by the steps of the plan');
	SELECT string_agg(to_percent::text, ' ' ORDER BY event_id) FROM risk.rollout_history
	WHERE version = 'v3' AND to_role = 'canary' AND from_percent IS DISTINCT FROM to_percent
	SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM risk.gate_results WHERE version = 'v3' AND result = 'failed'"),
	0, '... without a failure');
ok($node->poll_query_until('postgres', "SELECT waiting = 0 AND failed = 0 FROM risk.queue_status"),
	'nothing is left in the queue, and nothing could not be written');

# A gate that never ends: nobody waits for it, neither an emergency nor another
# model's rollout, and it is given up.
$node->set_and_reload('pg_risk.evaluation_timeout', '3s');
$node->add_model('postgres', 'n', v1 => constant(1), v2 => constant(2));
$node->safe_psql('postgres', <<~'SQL');
	CREATE FUNCTION endless(text, text, timestamptz, timestamptz) RETURNS float8 LANGUAGE sql
	AS 'SELECT 1.0::float8 FROM pg_sleep(1000)';
	SELECT risk.alter_model('n', entity_id => 'id', log => 'queued');
	INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples)
		VALUES ('n', 'endless', 'public.endless(text,text,timestamptz,timestamptz)', 0.5, '1 minute', 1);
	SELECT risk.start_canary('n', 'v2', 50, step_interval => '1 second');
	SELECT risk.start_canary('m', 'v2', 50, step_interval => '1 second');
	SQL
my $waits = "wait_event = 'PgSleep'";
$node->process('pg_risk worker', $waits);
is($node->safe_psql('postgres', "SET lock_timeout = '1s'; SELECT risk.set_canary('n', 10)"), '',
	'a move does not wait for a gate that never ends');
ok( $node->poll_query_until('postgres', "SELECT message ~ 'longer than pg_risk.evaluation_timeout' FROM risk.open_alerts WHERE model = 'n' AND kind = 'evaluation_error'"),
	'the gate is given up, and an alert says so');
traffic_until('meanwhile another model\'s canary is judged', 1, "count(*) = 2 FROM risk.rollout_history WHERE action = 'rollback' AND version = 'v2'");
$node->process('pg_risk worker', $waits);
is($node->safe_psql('postgres', "SET lock_timeout = '1s'; SELECT risk.abort('n')"), '', 'nor does an abort');
is($node->safe_psql('postgres', "SELECT canary IS NULL FROM risk.models WHERE model = 'n'"), 't', 'which is one');

# One that cannot even be cancelled ends the worker, and does not hold up a stop.
$node->safe_psql('postgres', <<~'SQL');
	DELETE FROM risk.gates WHERE model = 'n';
	CREATE FUNCTION stubborn(text, text, timestamptz, timestamptz) RETURNS float8 LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(1000);
			EXCEPTION WHEN query_canceled THEN
				RAISE LOG 'stubborn';
			END;
		END LOOP;
	END $$;
	INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples)
		VALUES ('n', 'stubborn', 'public.stubborn(text,text,timestamptz,timestamptz)', 0.5, '1 minute', 1);
	SELECT risk.start_canary('n', 'v2', 50, step_interval => '1 second');
	SQL
my $worker = $node->process('pg_risk worker', $waits);
wait_until(sub { !running($worker) });
pass('a worker ends whose gate cannot be cancelled');
$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
$worker = $node->process('pg_risk worker', $waits);
{
	local $ENV{PGCTLTIMEOUT} = 20;
	ok($node->stop('fast', fail_ok => 1), 'a fast shutdown does not wait for one')
	  or $node->stop('immediate');
}
$node->append_conf('postgresql.conf', "pg_risk.max_workers = 1");
$node->start;
$node->safe_psql('postgres', "DELETE FROM risk.gates WHERE gate = 'stubborn'; SELECT risk.abort('n')");

# Databases take turns when there are not enough workers.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->install('other');
$node->add_model('other', 'm', v1 => constant(1), v2 => constant(2));
$node->safe_psql('other', "SELECT risk.alter_model('m', entity_id => 'id', log => 'queued')");
my $traffic = $node->begin_pgbench([ '-c', 1, '-T', 600 ],
	'busy@1' => "SELECT risk.score_transaction('m', '{\"id\": 1, \"amount\": 1}'::jsonb);\n\\sleep 10 ms\n");
$node->poll_query_until('postgres', "SELECT logged > 10 FROM risk.queue_status WHERE model = 'm'");
$node->safe_psql('other', "SELECT risk.score_transaction('m', '{\"id\": 1, \"amount\": 1}'::jsonb)");
ok($node->poll_query_until('other', "SELECT count(*) = 1 FROM risk.predictions"), 'a quiet database gets its turn');
my $logged = $node->safe_psql('postgres', "SELECT logged FROM risk.queue_status WHERE model = 'm'");
ok($node->poll_query_until('postgres', "SELECT logged > $logged FROM risk.queue_status WHERE model = 'm'"),
	'and the busy one its next');
my ($output, $ok) = end_pgbench($traffic, 'INT');
ok($ok, 'while it scores') or diag($output);

done_testing();
