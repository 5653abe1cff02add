# The background worker: versions with a role are loaded without anybody
# scoring, in all databases; it stands in nobody's way; and everything works
# without it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main', conf => "pg_risk.worker_naptime = '1d'");
$node->start;

# After COMMIT of a promotion, without a score, and not after ROLLBACK.
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => constant(1), v2 => constant(2), v3 => constant(3));
ok($node->wait_for_cached('postgres', 'm/v1'), 'a promoted version is loaded, the others are not');
$node->safe_psql('postgres', "BEGIN; SELECT risk.promote('m', 'v2'); ROLLBACK");
$node->safe_psql('postgres', "SELECT risk.promote('m', 'v3')");
ok($node->wait_for_cached('postgres', 'm/v1 m/v3'),
	'so is the next one, but not one whose promotion was rolled back');

# Several databases; after a start all of them, whatever the naptime.
for my $database ('one', 'two')
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->install($database);
	$node->add_model($database, 'm', v1 => constant(10));
	ok($node->wait_for_cached($database, 'm/v1'), "a new database is found: $database");
}
$node->restart;
ok($node->wait_for_cached('postgres', 'm/v3'), 'after a start the champion is loaded');
ok($node->wait_for_cached('two', 'm/v1'), 'in every database');
is($node->safe_psql('postgres', 'SELECT images FROM risk.cache_status()'),
	2, 'one copy for the two databases that have the same version');

# A damaged version is reported; the others are loaded all the same.
$node->safe_psql('postgres', <<~'SQL');
	SELECT risk.create_model('damaged');
	SELECT risk.create_model('other');
	SELECT risk.register_model('damaged', 'v1', toy_forest(3, 1));
	SELECT risk.register_model('other', 'v1', toy_forest(3, 2));
	ALTER TABLE risk.model_versions DISABLE TRIGGER immutable;
	UPDATE risk.model_versions SET image = '\x00' WHERE model = 'damaged';
	ALTER TABLE risk.model_versions ENABLE TRIGGER immutable;
	SQL
my $offset = -s $node->logfile;
$node->safe_psql('postgres', "SELECT risk.promote('damaged', 'v1'), risk.promote('other', 'v1')");
ok($node->wait_for_cached('postgres', 'm/v3 other/v1'), 'versions beside a damaged one are loaded');
ok( $node->wait_for_log(
		qr/WARNING: .*could not load version number \d+: forest image of version "v1" of model "damaged" does not match its checksum/,
		$offset),
	'the damaged one gives a warning');
$node->safe_psql('postgres', "SELECT risk.drop_model('damaged'), risk.drop_model('other')");

# In nobody's way: the worker comes and goes while databases do.
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', "CREATE DATABASE gone TEMPLATE two");
	$node->safe_psql('gone', "SELECT risk.promote('m', 'v1')");
	$node->safe_psql('postgres', 'ALTER DATABASE gone RENAME TO going');
	$node->safe_psql('going', "SELECT risk.promote('m', 'v1')");
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE going');
	$node->safe_psql('going', "SELECT risk.promote('m', 'v1')");
	$node->safe_psql('postgres', 'DROP DATABASE going');
	$node->safe_psql('postgres', 'DROP DATABASE copy');
}
pass('databases are copied, renamed and dropped under the worker');
$node->safe_psql('postgres', 'DROP DATABASE one');
$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"), 3, 'scores go on');

# It leaves a database that is to be dropped although tiles that are asked for wait, for a
# transaction that is older.
my ($session) = $node->session('postgres');
$session->query_safe('BEGIN; SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'CREATE DATABASE tiled TEMPLATE two');
$node->safe_psql('tiled', <<~'SQL');
	CREATE TABLE events (k text, ts timestamptz);
	CREATE INDEX ON events (k, ts);
	INSERT INTO events SELECT 'hot', now() - i * interval '1 s' FROM generate_series(1, 1000) AS i;
	SELECT risk.create_rolling_features('events', 'k', 'ts');
	SQL
my ($changing) = $node->session('tiled');
$changing->query_safe("BEGIN; LOCK TABLE events; SELECT risk.rolling_features('events', 'hot'::text, now())");
$node->process('pg_risk worker', "datname = 'tiled'");
sleep 1;
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_locks WHERE NOT granted'),
	0, 'the worker does not wait for who changes a table whose tiles are asked for');
$changing->query_safe("SELECT risk.alter_rolling_features('events', 'k', windows => '{1 hour}'); COMMIT");
$changing->quit;
$node->safe_psql('tiled', "SELECT risk.rolling_features('events', 'hot'::text, now())");
ok($node->poll_query_until('tiled', 'SELECT waiting FROM risk.rolling_tiles_info'), 'tiles wait');
is($node->error_of('postgres', 'DROP DATABASE tiled'), '', 'a database is dropped although it is asked for tiles');
$session->query_safe('ROLLBACK');

# Who drops the extension waits for what the worker is at, before there is a lock that this needs.
$node->safe_psql('postgres', 'CREATE DATABASE dropping TEMPLATE two');
my ($holder) = $node->session('dropping');
$holder->query_safe('BEGIN; LOCK TABLE risk.model_roles IN ACCESS EXCLUSIVE MODE');
$node->safe_psql('dropping', 'SELECT risk.wake_worker()');
$node->process('pg_risk worker', "datname = 'dropping' AND wait_event_type = 'Lock'");
my ($dropping, $dropper) = $node->session('dropping');
$dropping->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION pg_risk;\n");
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $dropper");
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $dropper AND mode = 'AccessExclusiveLock' AND granted"),
	0, 'who drops the extension has no lock while the worker is at work');
$holder->query_safe('ROLLBACK');
ok($node->poll_query_until('dropping', "SELECT count(*) = 0 FROM pg_extension WHERE extname = 'pg_risk'"), '... and drops it then');
$_->quit for $holder, $dropping;

# The worker held up by somebody's lock: scoring and shutting down are not.
$session->query_safe('BEGIN; LOCK TABLE risk.model_roles IN ACCESS EXCLUSIVE MODE');
$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
my $worker = $node->process('pg_risk worker', "wait_event_type = 'Lock'");
is( $node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[], 'v1')"),
	1, 'scores while the worker waits');
my $launcher = $node->process('pg_risk launcher');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
wait_until(sub { !running($worker) });
is($node->process('pg_risk launcher'), $launcher, 'the launcher outlives its worker');
$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
$node->process('pg_risk worker', "wait_event_type = 'Lock'");
{
	local $ENV{PGCTLTIMEOUT} = 20;
	ok($node->stop('fast', fail_ok => 1), 'a fast shutdown does not wait for it')
	  or $node->stop('immediate');
}
end_lost($session);
$node->start;

# The launcher comes back by itself.
$launcher = $node->process('pg_risk launcher');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
wait_until(sub { !running($launcher) });
isnt($node->process('pg_risk launcher'), $launcher, 'the launcher comes back');
$node->safe_psql('postgres', "SELECT risk.promote('m', 'v2')");
ok($node->wait_for_cached('postgres', 'm/v2 m/v3'), 'and does its work');

# The naptime in effect is the one in the file.
$node->safe_psql('postgres', <<~'SQL');
	ALTER TABLE risk.model_roles DISABLE TRIGGER catalog_changed;
	SELECT risk.promote('m', 'v1');
	ALTER TABLE risk.model_roles ENABLE ALWAYS TRIGGER catalog_changed;
	SQL
$node->set_and_reload('pg_risk.worker_naptime', '1s');
ok($node->wait_for_cached('postgres', 'm/v1 m/v2 m/v3'), 'a shorter naptime holds after a reload');

# No process to be had: who scores loads.  One slot is the launcher's, one that
# of logical replication.
$node->append_conf('postgresql.conf', "max_worker_processes = 2");
$node->restart;
$node->process('pg_risk launcher');
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"),
	1, 'scores without a slot for a worker');
is($node->safe_psql('two', "SELECT risk.score_transaction('m', '{1}'::real[])"), 10, 'in every database');

# A database that appears while somebody else has the only slot is not forgotten.
$node->append_conf('postgresql.conf', "max_worker_processes = 3");
$node->restart;
ok($node->wait_for_cached('postgres', 'm/v1'), 'one slot is enough');
my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_risk worker'");
($session) = $node->session('postgres');
$session->query_until(qr/started/, "\\echo started\nSET $forced = on; SELECT pg_sleep(1000);\n");
my $parallel = $node->process('parallel worker');
$node->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE template0');
$node->install('three');
$node->add_model('three', 'm', v1 => constant(30));
$node->safe_psql('postgres', "SELECT pg_terminate_backend(leader_pid) FROM pg_stat_activity WHERE pid = $parallel");
ok($node->wait_for_cached('three', 'm/v1'), 'a database that came while no slot was free is found later');
end_lost($session);

$node->append_conf('postgresql.conf', "max_worker_processes = 0");
$node->restart;
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"),
	1, 'scores without a slot for the launcher');
$node->safe_psql('postgres', "SELECT risk.promote('m', 'v2')");
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"),
	2, 'and rolls out');

done_testing();
