# Models are data: dumped, restored, upgraded and replicated with everything
# else, and score the same afterwards.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $long = "pg_risk.worker_naptime = '1d'";
my $node = PgRisk->server('main', streaming => 'logical', conf => $long);
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => forest(30, 3), v2 => forest(30, 5));
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'v2'), risk.register_model('m', 'v3', " . forest(30, 7) . ')');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION gone(text, text, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION own(text, text, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT risk.alter_model('m', entity_id => 'id', log => 'queued', bands => '{"approve": 0, "decline": 0.5}');
INSERT INTO risk.gates (model, gate, metric, threshold, dry_run) VALUES
	('m', 'own', 'public.own(text,text,timestamptz,timestamptz)', 1, true), ('m', 'psi', 'psi', 0.2, true),
	('m', 'gone', 'public.gone(text,text,timestamptz,timestamptz)', 1, true);
DROP FUNCTION gone;
INSERT INTO risk.reason_codes VALUES ('m', 'amount', 'increases', 'R01', 'Unusual amount');
SELECT risk.start_canary('m', 'v3', 12.5, step_interval => '1 year');
CREATE SCHEMA shop;
CREATE TABLE shop.payments (card int, at timestamptz, amount int);
INSERT INTO shop.payments SELECT i % 3, timestamptz '2026-01-01' + i * interval '1 minute', i FROM generate_series(1, 100) AS i;
CREATE TABLE shop.gone (LIKE shop.payments);
SELECT risk.create_rolling_features('shop.payments', 'card', 'at', 'amount', '{1 hour}', '{count,sum,share(amount > 50) AS large}', create_index => true),
	   risk.create_rolling_features('shop.gone', 'card', 'at', create_index => true);
ALTER EVENT TRIGGER pg_risk_sources_dropped DISABLE;
DROP TABLE shop.gone;
ALTER EVENT TRIGGER pg_risk_sources_dropped ENABLE ALWAYS;
SQL
my $rolling = "SELECT risk.rolling_features('shop.payments', 1, '2026-01-01 01:00'), (SELECT count(*) FROM risk.rolling_features_info WHERE problem IS NULL), (SELECT evtenabled FROM pg_event_trigger)";
my $features = $node->safe_psql('postgres', $rolling);
like($features, qr/"card_share_large_prev_1h": [\d.]+}\|3\|A/, 'rolling features');
my $scores = $node->scores('postgres', 'm');
my $rollout = "SELECT r.role, r.version, r.percent, r.paused, o.rollout_id, o.next_evaluation, m.log, m.bands, (SELECT string_agg(gate, ',' ORDER BY gate) FROM risk.gates), (SELECT r FROM risk.reason_codes AS r), (SELECT min(at) FROM risk.setting_history)"
  . " FROM risk.rollouts AS o, risk.models AS m, risk.route_as_of('m', 'infinity') AS r ORDER BY r.role";
my $state = $node->safe_psql('postgres', $rollout);
my $catalog = 'SELECT version_id, version, role, image_sha256, certificate, registered_at FROM risk.model_versions_info ORDER BY 1';
my $versions = $node->safe_psql('postgres', $catalog);

# The copy of a database scores, remembers and goes on as the original.
sub is_same
{
	my ($what, $copy, $database) = @_;

	is($copy->safe_psql($database, $catalog), $versions, "$what: the same versions") or return;
	is($copy->scores($database, 'm'), $scores, '... the same scores');
	is($copy->safe_psql($database, $rolling), $features, '... the same rolling features');
	is($copy->safe_psql($database, $rollout), $state, '... the same rollout, settings and gates');
	is( $copy->safe_psql($database, "SELECT gate, result, error FROM risk.evaluate_gates('m', 'v3') WHERE error IS NOT NULL"),
		'gone|inconclusive|function "public.gone(text,text,timestamptz,timestamptz)" does not exist',
		'... a gate whose function is gone, which says so');
	is($copy->safe_psql($database, "SELECT FROM risk.set_canary('m', 25); SELECT canary_percent FROM risk.models"), 25, '... which goes on');
	ok($copy->wait_for_cached($database, 'm/v1', 'm/v3'), '... the worker has found champion and canary');
	is( $copy->safe_psql($database, "SELECT count(*) FROM risk.register_model('m', 'next', " . constant(5) . ')'),
		1, '... the next version is registered');
	is($copy->safe_psql($database, "SELECT risk.promote('m', 'next')"), 'v1', '... and rolled out');
	return;
}

# pg_dump, as text and in its own format.
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", 'plain' ], 'restored by psql');
is_same('psql', $node, 'plain');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", 'postgres' ], 'pg_dump -Fc');
for my $options ([ '-j', '1' ], [ '-j', '2' ])
{
	$node->safe_psql('postgres', 'CREATE DATABASE custom TEMPLATE template0');
	$node->command_ok([ 'pg_restore', @$options, '-d', 'custom', "$dump.custom" ], "restored by pg_restore @$options");
	is_same("pg_restore @$options", $node, 'custom');
	$node->safe_psql('postgres', 'DROP DATABASE custom');
}
$node->safe_psql('postgres', 'DROP DATABASE plain');

# pg_dumpall into a new server; then logical replication to it.
my $other = PgRisk->server('other', streaming => 'logical', conf => $long);
$other->start;
$node->command_ok([ 'pg_dumpall', '-f', "$dump.all" ], 'pg_dumpall');
$other->psql('postgres', slurp_file("$dump.all"), on_error_stop => 0);
is_same('pg_dumpall', $other, 'postgres');

# A table whose rows are scored where they are applied.
my $table = 'CREATE TABLE transactions (id int PRIMARY KEY, amount real, hour int, score real, version text)';
$node->safe_psql('postgres', "$table; CREATE PUBLICATION transactions FOR TABLE transactions (id, amount, hour)");
$other->safe_psql('postgres', <<~"SQL");
	SELECT risk.abort('m'), risk.promote('m', 'v1');
	$table;
	CREATE TRIGGER score BEFORE INSERT OR UPDATE ON transactions
		FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version');
	ALTER TABLE transactions ENABLE ALWAYS TRIGGER score;
	CREATE SUBSCRIPTION transactions CONNECTION '@{[ $node->connstr ]} dbname=postgres' PUBLICATION transactions
		WITH (copy_data = false);
	SQL
$node->safe_psql('postgres', 'INSERT INTO transactions SELECT i, i * 37, i % 24 FROM generate_series(1, 100) AS i');
$node->wait_for_catchup('transactions');
my $same = <<'SQL';
SELECT count(*), string_agg(DISTINCT version, ' '),
	   bool_and(score = risk.score_transaction('m', ARRAY[amount, hour], version))
FROM transactions WHERE version IS NOT NULL
SQL
is($other->safe_psql('postgres', $same), '100|v1|t', 'replicated rows are scored as they are applied');
$other->safe_psql('postgres', "SELECT risk.promote('m', 'v3')");
$node->safe_psql('postgres', 'INSERT INTO transactions SELECT i, i, 1 FROM generate_series(101, 110) AS i;
	UPDATE transactions SET amount = 1 WHERE id = 1');
$node->wait_for_catchup('transactions');
is($other->safe_psql('postgres', $same), '110|v1 v3|t', 'by the champion of that moment');
$other->safe_psql('postgres', 'DROP SUBSCRIPTION transactions');

# The models themselves replicated: a rollout there is a rollout here.
$node->safe_psql('postgres', 'CREATE PUBLICATION models FOR TABLE
	risk.model_definitions, risk.model_versions, risk.model_roles');
$other->safe_psql('postgres', "SELECT risk.drop_model('m')");
$other->safe_psql('postgres', <<~"SQL");
	CREATE SUBSCRIPTION models CONNECTION '@{[ $node->connstr ]} dbname=postgres' PUBLICATION models;
	SQL
$other->wait_for_subscription_sync($node, 'models');
is($other->scores('postgres', 'm'), $scores, 'replicated models score the same');
my ($session) = $other->session('postgres');
my $margin = "SELECT risk.score_margin('m', '{900,900}'::real[])";
my $before = $session->query_safe($margin);
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'v4', " . forest(30, 11) . ')');
$node->safe_psql('postgres', "SELECT risk.promote('m', 'v4')");
ok($other->wait_for_cached('postgres', 'm/v1 m/v3 m/v4'), 'a replicated promotion wakes the worker');
isnt($session->query_safe($margin), $before, 'and reaches a running session');
is($session->query_safe($margin), $node->safe_psql('postgres', $margin), 'with the score of the other server');
$session->quit;
$other->safe_psql('postgres', 'DROP SUBSCRIPTION models');
$node->safe_psql('postgres', 'DROP PUBLICATION models, transactions; DROP TABLE transactions');
$node->safe_psql('postgres', "SELECT risk.promote('m', 'v1'); SELECT risk.drop_version('m', 'v4')");
$other->stop;

# pg_upgrade.
$node->stop;
my $upgraded = PgRisk->server('upgraded', streaming => 'logical', conf => $long);
my $bindir = $node->config_data('--bindir');
command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $upgraded->data_dir, '-b', $bindir, '-B', $bindir,
		'-s', $node->host, '-p', $node->port, '-P', $upgraded->port
	],
	'pg_upgrade');
$upgraded->start;
is_same('pg_upgrade', $upgraded, 'postgres');

done_testing();
