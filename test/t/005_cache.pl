# The cache: one copy of each image, least recently used out first, what a
# transaction uses stays, a clear error when nothing can go, little memory of
# a connection's own; no damaged image, whatever the damage, harms anybody, nor
# does a plan that is wrong.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PgRisk->server('main', conf => <<'CONF');
pg_risk.cache_size = '1MB'
pg_risk.worker_naptime = '1d'
CONF
$node->start;
$node->install('postgres');

# Versions v1 to v3 of which two fit at a time, by the size that images have.
$node->add_model('postgres', 'probe', v1 => forest(1, 1), v1001 => forest(1001, 1));
my $bytes = $node->safe_psql('postgres', <<~'SQL');
	SELECT (max(image_bytes) - min(image_bytes)) / 1000.0 FROM risk.model_versions_info
	SQL
$node->safe_psql('postgres', "SELECT risk.drop_model('probe')");
my $trees = int(0.4 * 1024 * 1024 / $bytes);
$node->add_model('postgres', 'm', map { ("v$_" => forest($trees, $_)) } (1 .. 3));
$node->safe_psql('postgres', "DELETE FROM risk.model_roles");
$node->restart;

# SQL that scores with a version, and what is cached now.
sub score { return "SELECT risk.score_margin('m', '{1,1}'::real[], '$_[0]');" }

sub cached
{
	return $node->safe_psql('postgres',
		"SELECT string_agg(version || ':' || in_use, ' ' ORDER BY version) FROM risk.cached_models");
}

is($node->safe_psql('postgres', 'SELECT cache_bytes, used_bytes, images, loads, evictions FROM risk.cache_status()'),
	'1048576|0|0|0|0', 'the cache is empty');
$node->safe_psql('postgres', score('v1') . score('v2'));
is(cached(), 'v1:0 v2:0', 'two versions fit; idle sessions hold nothing');
$node->safe_psql('postgres', score('v1') . score('v3'));
is(cached(), 'v1:0 v3:0', 'the one used least recently goes');
is( $node->safe_psql('postgres', <<~'SQL'), '3|1|t', 'loads and evictions are counted, memory is measured');
	SELECT loads, evictions, used_bytes BETWEEN (SELECT sum(image_bytes + plan_bytes) FROM risk.cached_models)
		AND (SELECT sum(image_bytes + plan_bytes) + 2 * 64 FROM risk.cached_models) FROM risk.cache_status()
	SQL

# What a transaction uses stays until its end.
my ($one) = $node->session('postgres');
my ($two) = $node->session('postgres');
my ($three) = $node->session('postgres');
$one->query_safe('BEGIN; ' . score('v1'));
$two->query_safe(score('v3'));
$two->query_safe('BEGIN; ' . score('v2'));
is(cached(), 'v1:1 v2:1', 'a version in use stays, though it is the older one');
$three->query_safe('BEGIN; ' . score('v1'));
is(cached(), 'v1:2 v2:1', 'two transactions use one copy');
$three->query(score('v3'));
like($three->{stderr}, qr/^(psql.*)?ERROR:  no room for a model of \d+ kB in shared memory\n/m, 'no room');
like($three->{stderr}, qr/DETAIL:  pg_risk.cache_size is 1024 kB; transactions that are running use 2 models of \d+ kB together\.\n/,
	'the error says what takes it');
like($three->{stderr}, qr/HINT:  Increase pg_risk.cache_size and restart the server\./, 'and what to set');
$three->{stderr} = '';
$three->query_safe('ROLLBACK');
is(cached(), 'v1:1 v2:1', 'the failed transaction holds nothing');
like($node->error_of('postgres', score('v3')), qr/^53400: /, 'the error is 53400');
$one->query_safe('SAVEPOINT a; ' . score('v1') . ' ROLLBACK TO a;');
is(cached(), 'v1:1 v2:1', 'a subtransaction changes nothing');

# That one session forgets its versions, since one has been dropped, changes nothing.
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'dropped', " . constant(1) . ")");
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'dropped')");
$one->query_safe(score('v1') . score('v1'));
is(cached(), 'v1:1 v2:1', 'a version that is read again is not in use twice');

# Plans of small trees are larger than their images: the second one has no room.
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'plan$_', " . forest(190, 4 + $_) . ')') for (1, 2);
$three->query_safe('BEGIN; ' . score('plan1') . score('plan2'));
is($node->safe_psql('postgres', "SELECT version, plan_bytes > 0 FROM risk.cached_models WHERE version ~ 'plan' ORDER BY 1"),
	"plan1|t\nplan2|f", 'a plan that has no room beside images in use is left out');
$three->query_safe('ROLLBACK');
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'plan$_')") for (1, 2);

$one->query_safe('COMMIT');
$two->query_safe('ROLLBACK');
is(cached(), 'v1:0 v2:0', 'after COMMIT and ROLLBACK nothing is in use');
$three->query_safe(score('v3'));
like(cached(), qr/v3:0/, 'there is room again');

# A cursor, a prepared transaction, a session that ends in its transaction.
$one->query_safe(<<~'SQL');
	BEGIN;
	DECLARE c CURSOR FOR SELECT risk.score_margin('m', ARRAY[i, i]::real[], 'v1') FROM generate_series(1, 1000) AS i;
	FETCH 1 FROM c;
	SQL
$two->query(score('v2'));
$two->query(score('v3'));
$two->query(score('v2'));
like($one->query_safe('FETCH 900 FROM c'), qr/^\{/, 'an open cursor reads on');
like(cached(), qr/v1:1/, 'its version stays');
$one->quit;
ok($node->wait_until_idle('postgres'), 'a session that ends in its transaction gives back what it used');
is($two->{stderr}, '', 'nobody else failed');
$_->quit for ($two, $three);

# A plan that is made in more memory than the cache has; and models that fit, but for
# the plan of one of them: they do not evict each other for that, whoever uses them.
my $fraud = "SELECT risk.score_margin('fraud', array_fill(1::real, ARRAY[16]));";
$node->safe_psql('postgres', "SELECT risk.evict_image(image_sha256) FROM risk.model_versions");
$node->add_model('postgres', 'fraud', v => "pg_read_binary_file('$FindBin::RealBin/../../models/card_fraud_v2.ubj')");
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'turn$_', " . forest(int(0.75 * $trees), 20 + $_) . ')') for (1, 2);
my $turn = $fraud . score('turn1') . score('turn2');
$node->safe_psql('postgres', $fraud);
is($node->safe_psql('postgres', 'SELECT version, plan_bytes > 0 FROM risk.cached_models'),
	'v|t', 'what making a plan takes does not count');
$node->safe_psql('postgres', $turn);
$node->safe_psql('postgres', $fraud);
is($node->safe_psql('postgres', "SELECT string_agg(version || ':' || (plan_bytes > 0), ' ' ORDER BY version) FROM risk.cached_models"),
	'turn1:false turn2:false v:false', 'an image that comes back soon evicts nothing for its plan');
my $evictions = $node->safe_psql('postgres', 'SELECT evictions FROM risk.cache_status()');
$node->safe_psql('postgres', $turn) for (1 .. 3);
is($node->safe_psql('postgres', 'SELECT evictions FROM risk.cache_status()'),
	$evictions, 'models used in turn stay');
$node->safe_psql('postgres', "SELECT risk.drop_model('fraud')");
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'turn$_')") for (1, 2);

# An image that comes without its plan stays so while images make room for each other; else
# a round of the worker brings it with its plan when there is room, in use or not.
my $row = 'array_fill(1::real, ARRAY[2100])';
my $evict = 'SELECT risk.evict_image(image_sha256) FROM risk.model_versions';
my $with_plan = "SELECT plan_bytes > 0 FROM risk.cached_models WHERE model = 'wide'";
my ($holder, $early);
$node->safe_psql('postgres', "SELECT risk.register_model('m', '$_->[0]', " . forest(int($_->[1] * $trees), 31) . ')')
	for (['much', 1.6], ['most', 2]);
$node->add_model('postgres', 'wide', v => wide_forest(2100));

# Have the image of "wide" alone in the cache, without its plan, for which there is room
# beside it where "most" was, and with its own place where "much" was.
sub have_planless
{
	my ($other) = @_;

	$node->poll_query_until('postgres', $with_plan);	# the worker has been there
	$node->safe_psql('postgres', $evict);
	($holder) = $node->session('postgres');
	($early) = $node->session('postgres');
	$holder->query_safe('BEGIN; ' . score($other));
	$early->query_safe("BEGIN; SELECT risk.score_transaction('wide', $row)");
	is($node->safe_psql('postgres', $with_plan), 'f', 'an image alone');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	$node->safe_psql('postgres', "$evict WHERE version = '$other'");
	return;
}

have_planless('most');
$early->quit;
$node->safe_psql('postgres', score('v1') . score('v2') . score('v3'));
$node->safe_psql('postgres', "SELECT risk.score_transaction('wide', $row)");
is($node->safe_psql('postgres', $with_plan), 'f', 'it comes back alone');
$node->safe_psql('postgres', "$evict WHERE model = 'm'");
$node->add_model('postgres', 'waking', v => forest(1, 32));
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM risk.cached_models WHERE model = 'waking'");
is($node->safe_psql('postgres', $with_plan), 'f', 'it stays alone while images make room for each other');
$node->safe_psql('postgres', "SELECT risk.drop_model('waking')");
$node->restart;

for my $in_use (0, 1)
{
	have_planless($in_use ? 'most' : 'much');
	$early->query_safe('COMMIT') unless $in_use;
	$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
	ok($node->poll_query_until('postgres', $with_plan), 'it comes with its plan when there is room, in use: ' . $in_use);
	next unless $in_use;
	like($early->query_safe("SELECT risk.score_transaction('wide', $row)"), qr/^[0-9.]+$/, 'who uses it reads on');
	$early->query_safe('COMMIT');
	$node->safe_psql('postgres', 'SELECT risk.wake_worker()');
	ok($node->poll_query_until('postgres', 'SELECT images = 1 FROM risk.cache_status()'), 'its old place is free then');
}

# What a session has kept of the time without is too small for what the plan's kernel works in.
my $kept = "SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name = 'pg_risk call site'";
my $wide = "SELECT risk.score_margin('wide', $row)";
my ($late) = $node->session('postgres');
my @kept = map { $_->query_safe("$wide; SELECT risk.score_transaction('wide', $row); $kept") =~ s/.*\n//sr } ($early, $late);
cmp_ok($kept[1] - $kept[0], '<', 4 * 2100, 'a call that was made without it has the room that it takes with it');
$_->quit for ($early, $late);
$node->safe_psql('postgres', "SELECT risk.drop_model('wide')");
$node->safe_psql('postgres', "SELECT risk.drop_version('m', '$_')") for ('much', 'most');

# A model larger than the cache.
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'huge', " . forest(int(2.6 * $trees), 9) . ')');
like($node->error_of('postgres', score('huge')), qr/^53400: no room for a model of .*pg_risk.cache_size/s,
	'a model larger than the cache is refused when it scores');
isnt($node->safe_psql('postgres', score('v1')), '', 'the others go on');

# One copy of equal images: of two versions, and of two databases.
$node->append_conf('postgresql.conf', "pg_risk.cache_size = '64MB'");
$node->restart;
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'again', " . forest($trees, 1) . ')');
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE template0');
$node->install('other');
$node->add_model('other', 'n', v => forest($trees, 1));
$node->safe_psql('postgres', score('v1') . score('again'));
$node->safe_psql('other', "SELECT risk.score_margin('n', '{1,1}'::real[])");
is($node->safe_psql('postgres', 'SELECT images, loads FROM risk.cache_status()'),
	'1|1', 'equal images are in memory once');
is(cached(), 'again:0 v1:0', 'and shown as each version that has them');
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'v1')");
is($node->safe_psql('other', "SELECT count(*) FROM risk.score_margin('n', '{1,1}'::real[])"),
	1, 'dropping one leaves the other');

# A connection's own memory does not grow with the model.
SKIP:
{
	skip 'needs /proc/PID/smaps_rollup', 2 unless -r '/proc/self/smaps_rollup';
	$node->safe_psql('postgres', "SELECT risk.register_model('m', 'small', " . forest(10, 1) . ')');
	$node->safe_psql('postgres', score('small') . score('huge'));
	my $plans = $node->safe_psql('postgres',
		"SELECT min(plan_bytes), max(plan_bytes) > 0 FROM risk.cached_models WHERE version IN ('small', 'huge')");
	is($plans, '0|t', 'a plan stands beside an image, but not for many stumps');
	my ($session, $pid) = $node->session('postgres');
	$session->query_safe(score('small'));
	my $before = own_memory($pid);
	$session->query_safe(score('huge'));
	my $grown = own_memory($pid) - $before;
	my $image = $node->safe_psql('postgres',
		"SELECT image_bytes / 1024 FROM risk.model_versions_info WHERE version = 'huge'");
	cmp_ok($grown, '<', 128, "the first score with a model of $image kB takes less than 128 kB of memory ($grown)");
	$session->quit;
}

# Who loads an image is stopped amid: others wait for it, may give up, and do no work twice.
$node->safe_psql('postgres', "SELECT risk.register_model('m', 'slow', " . forest(40000, 5) . ')');
my ($loader, $loader_pid) = $node->session('postgres');
my ($waiter, $waiter_pid) = $node->session('postgres');
my $loads = $node->safe_psql('postgres', 'SELECT loads FROM risk.cache_status()');
$waiter->query_until(qr/started/, <<~"SQL");
	\\echo started
	DO 'BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = \$\$advisory\$\$ AND pid = $loader_pid) LOOP
			PERFORM pg_sleep(0.001);
		END LOOP;
	END';
	SQL
$loader->query_until(qr/started/, "\\echo started\n" . score('slow') . "\n");
$waiter->query_safe("SET lock_timeout = '10ms'; SET statement_timeout = '4s'");
kill 'STOP', $loader_pid;
SKIP:
{
	skip 'needs /proc/PID/smaps_rollup', 1 unless -r '/proc/self/smaps_rollup';
	my $before = own_memory($waiter_pid);
	$waiter->query_until(qr/started/, "\\echo started\n" . score('slow') . "\n");
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiter_pid");
	my $grown = own_memory($waiter_pid) - $before;
	my $image = $node->safe_psql('postgres',
		"SELECT image_bytes / 1024 FROM risk.model_versions_info WHERE version = 'slow'");
	cmp_ok($grown, '<', $image / 2, "who waits for an image of $image kB has not read it ($grown kB)");
	$waiter->query('SELECT 1');
}
$waiter->query(score('slow'));
like($waiter->{stderr}, qr/ERROR:  canceling statement due to statement timeout/,
	'an image that another process loads is waited for, until the statement is cancelled');
$waiter->{stderr} = '';
kill 'CONT', $loader_pid;
$waiter->query_safe('RESET statement_timeout');
like($waiter->query_safe(score('slow')), qr/^\{/, 'it comes, whatever lock_timeout is');
$loader->query_safe('SELECT 1');
is($node->safe_psql('postgres', "SELECT loads - $loads FROM risk.cache_status()"), 1, 'it was loaded once');

# Nor for ever: who loads it may wait for a lock on what it reads.
my $champion = "SELECT risk.score_margin('m', '{1,1}'::real[]);";
$node->safe_psql('postgres', "SELECT risk.promote('m', 'slow')");
$loader->query_safe($champion);
$waiter->query_safe('BEGIN; LOCK TABLE risk.model_versions');
$node->safe_psql('postgres', 'SELECT risk.evict_image(image_sha256) FROM risk.cache_entries()');
$loader->query_until(qr/started/, "\\echo started\n$champion\n");
$node->poll_query_until('postgres', <<~"SQL");
	SELECT count(*) = 2 FROM pg_locks WHERE pid = $loader_pid
	AND (locktype = 'advisory' OR NOT granted AND relation = 'risk.model_versions'::regclass)
	SQL
like($waiter->query_safe("$champion COMMIT;"), qr/^\{/, 'nobody waits for ever');
like($loader->query_safe('SELECT 1'), qr/^\{/, 'nor does who loads it');
$node->safe_psql('postgres', 'DELETE FROM risk.model_roles');
$_->quit for ($loader, $waiter);
$node->safe_psql('postgres', "SELECT risk.drop_version('m', 'slow')");

# Memory of a process that is no shared memory, in kB.
sub own_memory
{
	my ($pid) = @_;

	slurp_file("/proc/$pid/smaps_rollup") =~ /^Anonymous: +(\d+) kB/m or die;
	return $1;
}

# Images damaged in every way, with a checksum that fits.
sub damage
{
	my ($what, $model, @expressions) = @_;
	my $sql = <<~'SQL';
		ALTER TABLE risk.model_versions DISABLE TRIGGER immutable;
		CREATE TEMP TABLE sound AS SELECT image FROM risk.model_versions WHERE model = 'damaged';
		SQL
	my ($stdout, $stderr);

	$node->safe_psql('postgres', "SELECT risk.create_model('damaged'), risk.register_model('damaged', 'v1', $model)");
	for my $expression (@expressions)
	{
		$sql .= <<~"SQL";
			UPDATE risk.model_versions AS v SET image = d.image, image_sha256 = sha256(d.image)
			FROM (SELECT $expression FROM sound) AS d (image) WHERE model = 'damaged';
			SELECT count(risk.score_vector('damaged', ARRAY(SELECT random() * 1000 FROM
				generate_series(1, (metadata ->> 'num_features')::int))::real[], 'v1'))
			FROM risk.model_versions, generate_series(1, 3) WHERE model = 'damaged';
			SQL
	}
	$sql .= "SELECT risk.drop_model('damaged'); ALTER TABLE risk.model_versions ENABLE TRIGGER immutable;";
	$node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);

	my $scored = () = $stdout =~ /^3$/mg;
	my $refused = () = $stderr =~ /ERROR:  XX001: /g;
	my $errors = () = $stderr =~ /ERROR: /g;
	is($errors, $refused, "$what: no error but damaged data");
	is($scored + $refused, scalar @expressions, "$what: all are refused ($refused) or score ($scored)");
	cmp_ok($refused, '>', 0, "$what: damage is noticed");
	return;
}

srand(20240229);
my $small = "toy_model('{a,b,c}', '[[0, 5, 1, -1, 2], [1, [1, 3, 40], 0, 3, 4], [2, 7, 1, 5, 6]]', 'multi:softprob', 3)";
my $size = $node->safe_psql('postgres', "SELECT length((risk.import_artifact($small, NULL, false)).image)");
damage('each byte', $small,
	map { my $at = $_; map { "set_byte(image, $at, get_byte(image, $at) # $_)" } (1, 0x80, 0xff) } (0 .. $size - 1));
damage('random bytes', forest(40, 3), map
	{
		my $image = 'image';
		$image = "set_byte($image, (random() * (length(image) - 1))::int, (random() * 255)::int)"
			for (0 .. rand(6));
		$image
	} (1 .. 200));
damage('other lengths', $small,
	"'\\x'::bytea", map({ "substr(image, 1, $_)" } (1, 7, 8, 63, 64, $size / 2, $size - 1)),
	map({ "image || decode(repeat('00', $_), 'hex')" } (1, 8, 64, 4096)), 'substr(image, 2)', 'image || image');
is($node->safe_psql('postgres', 'SELECT count(*) FROM risk.cache_entries() WHERE in_use <> 0'),
	0, 'nothing is in use afterwards');
like($node->safe_psql('postgres', score('v2')), qr/^\{/, 'the other models score');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no process died');

# A plan that is wrong is not used, which is told once; a forest that is scored wrongly
# even so, not at all.  The extension's own objects, linked once more with two functions
# put before theirs, make both.
my $wrong = PgRisk->server('wrong', conf => "pg_risk.worker_naptime = '1d'");
my $source = $wrong->basedir . '/wrong.c';
my $tree = "$FindBin::RealBin/../..";
my ($stdout, $stderr);

append_to_file($source, <<~'C');
	#include "plan.h"

	extern size_t __real_forest_plan_build(const Forest *forest, ForestKernel kernel, void *memory);
	extern void __real_forest_margins_reference(const Forest *forest, const float *row, float *margins);

	/* All leaves are too large. */
	size_t
	__wrap_forest_plan_build(const Forest *forest, ForestKernel kernel, void *memory)
	{
		size_t		size = __real_forest_plan_build(forest, kernel, memory);
		ForestPlan *plan = memory;

		for (uint32_t i = 0; size > 0 && i < plan->num_groups * PLAN_GROUP * PLAN_NODES; i++)
			((PlanBranch *) ((char *) memory + plan->twigs))[i / PLAN_TWIG].below.leaves[i % PLAN_TWIG] += 1;
		return size;
	}

	/* Of eleven trees one is left out. */
	void
	__wrap_forest_margins_reference(const Forest *forest, const float *row, float *margins)
	{
		ForestHeader header = *forest->header;
		Forest		other = *forest;

		header.num_trees -= header.num_trees == 11;
		other.header = &header;
		__real_forest_margins_reference(&other, row, margins);
	}
	C
mkdir $wrong->basedir . '/lib';
system(join ' ', $node->config_data('--cc'), '-std=gnu11 -fPIC -shared -o', $wrong->basedir . '/lib/pg_risk.so',
	"-I$tree/src/forest", $source, (map { s/c$/o/r } map { glob "$tree/src/$_/*.c" } qw(forest measure rolling server)),
	'-Wl,--wrap=forest_plan_build,--wrap=forest_margins_reference -lm') == 0 or die;

$wrong->start;
$wrong->install('postgres');
$wrong->safe_psql('postgres', "SELECT risk.create_model('m')");
$_->safe_psql('postgres', "SELECT risk.register_model('m', 'ten', " . forest(10, 2) . ')') for ($node, $wrong);
$wrong->safe_psql('postgres', "SELECT risk.register_model('m', 'eleven', " . forest(11, 2) . ')');
$wrong->safe_psql('postgres', <<~'SQL');
	SET allow_system_table_mods = on;
	UPDATE pg_proc SET probin = 'pg_risk' WHERE probin = '$libdir/pg_risk';
	SQL
$wrong->append_conf('postgresql.conf', "dynamic_library_path = '" . $wrong->basedir . "/lib:\$libdir'");
$wrong->restart;

$wrong->psql('postgres', score('ten'), stdout => \$stdout, stderr => \$stderr);
like($stderr, qr/WARNING:  kernel "plain" gives other scores than the reference for version "ten" of model "m"/,
	'a plan with which scores would be wrong is told');
is($stdout, $node->safe_psql('postgres', score('ten')), 'scores are right all the same');
$wrong->psql('postgres', score('ten'), stderr => \$stderr);
is($stderr, '', 'it is told once');
is($wrong->safe_psql('postgres', 'SELECT version, plan_bytes, refused_kernel FROM risk.cached_models'),
	'ten|0|plain', 'and shown');
is($wrong->safe_psql('postgres', "SELECT risk.version_kernel('m', 'ten')"), 'walk', 'the trees are walked');
$wrong->psql('postgres', score('eleven'), stderr => \$stderr);
like($stderr, qr/ERROR:  forest image of a model version is damaged: its margins are not those of the reference/,
	'what is walked wrongly is an error');

done_testing();
