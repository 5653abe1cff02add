# The importer as a process: whatever the program does (hangs, dies, talks
# nonsense, is not there), the session gets a clear error in time, nothing is
# registered, and no process stays; and the program gets nothing it should not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PgRisk->server('main');
$node->start;
$node->install('postgres');
$node->add_model('postgres', 'm', v1 => constant(1));
my $register = "SELECT risk.register_model('m', 'v2', " . constant(2) . ')';
my $attempts = 0;
my $pid_file = $node->basedir . '/importer.pid';

# Stand-ins write their process number first.
sub stand_in
{
	my ($script) = @_;

	unlink $pid_file;
	return $node->set_importer("echo \$\$ > $pid_file.new; mv $pid_file.new $pid_file\n$script");
}

# The stand-in's process number, once it runs.
sub importer_pid
{
	my $pid;

	wait_until(sub { -s $pid_file });
	$pid = slurp_file($pid_file);
	chomp $pid;
	return $pid;
}

# A registration with this program fails so, soon, and without traces.
sub fails_with
{
	my ($what, $script, $error, $settings) = @_;
	my $began = time;

	stand_in($script);
	like($node->error_of('postgres', ($settings // '') . $register =~ s/v2/'attempt' . ++$attempts/er), $error, $what);
	ok(!running(importer_pid()), '... its process is gone');
	cmp_ok(time - $began, '<', 20, '... in time');
	return;
}

# Not there, not a program.
$node->set_and_reload('pg_risk.importer_path', '/nonexistent/importer');
like($node->error_of('postgres', $register),
	qr/^58P01: could not run the importer program "\/nonexistent\/importer": No such file or directory\nHINT:  .*pg_risk.importer_path/,
	'no program');
$node->set_and_reload('pg_risk.importer_path', $node->data_dir . '/PG_VERSION');
like($node->error_of('postgres', $register), qr/^42501: could not run the importer program .*: Permission denied/,
	'a file that is no program');

# Ends without an answer.
fails_with('exit status 3', 'exit 3', qr/^38000: the importer program failed \(exit status 3\)\nHINT: /);
fails_with('exit status 0 without a word', 'cat > /dev/null', qr/^38000: the importer program failed \(exit status 0\)/);
fails_with('a crash', 'kill -SEGV $$', qr/^22P03: the model file makes XGBoost's reader crash \(signal 11\)\nHINT: /);
fails_with('killed for its use of memory', 'kill -KILL $$',
	qr/^54000: the importer program was stopped: .*\nHINT: .*pg_risk.import_cpu_time.*pg_risk.import_memory/);
fails_with('killed for its use of time', 'kill -XCPU $$', qr/^54000: the importer program was stopped/);

# Nonsense for an answer.
fails_with('garbage', 'cat > /dev/null; head -c 100000 /dev/urandom; echo', qr/^(22P02|22021|22P05): /);
fails_with('no JSON', 'cat > /dev/null; echo hello', qr/^22P02: invalid input syntax for type json/);
fails_with('JSON that is no object', 'cat > /dev/null; echo 1', qr/^38000: the importer program gave an answer that makes no sense/);
fails_with('an empty object', 'cat > /dev/null; echo "{}"', qr/^38000: the importer program gave an answer that makes no sense/);
fails_with('a refusal without a reason', 'cat > /dev/null; echo "{}"; exit 1',
	qr/^22P03: the importer program refused the artifact/);
fails_with('a refusal with one', q(cat > /dev/null; echo '{"error": "too odd", "kind": "unsupported", "hint": "Try another."}'; exit 1),
	qr/^0A000: too odd\nHINT:  Try another\./);
fails_with('text that is not UTF-8', q(cat > /dev/null; printf '{"error": "\\377\\376"}\n'; exit 1), qr/^22021: invalid byte sequence/);
fails_with('a line without an end', 'cat > /dev/null; head -c 20000000 /dev/zero', qr/^38000: the importer program failed/);

# An image that is none is not registered.
stand_in(q(cat > /dev/null; echo '{"num_features": 1, "categorical_features": [], "certificate": {}}'; head -c 4000 /dev/zero));
like($node->error_of('postgres', "SELECT risk.register_model('m', 'zeros', '')"),
	qr/^38000: the importer program gave an answer that makes no sense\nHINT: /, 'an image of zeros');

# Hangs: the limit, the cancel, the end of the session.
fails_with('a hang', 'exec sleep 1000', qr/^54000: the import took longer than 300 ms\nHINT:  Increase pg_risk.import_timeout/,
	"SET pg_risk.import_timeout = '300ms'; ");
fails_with('a hang after the answer', 'exec > /dev/null; exec sleep 1000', qr/^54000: the import took longer/,
	"SET pg_risk.import_timeout = '300ms'; ");
fails_with('a hang that writes', 'while :; do echo; sleep 0.01; done', qr/^54000: the import took longer/,
	"SET pg_risk.import_timeout = '300ms'; ");
fails_with('a flood', 'exec cat /dev/zero', qr/^54000: the import took longer/,
	"SET pg_risk.import_timeout = '300ms'; ");
fails_with('statement_timeout', 'exec sleep 1000', qr/^57014: canceling statement due to statement timeout/,
	"SET statement_timeout = '300ms'; ");
for my $end ('pg_cancel_backend', 'pg_terminate_backend')
{
	stand_in('exec sleep 1000');
	my ($session, $pid) = $node->session('postgres');
	$session->query_until(qr/started/, "\\echo started\n$register;\n");
	my $importer = importer_pid();
	$node->safe_psql('postgres', "SELECT $end($pid)");
	wait_until(sub { !running($importer) });
	pass("$end ends the program");
	end_lost($session);
}
is($node->safe_psql('postgres', "SELECT string_agg(version, ' ') FROM risk.model_versions_info"),
	'v1', 'none of all this registered anything');

# What the program is given: an environment of two variables, three open files,
# default signals, its limits as arguments.
my $seen = $node->basedir . '/seen';
stand_in(<<~"SH");
	exec > $seen
	echo "arguments: \$*"
	tr '\\0' '\\n' < /proc/\$\$/environ | sort | sed 's/^/environment: /'
	ls -l /proc/\$\$/fd | sed -n 's/.* \\([0-9]*\\) -> /descriptor: \\1 /p' | grep -v importer
	grep -E 'Sig(Blk|Ign)' /proc/self/status
	exit 3
	SH
$node->error_of('postgres', "SET pg_risk.import_memory = '100MB'; SET pg_risk.import_cpu_time = '5s'; "
	  . "SELECT risk.register_model('m', 'v2', '', missing => -999, use_best_iteration => true)");
my $given = slurp_file($seen);
like($given, qr/^arguments: import --memory-mb=100 --cpu-seconds=5 --open-files=64 --missing=-999 --best-iteration$/m,
	'limits and options are arguments');
is(join(' ', $given =~ /^environment: (.*)$/mg), 'LC_ALL=C OMP_NUM_THREADS=1', 'the environment is these two');
is(join(' ', $given =~ /^descriptor: (\d+)/mg), '0 1 2', 'the open files are these three') or diag($given);
is(join(' ', map { hex($_) & 0x7fffffff } $given =~ /^Sig\w+:\s*[0-9a-f]{8}([0-9a-f]{8})$/mg),
	'0 0', 'no signal is blocked or ignored');

# The real one within its limits.
$node->reset_importer;
my $large = "SELECT risk.register_model('m', 'large', " . forest(40000, 3) . ')';
like($node->error_of('postgres', "SET pg_risk.import_memory = '64MB'; $large"),
	qr/^54000: out of memory .*\nDETAIL:  .*pg_risk.import_memory \(64 MB\).*\nHINT: /, 'not enough memory');
like($node->error_of('postgres', "SET pg_risk.import_cpu_time = '1s'; $large"),
	qr/^54000: .* took too long\nDETAIL:  .*pg_risk.import_cpu_time \(1 s\)\.\nHINT: /, 'not enough time');
is($node->safe_psql('postgres', "SELECT count(*) FROM risk.model_versions WHERE version = 'large'"),
	0, 'nothing is registered');
is($node->error_of('postgres', $register), '', 'a model of usual size is');
is($node->safe_psql('postgres', "SELECT risk.score_margin('m', '{1}'::real[], 'v2')"), '{2}', 'and scores');

# Many at once for one name: one wins, the others are told.
$node->pgbench(
	'-n -c 4 -t 1', 2, [qr/number of transactions actually processed: 1\/4/],
	[qr/(version "v3" of model "m" is already registered.*){3}/s], 'four registrations of one version',
	{ register => "SELECT risk.register_model('m', 'v3', " . constant(3) . ")" });
is($node->safe_psql('postgres', "SELECT risk.score_margin('m', '{1}'::real[], 'v3')"), '{3}', 'one of them won');

done_testing();
