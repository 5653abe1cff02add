# The library must be preloaded: without it a clear error, whose hint, followed
# to the letter, is all that is needed; and the settings.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'");
$node->start;

# Not preloaded.
my $error = $node->error_of('postgres', 'CREATE EXTENSION pg_risk');
like($error, qr/^55000: pg_risk must be loaded when the server starts$/m,
	'CREATE EXTENSION without preloading is refused');
like($node->error_of('postgres', "LOAD 'pg_risk'"),
	qr/^55000: pg_risk must be loaded/, 'so is LOAD');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname = 'risk'"),
	0, 'nothing is left behind');

# The hint is a line of the configuration, and it is enough.
my ($line) = $error =~ /^HINT:  Set (shared_preload_libraries = '.*') in postgresql\.conf and restart the server\.$/m;
ok($line, 'the hint names a line of the configuration');
$node->append_conf('postgresql.conf', $line // '');
$node->restart;
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'pg_stat_statements, pg_risk', 'what was preloaded before still is');
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => constant(7));
is($node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"),
	7, 'works when preloaded');

# Settings.
is( $node->safe_psql('postgres', <<~'SQL'), <<~'TEXT' =~ s/\n\z//r, 'settings and defaults');
	SELECT format('%s = %s', name, current_setting(name)), context
	FROM pg_settings WHERE name LIKE 'pg\_risk.%' ORDER BY name
	SQL
	pg_risk.block_scoring = on|user
	pg_risk.cache_size = 64MB|postmaster
	pg_risk.clock = |superuser
	pg_risk.evaluation_timeout = 1min|sighup
	pg_risk.flush_interval = 1s|sighup
	pg_risk.forward_to = |sighup
	pg_risk.import_cpu_time = 1min|superuser
	pg_risk.import_memory = 2GB|superuser
	pg_risk.import_open_files = 64|superuser
	pg_risk.import_timeout = 2min|superuser
	pg_risk.importer_path = |sighup
	pg_risk.kernel = auto|user
	pg_risk.log_queries = on|user
	pg_risk.max_workers = 4|sighup
	pg_risk.prediction_retention = 90|sighup
	pg_risk.queue_databases = 4|postmaster
	pg_risk.queue_size = 4MB|postmaster
	pg_risk.use_tiles = on|user
	pg_risk.worker_naptime = 1min|sighup
	TEXT
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
like($node->error_of('postgres', "SET ROLE nobody; SET pg_risk.import_memory = '1TB'"),
	qr/^42501: /, 'limits of imports are for superusers');
like($node->error_of('postgres', 'SET ROLE nobody; SHOW pg_risk.importer_path'),
	qr/^42501: /, 'so is the path of the program');
like($node->error_of('postgres', "SET pg_risk.cache_size = '1MB'"),
	qr/^55P02: .*cannot be changed without restarting the server/, 'the cache has its size for good');
like($node->error_of('postgres', 'SET pg_risk.nosuch = 1'),
	qr/^42602: invalid configuration parameter name "pg_risk.nosuch"/, 'an unknown setting is refused');
$node->append_conf('postgresql.conf', "pg_risk.nosuch = 1\npg_risk.cache_size = '3MB'");
my $offset = -s $node->logfile;
$node->restart;
ok($node->wait_for_log(qr/WARNING: .*"pg_risk.nosuch"/, $offset), 'and in the file it gives a warning');
is($node->safe_psql('postgres', 'SELECT cache_bytes FROM risk.cache_status()'),
	3 * 1024 * 1024, 'the cache is as large as set');

# Taken out again: the database has the extension, the server does not.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
like($node->error_of('postgres', "SELECT risk.score_transaction('m', '{1}'::real[])"),
	qr/^55000: pg_risk must be loaded when the server starts\nHINT:  Set shared_preload_libraries = 'pg_risk'/,
	'scoring without preloading says what to do');
is($node->safe_psql('postgres', 'SELECT champion FROM risk.models'), 'v1', 'the tables can be read');

done_testing();
