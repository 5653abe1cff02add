# A streaming standby scores as its primary does, follows its rollouts by
# replay, and takes over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PgRisk->server('primary', streaming => 1, conf => "pg_risk.worker_naptime = '1s'");
$primary->start;
$primary->install('postgres');
$primary->add_model('postgres', 'm', v1 => forest(50, 3), v2 => forest(50, 5));
$primary->backup('backup');
my $standby = PgRisk->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 0');
$standby->start;

ok($standby->wait_for_cached('postgres', 'm/v1'), 'the worker loads the champion on the standby');
my $v1 = $primary->scores('postgres', 'm');
is($standby->scores('postgres', 'm'), $v1, 'scores are equal');
like($standby->error_of('postgres', "SELECT risk.promote('m', 'v2')"),
	qr/^25006: models and roles cannot be changed in a read-only transaction\nHINT:  .* primary/,
	'no promotion on the standby');

# Sessions of the standby follow what is replayed.
my ($session) = $standby->session('postgres');
my $margin = "SELECT risk.score_margin('m', '{900,900}'::real[])";
my $margin_v1 = $session->query_safe($margin);
$primary->safe_psql('postgres', "SELECT risk.promote('m', 'v2')");
$primary->wait_for_catchup($standby);
isnt($session->query_safe($margin), $margin_v1, 'a running session sees the promotion');
my $v2 = $primary->scores('postgres', 'm');
isnt($v2, $v1, 'which changes the scores');
is($standby->scores('postgres', 'm'), $v2, 'scores are equal again');
ok($standby->wait_for_cached('postgres', 'm/v1 m/v2'), 'the worker loads it there too');

# A version that is gone is gone there.
$session->query_safe("SELECT risk.score_margin('m', '{1,1}'::real[], 'v1')");
$primary->safe_psql('postgres', "SELECT risk.drop_version('m', 'v1')");
$primary->safe_psql('postgres', "SELECT risk.register_model('m', 'v1', " . constant(9) . ')');
$primary->wait_for_catchup($standby);
is($session->query_safe("SELECT risk.score_margin('m', '{1}'::real[], 'v1')"),
	'{9}', 'a name that was given to another version is that version');

# Rolling features are looked up there, and declarations are followed.
my $look = "SELECT risk.rolling_features('payments', 1, '2026-01-01 01:00')";
$primary->safe_psql('postgres', <<~'SQL');
	CREATE TABLE payments (card int, at timestamptz, amount int);
	INSERT INTO payments SELECT i % 3, timestamptz '2026-01-01' + i * interval '1 minute', i FROM generate_series(1, 100) AS i;
	SELECT risk.create_rolling_features('payments', 'card', 'at', 'amount', '{1 hour}', create_index => true);
	SQL
$primary->wait_for_catchup($standby);
is($session->query_safe($look), '{"card_cnt_prev_1h": 20}', 'rolling features on the standby');
$primary->safe_psql('postgres', "INSERT INTO payments VALUES (1, '2026-01-01 00:01', 1); SELECT risk.alter_rolling_features('payments', 'card', aggregates => '{count,sum}')");
$primary->wait_for_catchup($standby);
is($session->query_safe($look), $primary->safe_psql('postgres', $look), 'follow the declaration and the rows');

# The extension goes while a session of the standby has scored.
$primary->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
$primary->install('other');
$primary->add_model('other', 'm', v1 => constant(4));
$primary->wait_for_catchup($standby);
my ($other) = $standby->session('other');
my $score = "SELECT risk.score_transaction('m', '{1}'::real[])";
is($other->query_safe($score), 4, 'another database');
$primary->safe_psql('other', 'DROP EXTENSION pg_risk');
$primary->wait_for_catchup($standby);
$other->query($score);
like($other->{stderr}, qr/does not exist/, 'the extension is dropped under a session');
$other->{stderr} = '';
$primary->safe_psql('other', 'CREATE EXTENSION pg_risk');
$primary->add_model('other', 'm', v1 => constant(5));
$primary->wait_for_catchup($standby);
is($other->query_safe($score), 5, 'and is back with other models');
$other->quit;

# The standby takes over.
$primary->stop('fast');
$standby->promote;
is($standby->scores('postgres', 'm'), $v2, 'scores are the same after a failover');
is($standby->safe_psql('postgres', "SELECT risk.promote('m', 'v1')"), 'v2', 'versions roll out there');
is($session->query_safe("SELECT risk.score_margin('m', '{1}'::real[])"), '{9}', 'for sessions from before, too');
$standby->safe_psql('postgres', "SELECT risk.register_model('m', 'v3', " . constant(11) . ')');
is($standby->safe_psql('postgres', "SELECT risk.score_margin('m', '{1}'::real[], 'v3')"),
	'{11}', 'and are registered there');
$session->quit;

done_testing();
