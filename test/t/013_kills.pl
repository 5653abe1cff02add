# Whoever is killed at whatever moment, a client, a backend, the worker, the
# launcher or the server: what triggers logged matches the rows that were
# committed, one to one; of what queries put into the queue only the end is lost,
# and only in a crash of the server, whose alert says from when on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = $ENV{PG_RISK_LONG} ? 40 : 7;
my $seed = $ENV{PG_RISK_SEED} // time;
srand($seed);
note("PG_RISK_SEED=$seed");

my $node = PgRisk->server('main', conf => <<'CONF');
restart_after_crash = on
pg_risk.worker_naptime = '1s'
pg_risk.flush_interval = '100ms'
pg_risk.queue_size = '32MB'
CONF
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', map { ("v$_" => forest(20, $_)) } (1 .. 2));
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('m', entity_id => 'id', log => 'transactional');
	SELECT risk.start_shadow('m', 'v2');
	CREATE TABLE transactions (id bigserial, amount real, hour int, score float8);
	CREATE TRIGGER score BEFORE INSERT ON transactions
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
	-- What queries have scored, and when they were done with it.
	CREATE SEQUENCE queries START 1000000000;
	CREATE TABLE queried (id bigint, at timestamptz);
	CREATE VIEW lost AS
		SELECT * FROM queried AS q WHERE 2 <> (SELECT count(*) FROM risk.predictions AS p
			WHERE p.model = 'm' AND p.entity_id = q.id::text AND p.source = 'query' AND p.score IS NOT NULL);
	SQL
my %scripts = (
	'insert@2' => <<~'SQL',
		\set amount random(1, 1200)
		INSERT INTO transactions (amount, hour) SELECT :amount::real, i FROM generate_series(1, 3) AS i;
		SQL
	'rollback@1' => <<~'SQL',
		BEGIN;
		INSERT INTO transactions (amount, hour) VALUES (1, 1);
		ROLLBACK;
		SQL
	# What the worker holds until its transaction has ended.
	'held@1' => <<~'SQL',
		BEGIN;
		INSERT INTO queried VALUES (0, now());
		SELECT nextval('queries') AS id \gset
		SELECT risk.score_transaction('m', jsonb_build_object('id', :id::bigint, 'amount', 900, 'hour', 1));
		UPDATE queried SET id = :id, at = clock_timestamp() WHERE id = 0 AND xmin = pg_current_xact_id()::xid;
		\sleep 250 ms
		COMMIT;
		SQL
	'query@4' => <<~'SQL',
		SELECT nextval('queries') AS id \gset
		SELECT risk.score_transaction('m', jsonb_build_object('id', :id::bigint, 'amount', 900, 'hour', 1));
		INSERT INTO queried VALUES (:id, clock_timestamp());
		SQL
);

# Server processes of a kind; one of them.
sub one_of
{
	my ($kind) = @_;
	my @pids = split /\n/, $node->value(<<~"SQL");
		pid FROM pg_stat_activity WHERE backend_type = '$kind' AND pid <> pg_backend_pid() ORDER BY random()
		SQL

	return $pids[0];
}

# Kill somebody; whether the server goes with it.
my %kill = (
	'a client' => sub { $_[0]->{run}->kill_kill; return 0; },
	'a backend, gently' => sub { kill('TERM', one_of('client backend')); return 0; },
	'the worker, gently' => sub { kill('TERM', one_of('pg_risk worker')); return 0; },
	'a backend' => sub { kill('KILL', one_of('client backend')); return 1; },
	'the worker' => sub { kill('KILL', one_of('pg_risk worker')); return 1; },
	'the launcher' => sub { kill('KILL', one_of('pg_risk launcher')); return 1; },
	'the server' => sub {
		$node->kill_server;
		$node->start;
		return 1;
	});

my @victims = sort keys %kill;
my $longest = 0;
for my $round (1 .. $rounds)
{
	# Each once, then anybody.
	my $victim = splice(@victims, rand @victims, 1) // (sort keys %kill)[ rand keys %kill ];
	my $traffic = $node->begin_pgbench([ '-c', 4, '-T', 600, '-M', 'prepared' ], %scripts);
	my $first = $node->value("count(*) FROM queried");

	$node->poll_query_until('postgres', "SELECT count(*) > $first + 100 FROM queried")
	  or die "nobody scores: " . (end_pgbench($traffic, "INT"))[0];
	usleep(rand 500_000);
	my $offset = -s $node->logfile;
	my $at = Time::HiRes::time();
	my $crash = $kill{$victim}->($traffic);
	if ($crash)
	{
		$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
		$node->poll_query_until('postgres', 'SELECT true');
	}
	my ($output) = end_pgbench($traffic, 'INT');
	unlike($output, qr/ERROR/, "round $round, $victim: nothing else fails");
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'");
	$node->poll_query_until('postgres', "SELECT waiting = 0 FROM risk.queue_status");

	my ($rows, $wrong) = split /\|/, $node->value(<<~'SQL');
		count(t.id), count(*) FILTER (WHERE t.score IS DISTINCT FROM p.score OR p.rows <> 2)
		FROM transactions AS t FULL JOIN (
			SELECT entity_id::bigint AS id, count(*) AS rows, max(score) FILTER (WHERE role = 'champion') AS score
			FROM risk.predictions WHERE source = 'trigger' GROUP BY entity_id
		) AS p USING (id)
		SQL
	is($wrong, 0, "... $rows rows match their predictions");

	if ($crash)
	{
		ok( $node->poll_query_until('postgres', "SELECT count(*) = 1 FROM risk.open_alerts WHERE kind = 'queue_lost'"),
			'... an alert says from when on queries may be lost');
		my ($early, $window) = split /\|/, $node->value(<<~"SQL");
			count(*) FILTER (WHERE at < flushed_until), $at - extract(epoch FROM flushed_until)
			FROM (SELECT (details ->> 'flushed_until')::timestamptz AS flushed_until
				  FROM risk.open_alerts WHERE kind = 'queue_lost') AS alert LEFT JOIN lost ON true
			GROUP BY flushed_until
			SQL
		is($early, 0, '... which is true');
		$longest = $window if $window > $longest;
	}
	else
	{
		is($node->value('count(*) FROM lost'), 0, '... no query is lost');
		is($node->value("string_agg(concat_ws(' ', dropped, failed), '') FROM risk.queue_status"), '0 0', '... nothing was dropped');
		is($node->value("count(*) FROM risk.open_alerts"), 0, '... nobody was alarmed');
	}
	$node->safe_psql('postgres', <<~'SQL');
		SELECT risk.acknowledge_alert(alert_id) FROM risk.open_alerts;
		TRUNCATE queried;
		SQL
}
note("with pg_risk.flush_interval at 100 ms a crash lost at most the last $longest s");

done_testing();
