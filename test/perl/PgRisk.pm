# PgRisk.pm
#	A PostgreSQL::Test::Cluster with pg_risk preloaded, and what the TAP tests
#	share: toy models with known scores, looks at the cache and at processes,
#	stand-ins for the importer program.
#
#	my $node = PgRisk->server('main', conf => "pg_risk.cache_size = '1MB'");
#	$node->start;
#	$node->install('postgres');
#	$node->add_model('postgres', 'm', v1 => constant(1), v2 => constant(2));

package PgRisk;

use strict;
use warnings;

use parent 'PostgreSQL::Test::Cluster';

use Exporter qw(import);
use File::Basename qw(dirname);
use IPC::Run ();
# Nothing imported: a function of that name would hide the class's method.
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(usleep);

our @EXPORT = qw(constant end_lost end_pgbench forest running wait_until wide_forest);

# toy_model(), and toy_forest(), which makes its many trees as text: fast; toy_wide_forest().
my $toy_sql = PostgreSQL::Test::Utils::slurp_file(dirname(__FILE__) . '/../toy.sql') . <<'SQL';
CREATE FUNCTION toy_forest(trees int, seed int) RETURNS bytea LANGUAGE sql AS $$
	WITH one AS (
		SELECT convert_from(toy_model('{amount,hour}', '[[0, 0, 1, 0, 0]]',
				'reg:squarederror', base_score => '0'), 'UTF8')::jsonb AS model,
			   '{learner,gradient_booster,model}'::text[] AS path
	), part AS (
		SELECT (model #> (path || '{trees,0}'))::text AS tree,
			   jsonb_set(jsonb_set(jsonb_set(model,
				path || '{gbtree_model_param,num_trees}', to_jsonb(trees::text)),
				path || '{tree_info}', to_jsonb(array_fill(0, ARRAY[trees]))),
				path || '{trees}', '[]')::text AS rest
		FROM one
	), many AS (
		SELECT string_agg(replace(replace(replace(tree,
				'"id": 0', format('"id": %s', i)),
				'"split_indices": [0', format('"split_indices": [%s', i % 2)),
				'"split_conditions": [0, 0, 0]', format('"split_conditions": [%s, %s, %s]',
					i * 7919 % 1000 + seed, (i * 31 % 100 - 50) / 64.0, (i * seed % 64) / 128.0)),
				', ' ORDER BY i) AS trees
		FROM part, generate_series(0, trees - 1) AS i
	)
	SELECT convert_to(replace(rest, '"trees": []', '"trees": [' || many.trees || ']'), 'UTF8')
	FROM part, many
$$;
CREATE FUNCTION toy_wide_forest(features int) RETURNS bytea LANGUAGE sql AS $$
	WITH one AS (
		SELECT jsonb_set(jsonb_set(convert_from(toy_model('{a}', '[[0, 0, 1, 0, 0]]',
				'reg:squarederror', base_score => '0'), 'UTF8')::jsonb,
				'{learner,feature_names}', '[]'), '{learner,learner_model_param,num_feature}', to_jsonb(features::text)) AS model,
			   '{learner,gradient_booster,model}'::text[] AS path
	), tree AS (
		SELECT t.id, (SELECT t.one || jsonb_object_agg(key, zeros) FROM jsonb_object_keys(t.one) AS key
					  WHERE key IN ('base_weights', 'loss_changes', 'sum_hessian', 'split_type')) || jsonb_build_object(
				'id', t.id, 'tree_param', t.one -> 'tree_param' || jsonb_build_object('num_nodes', '7', 'num_feature', features::text),
				'left_children', '[1, 3, 5, -1, -1, -1, -1]'::jsonb, 'right_children', '[2, 4, 6, -1, -1, -1, -1]'::jsonb,
				'parents', '[2147483647, 0, 0, 1, 1, 2, 2]'::jsonb,
				'split_indices', jsonb_build_array(3 * t.id, 3 * t.id + 1, 3 * t.id + 2, 0, 0, 0, 0),
				'split_conditions', '[0, 0, 0, 1, 2, 3, 4]'::jsonb, 'default_left', '[1, 1, 1, 1, 1, 1, 1]'::jsonb) AS tree
		FROM (SELECT i AS id, model #> (path || '{trees,0}') AS one FROM one, generate_series(0, features / 3 - 1) AS i) AS t,
			 to_jsonb(array_fill(0, ARRAY[7])) AS zeros
	)
	SELECT convert_to(jsonb_set(jsonb_set(jsonb_set(min(model::text)::jsonb,
			min(path) || '{gbtree_model_param,num_trees}', to_jsonb(count(*)::text)),
			min(path) || '{tree_info}', to_jsonb(array_fill(0, ARRAY[count(*)::int]))),
			min(path) || '{trees}', jsonb_agg(tree ORDER BY id))::text, 'UTF8')
	FROM one, tree
$$;
SQL

# ---------------------------------------------------------------------------
# Toy models: SQL expressions of an artifact.
# ---------------------------------------------------------------------------

# A model of one feature that scores everything with the same number.
sub constant
{
	my ($score) = @_;

	return "toy_model('{amount}', '[[0, 0, 1, $score, $score]]', "
	  . "'reg:squarederror', base_score => '0')";
}

# A model of two features and so many stumps; another seed, another model.
sub forest
{
	my ($trees, $seed) = @_;

	return "toy_forest($trees, $seed)";
}

# A model of so many features, each of which one node of a tree of two levels splits on.
sub wide_forest
{
	my ($features) = @_;

	return "toy_wide_forest($features)";
}

# ---------------------------------------------------------------------------
# Servers.
# ---------------------------------------------------------------------------

# A server with pg_risk preloaded, not yet started.  Parameters: conf, further
# settings; streaming, as allows_streaming of init().
sub server
{
	my ($class, $name, %params) = @_;
	my $node = $class->new($name);

	$node->init(
		allows_streaming => $params{streaming},
		extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', <<~"CONF");
		shared_preload_libraries = 'pg_risk'
		log_statement = none
		max_connections = 20
		CONF
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	return $node;
}

# Create the extension and the toy models' function in a database.
sub install
{
	my ($node, $database) = @_;

	$node->safe_psql($database, "CREATE EXTENSION pg_risk; $toy_sql");
	return;
}

# Create a model, register versions (name => artifact, ...) and promote the
# first of them.
sub add_model
{
	my ($node, $database, $model, @versions) = @_;
	my $first = $versions[0];
	my $sql = "SELECT risk.create_model('$model');\n";

	while (my ($version, $artifact) = splice(@versions, 0, 2))
	{
		$sql .= "SELECT risk.register_model('$model', '$version', $artifact);\n";
	}
	$node->safe_psql($database, "$sql SELECT risk.promote('$model', '$first');");
	return;
}

# The error message of a statement that must fail: "SQLSTATE: message", with
# DETAIL and HINT lines if there are any; empty when it succeeds.
sub error_of
{
	my ($node, $database, $sql) = @_;
	my $stderr;

	$node->psql($database, "\\set VERBOSITY verbose\n$sql", stderr => \$stderr);
	$stderr =~ s/^psql:[^:]*:\d+: //mg;
	$stderr =~ s/^(ERROR|FATAL|WARNING|NOTICE):  //mg;
	$stderr =~ s/^(LOCATION|CONTEXT|PL\/pgSQL|SQL).*\n?//mg;
	return $stderr;
}

# What a SELECT says, less the word SELECT.
sub value
{
	my ($node, $sql) = @_;

	return $node->safe_psql('postgres', "SELECT $sql");
}

# Scores of a model over a fixed set of rows of two features, as text.
sub scores
{
	my ($node, $database, $model) = @_;

	return $node->safe_psql($database, <<~"SQL");
		SELECT array_agg(risk.score_transaction('$model', ARRAY[
			nullif(i * 37 % 1000, 0), nullif(i * 101 % 1000, 7)]::real[]) ORDER BY i)
		FROM generate_series(1, 200) AS i
		SQL
}

# Wait until these versions ("model/version", sorted), and no others of the
# database, are in the cache.
sub wait_for_cached
{
	my ($node, $database, @versions) = @_;

	return $node->poll_query_until($database, <<~'SQL', join(' ', @versions));
		SELECT string_agg(model || '/' || version, ' ' ORDER BY model, version)
		FROM risk.cached_models WHERE model IS NOT NULL
		SQL
}

# Wait until nothing in the cache is in use.
sub wait_until_idle
{
	my ($node, $database) = @_;

	return $node->poll_query_until($database,
		'SELECT coalesce(max(in_use), 0) = 0 FROM risk.cache_entries()');
}

# A session in the background; its process number as the second result.
sub session
{
	my ($node, $database, %params) = @_;
	my $session = $node->background_psql($database, on_error_stop => 0, %params);

	return ($session, $session->query_safe('SELECT pg_backend_pid()'));
}

# Run pgbench in the background: options, and a script each with its weight
# ("name@weight" => text).  No statement may take long.
sub begin_pgbench
{
	my ($node, $options, %scripts) = @_;
	my $output = '';
	my @command = ('pgbench', '-n', @$options);

	for my $name (sort keys %scripts)
	{
		my ($base, $weight) = split /@/, $name;
		my $file = $node->basedir . "/$base.sql";

		unlink $file;
		PostgreSQL::Test::Utils::append_to_file($file, $scripts{$name});
		push @command, '-f', "$file\@$weight";
	}
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGDATABASE} = 'postgres';
	local $ENV{PGOPTIONS} = '-c statement_timeout=20s';
	return { output => \$output, run => IPC::Run::start(\@command, '<', \undef, '>&', \$output) };
}

# Wait for its end, or with a signal stop it; what it has said, and whether
# nothing failed.
sub end_pgbench
{
	my ($pgbench, $signal) = @_;

	$pgbench->{run}->signal($signal) if $signal;
	$pgbench->{run}->finish;
	my $status = $pgbench->{run}->full_result(0);
	my $output = ${ $pgbench->{output} };

	return ($output, ($status == 0 || $signal && ($status & 127)) && $output !~ /ERROR|aborted/);
}

# End a session that has lost its server process, or may have.
sub end_lost
{
	my ($session) = @_;

	eval { $session->{run}->finish };
	return;
}

# Process number of the server process of a kind ("pg_risk launcher"); waits
# until there is one.
sub process
{
	my ($node, $kind, $condition) = @_;
	my $query = "SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind'"
	  . ($condition ? " AND $condition" : '');
	my $pid;

	wait_until(sub { $pid = $node->safe_psql('postgres', $query) });
	return $pid;
}

# Kill the server, and wait until all its processes have gone.
sub kill_server
{
	my ($node) = @_;
	my @pids = split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');

	push @pids, PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	$node->kill9;
	wait_until(sub { !grep { kill(0, $_) } @pids });
	return;
}

# Set something in the configuration file, and wait until new sessions see it.
sub set_and_reload
{
	my ($node, $setting, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
	$node->reload;
	$node->poll_query_until('postgres',
		"SELECT current_setting('$setting') = '$value'")
	  or die "$setting did not change";
	return;
}

# ---------------------------------------------------------------------------
# Stand-ins for the importer program.
# ---------------------------------------------------------------------------

# Make a shell script the importer program; returns its path.
sub set_importer
{
	my ($node, $script) = @_;
	my $path = $node->basedir . '/importer.' . ++$node->{importers};

	PostgreSQL::Test::Utils::append_to_file($path, "#!/bin/sh\n$script\n");
	chmod 0755, $path or die "chmod $path: $!";
	$node->set_and_reload('pg_risk.importer_path', $path);
	return $path;
}

# Back to the real one.
sub reset_importer
{
	my ($node) = @_;

	$node->set_and_reload('pg_risk.importer_path', '');
	return;
}

# ---------------------------------------------------------------------------
# Processes, waiting.
# ---------------------------------------------------------------------------

# Is there such a process, and no mere remains of one?
sub running
{
	my ($pid) = @_;

	return 0 unless kill(0, $pid);
	return 1 unless -e '/proc/self/stat';
	# It may go while it is looked at.
	open(my $stat, '<', "/proc/$pid/stat") or return 0;
	my $line = <$stat>;
	return defined $line && $line !~ /\) Z /;
}

# Wait until a condition holds; dies when it does not become true.
sub wait_until
{
	my ($condition) = @_;

	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		usleep(50_000);
	}
	die 'timed out waiting for a condition';
}

1;
