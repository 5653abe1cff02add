# Models survive restarts.  A process that dies anywhere (scoring, loading,
# importing, the worker, the launcher) takes nothing with it: the server
# recovers, scores are as before, nothing stays in use, no program is left.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main', conf => "restart_after_crash = on\nmax_prepared_transactions = 1");
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => forest(20, 3), v2 => forest(20000, 5), v3 => forest(20000, 7));
my $scores = $node->scores('postgres', 'm');

# Restarts.
for my $mode ('fast', 'immediate')
{
	$node->stop($mode);
	$node->start;
	is($node->scores('postgres', 'm'), $scores, "scores are the same after a restart ($mode)");
}

# A move that was prepared before a restart is seen once it is committed, also by who
# has scored in between and remembers the route.
{
	my $score = "SELECT risk.score_transaction('m', '{900,900}'::real[])";
	my %expected = map { $_ => $node->safe_psql('postgres', "SELECT risk.score_transaction('m', '{900,900}'::real[], '$_')") } qw(v1 v2);

	isnt($expected{v1}, $expected{v2}, 'the versions differ where it is looked at');
	$node->safe_psql('postgres', "BEGIN; SELECT risk.promote('m', 'v2'); PREPARE TRANSACTION 'moved'");
	$node->restart;
	my ($session) = $node->session('postgres');
	is($session->query_safe($score), $expected{v1}, 'a prepared move is not seen') for (1, 2);
	$node->safe_psql('postgres', "COMMIT PREPARED 'moved'");
	is($session->query_safe($score), $expected{v2}, '... but when it is committed') for (1, 2);
	$node->safe_psql('postgres', "SELECT risk.promote('m', 'v1')");
	is($session->query_safe($score), $expected{v1}, '... and so is the next one');
	$session->quit;
}

# Kill a process, wait until the server has recovered, look at everything.
sub survives
{
	my ($what, $pid) = @_;
	my $offset = -s $node->logfile;

	kill(9, $pid);
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $offset);
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	$node->poll_query_until('postgres', 'SELECT true');

	is($node->scores('postgres', 'm'), $scores, "after the death of $what: scores are as before");
	ok($node->wait_for_cached('postgres', 'm/v1'), '... the champion is in the cache, and it alone');
	ok($node->wait_until_idle('postgres'), '... nothing is in use');
	isnt($node->process('pg_risk launcher'), $pid, '... the launcher runs');
	is( $node->safe_psql('postgres', "SELECT string_agg(version, ' ') FROM risk.model_versions_info"),
		'v1 v2 v3', '... the versions are those that were registered');
	return;
}

# A session that runs a statement until it is killed.
sub busy_session
{
	my ($sql) = @_;
	my ($session, $pid) = $node->session('postgres');

	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	return ($session, $pid);
}

{
	my ($session, $pid) = busy_session(<<~'SQL');
		SELECT count(risk.score_transaction('m', ARRAY[i, 1]::real[], 'v2'))
		FROM generate_series(1, 10000) AS i, generate_series(1, 100000)
		SQL
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM risk.cached_models WHERE version = 'v2' AND in_use = 1");
	survives('a session that scores', $pid);
	end_lost($session);
}

survives('the launcher', $node->process('pg_risk launcher'));

{
	# The worker stays as long as it waits for a lock.
	my ($session) = $node->session('postgres');
	$session->query_safe('BEGIN; LOCK TABLE risk.model_roles IN ACCESS EXCLUSIVE MODE');
	$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
	survives('the worker', $node->process('pg_risk worker', "wait_event_type = 'Lock'"));
	end_lost($session);
}

{
	# The cache holds one of two large versions, so this session loads all the time.
	$node->append_conf('postgresql.conf', "pg_risk.cache_size = '1MB'");
	$node->restart;
	my $loads = $node->safe_psql('postgres', 'SELECT loads FROM risk.cache_status()');
	my ($session, $pid) = busy_session(<<~'SQL');
		DO $$
		BEGIN
			LOOP
				PERFORM risk.score_margin('m', '{1,1}'::real[], 'v2');
				COMMIT;
				PERFORM risk.score_margin('m', '{1,1}'::real[], 'v3');
				COMMIT;
			END LOOP;
		END $$
		SQL
	$node->poll_query_until('postgres', "SELECT loads > $loads + 20 FROM risk.cache_status()");
	survives('a session that loads versions', $pid);
	end_lost($session);
}

{
	# A stopped program would stay for ever if its end were its own doing.  It
	# is stopped when it has limited itself, which is when it is ready to die.
	my ($session, $pid) = busy_session("SELECT risk.register_model('m', 'v4', " . forest(60000, 9) . ')');
	my $importer;
	wait_until(sub { $importer = `pgrep -P $pid`; chomp $importer; $importer });
	wait_until(sub { slurp_file("/proc/$importer/limits") =~ /^Max open files +64 /m });
	kill('STOP', $importer);
	like(slurp_file("/proc/$importer/cmdline"), qr/pg_risk_xgboost\0import\0/,
		'the importer is a child of the session');
	survives('a session that registers a version', $pid);
	wait_until(sub { !running($importer) });
	pass('its importer is gone');
	end_lost($session);
}

done_testing();
