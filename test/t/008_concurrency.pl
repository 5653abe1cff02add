# Sessions score, in queries and in a trigger, while versions are rolled out
# and back under them: nothing fails, every score is that of the version it is
# stored with, and a statement, or a repeatable-read transaction, has one route.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PG_RISK_LONG} ? 20 : 6;
my $node = PgRisk->server('main', conf => <<'CONF');
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
CONF
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', map { ("v$_" => forest(20, $_)) } (1 .. 3));
$node->safe_psql('postgres', <<~'SQL');
	CREATE TABLE transactions (amount real, hour int, score float8, version text);
	CREATE TRIGGER score BEFORE INSERT ON transactions
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version');
	CREATE TABLE history AS SELECT 900::real AS amount, 900 AS hour FROM generate_series(1, 20000);
	ANALYZE history;
	SQL
is( $node->safe_psql('postgres', <<~'SQL'), 3, 'the versions differ where it is looked at');
	SELECT count(DISTINCT risk.score_transaction('m', '{900,900}'::real[], version)) FROM risk.model_versions
	SQL
like(
	$node->safe_psql('postgres', "EXPLAIN SELECT max(risk.score_transaction('m', h)) FROM history AS h"),
	qr/Parallel Seq Scan/, 'a large table is scored in parallel');

my %scripts = (
	# One row by the trigger; the whole row again by the version it names.
	'001_insert@6' => <<~'SQL',
		\set amount random(1, 1200)
		INSERT INTO transactions VALUES (:amount, :client_id * 300);
		SQL
	'002_query@6' => <<~'SQL',
		\set amount random(1, 1200)
		SELECT risk.score_transaction('m', ARRAY[:amount, 3]::real[]);
		SQL
	# One statement, in several processes.
	'003_statement@1' => <<~'SQL',
		SELECT 1 / (min(s) = max(s))::int
		FROM (SELECT risk.score_transaction('m', h) AS s FROM history AS h) AS scores;
		SQL
	# One transaction that sees the database as it was.
	'004_repeatable@3' => <<~'SQL',
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT risk.score_transaction('m', '{900,900}'::real[]) AS first \gset
		INSERT INTO transactions VALUES (900, 900);
		SELECT 1 / (risk.score_transaction('m', '{900,900}'::real[]) = :first)::int;
		SELECT 1 / (score = :first)::int FROM transactions WHERE xmin = pg_current_xact_id()::xid;
		COMMIT;
		SQL
	# Rollouts, that end either way; own changes are seen at once.
	'005_rollout@4' => <<~'SQL',
		\set version random(1, 3)
		\set commit random(0, 1)
		BEGIN;
		SELECT risk.promote('m', 'v' || :version);
		SELECT 1 / (risk.score_transaction('m', '{900,900}'::real[]) =
			risk.score_transaction('m', '{900,900}'::real[], 'v' || :version))::int;
		\if :commit
		COMMIT;
		\else
		ROLLBACK;
		\endif
		SQL
);

for my $protocol ('simple', 'prepared')
{
	my %files = map { s/@/_$protocol@/r => $scripts{$_} } keys %scripts;

	$node->pgbench("-n -c 6 -j 2 -T @{[ $seconds / 2 ]} -M $protocol", 0,
		[qr/number of transactions actually processed: [1-9]/],
		[qr/^(?!.*(ERROR|aborted))/s], "scores and rollouts at once, protocol $protocol", \%files);
}

my ($rows, $versions, $wrong) = split /\|/, $node->safe_psql('postgres', <<'SQL');
SELECT count(*), count(DISTINCT version),
	   count(*) FILTER (WHERE score IS DISTINCT FROM risk.score_transaction('m', ARRAY[amount, hour]::real[], version))
FROM transactions
SQL
cmp_ok($rows, '>', 100, "rows were scored: $rows");
is($versions, 3, 'by all versions');
is($wrong, 0, 'each score is that of the version stored with it');
ok($node->wait_until_idle('postgres'), 'nothing is in use at the end');
is($node->safe_psql('postgres', 'SELECT evictions FROM risk.cache_status()'), 0, 'nothing was loaded twice');

done_testing();
