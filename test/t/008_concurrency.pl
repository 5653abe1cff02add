# Sessions score, in queries and in a trigger, on a primary and on its standby,
# while another promotes, starts and aborts canaries and shadows, changes their
# percentages and rolls back, in transactions that end either way.  Nothing
# fails and nobody waits.  A statement's route is that of its snapshot, and every
# score, returned, stored or logged, is that of the version it names.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PG_RISK_LONG} ? 60 : 8;
my $primary = PgRisk->server('primary', streaming => 1, conf => <<'CONF');
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
pg_risk.flush_interval = '100ms'
pg_risk.queue_size = '32MB'
# Who waits for a lock that long is reported.
deadlock_timeout = '500ms'
log_lock_waits = on
CONF
$primary->start;
$primary->install('postgres');
$primary->add_model('postgres', 'm', map { ("v$_" => forest(20, $_)) } (1 .. 3));
$primary->safe_psql('postgres', <<~'SQL');
	SELECT risk.alter_model('m', entity_id => 'id', log => 'transactional', log_features => 'full');
	CREATE TABLE transactions (id bigserial, amount real, hour int, score float8, version text, role text);
	CREATE TRIGGER score BEFORE INSERT ON transactions
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version', 'role');
	-- One entity, many rows.
	CREATE TABLE history AS SELECT 1 AS id, 900::real AS amount, 900 AS hour FROM generate_series(1, 20000);
	ANALYZE history;

	-- Do the roles of the model's tables, as a statement sees them, and the
	-- version named account for this decision?
	CREATE FUNCTION accounted(m risk.models, role text, version text, score float8, amount real, hour int)
	RETURNS boolean LANGUAGE sql AS $$
		SELECT version = CASE role WHEN 'champion' THEN m.champion WHEN 'canary' THEN m.canary END
			AND score = risk.score_transaction('m', ARRAY[amount, hour]::real[], version)
	$$;

	-- Make a move of the rollout; one that is not possible now is refused.
	CREATE FUNCTION move(kind int, version text, percent int) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		CASE kind
			WHEN 0 THEN PERFORM risk.promote('m', version);
			WHEN 1 THEN PERFORM risk.start_canary('m', version, percent);
			WHEN 2 THEN PERFORM risk.set_canary('m', percent);
			WHEN 3 THEN PERFORM risk.rollback('m');
			WHEN 4 THEN PERFORM risk.abort('m', version);
			WHEN 5 THEN PERFORM risk.start_shadow('m', version, percent);
		END CASE;
		RETURN true;
	EXCEPTION WHEN object_not_in_prerequisite_state THEN
		RETURN false;
	END
	$$;
	SQL
is( $primary->safe_psql('postgres', <<~'SQL'), 3, 'the versions differ where it is looked at');
	SELECT count(DISTINCT risk.score_transaction('m', '{900,900}'::real[], version)) FROM risk.model_versions
	SQL
like(
	$primary->safe_psql('postgres', "EXPLAIN SELECT max(risk.score_transaction('m', h)) FROM history AS h"),
	qr/Parallel Seq Scan/, 'a large table is scored in parallel');

$primary->backup('backup');
my $standby = PgRisk->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;

my %queries = (
	'query@6' => <<~'SQL',
		\set id random(1, 100000)
		\set amount random(1, 1200)
		SELECT 1 / bool_and(accounted(m, d.role, d.version, d.score, t.amount, t.hour))::int
		FROM risk.models AS m, (SELECT :id AS id, :amount::real AS amount, 3 AS hour) AS t,
			LATERAL risk.decide_transaction('m', t) AS d;
		SQL
	# One statement, in several processes.
	'statement@1' => <<~'SQL',
		SET pg_risk.log_queries = off;
		SELECT 1 / (min(s) = max(s))::int
		FROM (SELECT risk.score_transaction('m', h) AS s FROM history AS h) AS scores;
		RESET pg_risk.log_queries;
		SQL
	# One transaction that sees the database as it was.
	'snapshot@2' => <<~'SQL',
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT score AS first FROM risk.decide_transaction('m', '{"id": 1, "amount": 900, "hour": 900}'::jsonb) \gset
		SELECT 1 / bool_and(d.score = :first AND accounted(m, d.role, d.version, d.score, 900, 900))::int
		FROM risk.models AS m, risk.decide_transaction('m', '{"id": 1, "amount": 900, "hour": 900}'::jsonb) AS d;
		COMMIT;
		SQL
);
my %inserts = (
	'insert@6' => <<~'SQL',
		\set amount random(1, 1200)
		INSERT INTO transactions (amount, hour) VALUES (:amount, :client_id * 100);
		SQL
	# The row that is rolled back leaves nothing in the log.
	'savepoint@2' => <<~'SQL',
		BEGIN;
		INSERT INTO transactions (amount, hour) VALUES (1, 1);
		SAVEPOINT s;
		INSERT INTO transactions (amount, hour) VALUES (2, 2);
		ROLLBACK TO s;
		COMMIT;
		SQL
	# One statement, one route, whoever moves meanwhile.
	'rows@1' => <<~'SQL',
		WITH inserted AS (
			INSERT INTO transactions (amount, hour) SELECT i * 50, 7 FROM generate_series(1, 50) AS i RETURNING *
		)
		SELECT 1 / bool_and(accounted(m, i.role, i.version, i.score, i.amount, i.hour))::int
		FROM risk.models AS m, inserted AS i;
		SQL
);
# Own moves are seen at once, and forgotten with their (sub)transaction.
my $move = <<'SQL';
\set kind random(0, 5)
\set version random(1, 3)
\set percent random(1, 99)
\set id random(1, 100000)
SELECT move(:kind, 'v' || :version, :percent);
SELECT 1 / bool_and(accounted(m, d.role, d.version, d.score, t.amount, t.hour))::int
FROM risk.models AS m, (SELECT :id AS id, 900::real AS amount, 900 AS hour) AS t,
	LATERAL risk.decide_transaction('m', t) AS d;
SQL
my %moves = (
	'move@1' => <<~"SQL",
		\\set commit random(0, 2)
		BEGIN;
		$move
		SAVEPOINT s;
		$move
		\\if :commit = 1
		ROLLBACK TO s;
		\\endif
		$move
		\\if :commit
		COMMIT;
		\\else
		ROLLBACK;
		\\endif
		SQL
);

my $offset = -s $primary->logfile;
my %done;
for my $protocol ('simple', 'prepared')
{
	my @options = ('-T', $seconds / 2, '-M', $protocol, '-c');
	my %runs = (
		'queries' => $primary->begin_pgbench([ @options, 4 ], %queries),
		'inserts' => $primary->begin_pgbench([ @options, 4 ], %inserts),
		'moves' => $primary->begin_pgbench([ @options, 1 ], %moves),
		'queries of the standby' => $standby->begin_pgbench([ @options, 2 ], %queries));

	for my $name (sort keys %runs)
	{
		my ($output, $ok) = end_pgbench($runs{$name});

		ok($ok, "$name, all at once, protocol $protocol") or diag($output);
		$done{$name} += $1 if $output =~ /number of transactions actually processed: (\d+)/;
	}
}
cmp_ok($done{$_}, '>', 20, "$_: $done{$_}") for sort keys %done;
my $moved = $primary->safe_psql('postgres', 'SELECT count(*) FROM risk.rollout_history');
cmp_ok($moved, '>', 20, "moves in the history: $moved");
unlike(slurp_file($primary->logfile, $offset), qr/still waiting for \S+Lock/, 'nobody waited for a lock');

# ---------------------------------------------------------------------------
# What was stored and logged.
# ---------------------------------------------------------------------------

$primary->poll_query_until('postgres', "SELECT waiting = 0 FROM risk.queue_status WHERE model = 'm'");
my ($rows, $versions, $wrong) = split /\|/, $primary->safe_psql('postgres', <<'SQL');
SELECT count(*), count(DISTINCT version),
	   count(*) FILTER (WHERE score IS DISTINCT FROM risk.score_transaction('m', ARRAY[amount, hour]::real[], version))
FROM transactions
SQL
cmp_ok($rows, '>', 100, "rows were scored: $rows");
is($versions, 3, 'by all versions');
is($wrong, 0, 'each score is that of the version stored with it');
is( $primary->safe_psql('postgres', <<~'SQL'), 0, 'each row has its one prediction, and no other row has');
	SELECT count(*) FROM transactions AS t FULL JOIN (
		SELECT entity_id::bigint AS id, version, role, score, features FROM risk.predictions
		WHERE source = 'trigger' AND role <> 'shadow'
	) AS p USING (id)
	WHERE (t.version, t.role, t.score, ARRAY[t.amount, t.hour]::real[])
		IS DISTINCT FROM (p.version, p.role, p.score, p.features)
	SQL
my ($pairs, $roles);
($rows, $roles, $pairs, $wrong) = split /\|/, $primary->safe_psql('postgres', <<'SQL');
SELECT count(*), string_agg(DISTINCT role, ' ' ORDER BY role), count(*) FILTER (WHERE version <> champion_version),
	   count(*) FILTER (WHERE error IS NOT NULL
			OR score IS DISTINCT FROM risk.score_transaction('m', features, version)
			OR champion_score IS DISTINCT FROM risk.score_transaction('m', features, champion_version))
FROM risk.predictions
SQL
cmp_ok($pairs, '>', 100, "predictions were logged: $rows, with another than the champion: $pairs");
is($roles, 'canary champion shadow', 'in all roles');
is($wrong, 0, 'each score in the log is that of the version it names, and so is the champion\'s');
is($primary->safe_psql('postgres', "SELECT failed, queued - logged - dropped - rolled_back FROM risk.queue_status WHERE model = 'm'"),
	'0|0', 'what queries put into the queue is accounted for');
ok($primary->wait_until_idle('postgres'), 'nothing is in use at the end');
is($primary->safe_psql('postgres', 'SELECT evictions FROM risk.cache_status()'), 0, 'nothing was loaded twice');

$primary->wait_for_catchup($standby);
my $route = "SELECT champion, canary, canary_percent, shadows FROM risk.models";
is($standby->safe_psql('postgres', $route), $primary->safe_psql('postgres', $route),
	'the standby ends with the same route');
is( $primary->safe_psql('postgres', <<~'SQL'), 0, 'which is that of the history');
	WITH now AS (
		SELECT role, version, percent, paused FROM risk.model_roles JOIN risk.model_versions USING (version_id)
	), history AS (
		SELECT role, version, percent, paused FROM risk.route_as_of('m', 'infinity')
	)
	SELECT count(*) FROM ((TABLE now EXCEPT TABLE history) UNION ALL (TABLE history EXCEPT TABLE now)) AS d
	SQL

done_testing();
