# Every model of the data folder, in every format, registered in a server and
# scored row by row: margins are those that XGBoost gave, bit for bit;
# predictions within two units in the last place (libm's share); contributions
# to every output within 1e-5 of the greatest one (libxgboost adds in float32).
# Tables of the same rows, more than the kernels' block, say what single calls do,
# to the bit.
# Or refused, for a reason that is known to be true of the file and the
# installed library.
#
# PG_RISK_DATA names the folder; without it this test is skipped.  README.md
# beside the models says what there is and how the references were made.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use File::Basename qw(dirname);
use IPC::Run qw(run);
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP qw(decode_json);
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = ($ENV{PG_RISK_DATA} // '') . '/models';
plan skip_all => 'no real-world models (PG_RISK_DATA)' unless -r "$data/manifest.csv";

my $scratch = PostgreSQL::Test::Utils::tempdir;
my @files;		# {name, path, format, set, ...}: a model file
my @sets;		# {inputs, margins, predictions, contributions}: rows and their reference

# ---------------------------------------------------------------------------
# Reading the folder.
# ---------------------------------------------------------------------------

# A CSV file as a list of hashes by column name; fields may be quoted.
sub read_csv
{
	my ($path) = @_;
	my ($names, @rows);

	for my $line (split /\r?\n/, slurp_file($path))
	{
		my @fields;

		push @fields, defined $1 ? $1 =~ s/""/"/gr : $2
		  while $line =~ /\G(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g;
		if (!$names)
		{
			$names = \@fields;
			next;
		}
		my %row;
		@row{@$names} = @fields;
		push @rows, \%row;
	}
	return @rows;
}

# An SQL array of numbers; an empty field is missing.
sub sql_array
{
	return '{' . join(',', map { $_ eq '' ? 'NULL' : $_ } @_) . '}';
}

# The probe rows of a CSV file as SQL arrays.
sub read_inputs
{
	my ($path) = @_;
	my ($header, @lines) = split /\r?\n/, slurp_file($path);

	return map { sql_array(split /,/, $_, -1) } @lines;
}

# The columns of a reference file that begin so, as SQL arrays.
sub read_outputs
{
	my ($path, $prefix) = @_;
	my ($header, @lines) = split /\r?\n/, slurp_file($path);
	my @names = split /,/, $header;
	my @columns = grep { $names[$_] =~ /^$prefix/ } (0 .. $#names);

	return map { sql_array((split /,/)[@columns]) } @lines;
}

# Names for features that have none, which columns of a table need.
sub made_up_names
{
	my ($set) = @_;
	my $commas = () = $set->{inputs}[0] =~ /,/g;

	return '{' . join(',', map { "f$_" } (0 .. $commas)) . '}';
}

# What the installed libxgboost makes of the rows, as SQL arrays, all outputs of a
# row in one; nothing where it cannot read the model.
sub library_contributions
{
	my ($path, $rows) = @_;
	my ($stdout, $stderr);

	run([ 'pg_risk_xgboost', 'predict', '--contributions', '--engine=xgboost', "--rows=$rows", $path ],
		'>', \$stdout, '2>', \$stderr) or return;
	my ($header, @lines) = split /\n/, $stdout;
	return map { sql_array(split /,/) } @lines;
}

# A tensor of rows as the generator wrote it, as SQL arrays.  A double with 17
# digits is the float32 that it was.
sub tensor_rows
{
	my ($tensor) = @_;
	my $rows = $tensor->{shape}[0];
	my @values = map { sprintf('%.17g', $_) } @{ $tensor->{values} };
	my $columns = @values / $rows;

	return map { sql_array(splice(@values, 0, $columns)) } (1 .. $rows);
}

# A model file as PostgreSQL is to read it: unpacked.
sub unpacked
{
	my ($path) = @_;
	my $plain = "$scratch/" . scalar(@files);

	return $path unless $path =~ /\.gz$/;
	gunzip($path => $plain) or die "$path: $IO::Uncompress::Gunzip::GunzipError";
	return $plain;
}

sub read_published
{
	my %format = ('JSON' => 'json', 'UBJSON' => 'ubj', 'legacy binary' => 'bin');

	for my $row (read_csv("$data/manifest.csv"))
	{
		my $folder = dirname("$data/$row->{file}");

		my $path = unpacked("$data/$row->{file}");

		push @sets,
		  {
			inputs => [ read_inputs("$folder/$row->{input}") ],
			margins => [ read_outputs("$folder/$row->{expected}", 'margin_') ],
			predictions => [ read_outputs("$folder/$row->{expected}", 'pred_') ],
			contributions => [ library_contributions($path, "$folder/$row->{input}") ]
		  };
		push @files,
		  {
			%$row,
			name => $row->{id},
			path => $path,
			format => $format{ $row->{format} },
			set => $#sets,
			names => $row->{feature_names} eq 'no' ? made_up_names($sets[-1]) : undef
		  };
	}
	return;
}

sub read_generated
{
	for my $reference (sort glob "$data/generated/*/*.expect.json")
	{
		my $content = decode_json(slurp_file($reference));
		my $stem = $reference =~ s/\.expect\.json$//r;

		push @sets,
		  {
			inputs => [ read_inputs("$stem.input.csv") ],
			margins => [ tensor_rows($content->{margin}) ],
			predictions => [ tensor_rows($content->{value}) ],
			contributions => [ $content->{contribs} ? tensor_rows($content->{contribs}) : () ]
		  };
		for my $format (@{ $content->{meta}{formats} })
		{
			push @files,
			  {
				name => $stem =~ s/^.*\/(.*)\/(.*)$/$2 $1 $format/r,
				kind => $content->{meta}{name},
				path => "$stem.$format",
				format => $format,
				xgboost_version => $content->{meta}{xgboost},
				set => $#sets,
				names => made_up_names($sets[-1])
			  };
		}
	}
	return;
}

sub read_rejected
{
	push @files,
	  {
		name => "rejected $_->{file}",
		path => "$data/rejected/$_->{file}",
		format => 'none',
		rejected => 1
	  }
	  for read_csv("$data/rejected/rejected.csv");
	return;
}

# ---------------------------------------------------------------------------
# Scoring in the server.
# ---------------------------------------------------------------------------

read_published();
read_generated();
read_rejected();

my $node = PgRisk->server('main', conf => <<'CONF');
pg_risk.cache_size = '256MB'
max_wal_size = '4GB'
CONF
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_risk;
SELECT risk.create_model('sweep0'), risk.create_model('sweep1');
CREATE TABLE file (id int PRIMARY KEY, name text, path text, set int, feature_names text[]);
CREATE TABLE row (set int, row int, input real[], margin real[], prediction real[], contribution real[], PRIMARY KEY (set, row));
CREATE TABLE outcome (id int PRIMARY KEY, sqlstate text, message text, library text,
	rows int, wrong_margins int, wrong_predictions int, worst numeric, example text,
	explained int, wrong_contributions int, batched int, wrong_batches int);

-- Bits of a number, in the order of the numbers, so that neighbours differ by one.
CREATE FUNCTION place(real) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN bits < 0 THEN -2147483648 - bits ELSE bits END::bigint
	FROM (SELECT ('x' || encode(float4send($1), 'hex'))::bit(32)::int::bigint) AS b (bits)
$$;

-- How many representable numbers two arrays are apart; NULL: not comparable.
CREATE FUNCTION distance(a real[], b real[]) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN cardinality(a) = cardinality(b)
		THEN (SELECT max(abs(place(x) - place(y))) FROM unnest(a, b) AS e (x, y)) END
$$;

-- Is each number of one array near that of the other, for the size of them all?
CREATE FUNCTION near(a float8[], b real[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT cardinality(a) = cardinality(b) AND max(abs(x - y)) <= 1e-5 * greatest(max(abs(y)), 1) FROM unnest(a, b) AS e (x, y)
$$;

-- A query that gives a file's rows as columns, for a version of these names, again
-- and again until there are over 150; NULL: arrays alone can be given.
CREATE FUNCTION rows_of(f file, v risk.model_versions) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format('SELECT r.row AS row_number, %s FROM row AS r, generate_series(1, %s) AS again WHERE r.set = %s',
		string_agg(format('r.input[%s] AS %I', i, name), ', ' ORDER BY i), (SELECT 151 / count(*) + 1 FROM row WHERE set = f.set), f.set)
	FROM unnest(v.feature_names) WITH ORDINALITY AS e (name, i)
	HAVING bool_and(octet_length(name) < 64 AND name <> 'row_number') AND v.categories = '{}'
$$;

-- Of each output: how many contributions were compared with their references, where
-- there are any, how many rows of tables with single calls, and how many were wrong.
CREATE FUNCTION compare_outputs(m text, f file, OUT explained int, OUT wrong_contributions int, OUT batched int, OUT wrong_batches int)
LANGUAGE plpgsql AS $$
DECLARE
	v risk.model_versions := (SELECT v FROM risk.model_versions AS v WHERE v.model = m AND v.version = f.name);
	width int := (v.metadata ->> 'num_features')::int + 1;
	source text := rows_of(f, v);
	compared record;
BEGIN
	explained := 0;
	wrong_contributions := 0;
	batched := 0;
	wrong_batches := 0;
	FOR k IN 0 .. (v.metadata ->> 'num_outputs')::int - 1 LOOP
		PERFORM risk.alter_model(m, positive_class => k);
		IF (v.metadata -> 'explains')::boolean THEN
			WITH single AS MATERIALIZED (
				SELECT r.row, risk.contributions(m, r.input, f.name) AS ours, r.contribution[k * width + 1 : (k + 1) * width] AS reference
				FROM row AS r WHERE r.set = f.set)
			SELECT count(reference) AS number, count(reference) FILTER (WHERE near(ours, reference) IS NOT TRUE) AS wrong,
				   CASE WHEN source IS NOT NULL THEN (
					SELECT count(*) FROM risk.contributions_batch(m, source || ' AND again = 1', f.name, 'row_number') AS b LEFT JOIN single AS s ON s.row = b.entity_id::int
					WHERE array_send(b.contributions) IS DISTINCT FROM array_send(s.ours)) ELSE 0 END AS wrong_batches
			INTO compared FROM single;
			explained := explained + compared.number;
			wrong_contributions := wrong_contributions + compared.wrong;
			wrong_batches := wrong_batches + compared.wrong_batches;
		END IF;
		CONTINUE WHEN source IS NULL;
		SELECT count(*) AS number, count(*) FILTER (WHERE float8send(b.score) IS DISTINCT FROM float8send(s.score)) AS wrong INTO compared
		FROM risk.score_batch(m, source, f.name, 'row_number') AS b
		LEFT JOIN (SELECT r.row, risk.score_transaction(m, r.input, f.name) AS score FROM row AS r WHERE r.set = f.set OFFSET 0) AS s ON s.row = b.entity_id::int;
		batched := batched + compared.number;
		wrong_batches := wrong_batches + compared.wrong;
	END LOOP;
END $$;

-- Register and score the files of one of two sessions.
CREATE PROCEDURE sweep(part int) LANGUAGE plpgsql AS $$
DECLARE
	f file;
	certificate jsonb;
	m text := 'sweep' || part;
BEGIN
	FOR f IN SELECT * FROM file WHERE id % 2 = part ORDER BY id LOOP
		BEGIN
			certificate := risk.register_model(m, f.name, pg_read_binary_file(f.path), feature_names => f.feature_names);
			INSERT INTO outcome
			SELECT f.id, '00000', NULL, certificate ->> 'library', count(*),
				   count(*) FILTER (WHERE array_send(s.margin) <> array_send(s.wanted)),
				   count(*) FILTER (WHERE coalesce(s.distance > 2, true)), max(s.distance),
				   min(format('row %s: margin %s, reference %s', s.row, s.margin, s.wanted))
				   FILTER (WHERE array_send(s.margin) <> array_send(s.wanted))
			FROM (SELECT r.row, r.margin AS wanted,
						 risk.score_margin(m, r.input, f.name)::real[] AS margin,
						 distance(risk.score_vector(m, r.input, f.name)::real[], r.prediction) AS distance
				  FROM row AS r WHERE r.set = f.set OFFSET 0) AS s;
			UPDATE outcome AS o SET explained = c.explained, wrong_contributions = c.wrong_contributions,
				   batched = c.batched, wrong_batches = c.wrong_batches
			FROM compare_outputs(m, f) AS c WHERE o.id = f.id;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO outcome (id, sqlstate, message) VALUES (f.id, SQLSTATE, SQLERRM);
		END;
		COMMIT;
	END LOOP;
END $$;
SQL

# Give the server the files and the rows.
append_to_file("$scratch/files", join('', map { join("\t", $_, $files[$_]{name}, $files[$_]{path},
		$files[$_]{set} // '\N', $files[$_]{names} // '\N') . "\n" } (0 .. $#files)));
for my $set (0 .. $#sets)
{
	my ($inputs, $margins, $predictions, $contributions) = @{ $sets[$set] }{qw(inputs margins predictions contributions)};

	append_to_file("$scratch/rows", join('', map { join("\t", $set, $_, $inputs->[$_], $margins->[$_],
			$predictions->[$_], $contributions->[$_] // '\N') . "\n" } (0 .. $#$inputs)));
}
$node->safe_psql('postgres', "\\copy file FROM '$scratch/files'\n\\copy row FROM '$scratch/rows'\nANALYZE");

# Two sessions, as half of the time goes into the importer.
my @sessions = map { $node->background_psql('postgres') } (0, 1);
$sessions[$_]->query_until(qr/started/, "\\echo started\nCALL sweep($_);\n") for (0, 1);
$_->quit for @sessions;

# ---------------------------------------------------------------------------
# Judging.
# ---------------------------------------------------------------------------

my @outcomes;
for my $line (split /\n/, $node->safe_psql('postgres', <<'SQL'))
SELECT to_jsonb(o)::text FROM outcome AS o ORDER BY id
SQL
{
	my $outcome = decode_json($line);

	$outcomes[ $outcome->{id} ] = $outcome;
}
my ($library) = map { $_->{library} // () } @outcomes;
my $release = $library =~ /^(\d+)\.(\d+)/ ? $1 * 100 + $2 : 0;
my ($matched, $failed, $explained, $batched, %refused) = (0, 0, 0, 0);

# The reason, and the message that says it, for which this file must be
# refused where this library is installed; nothing if it must not.
sub true_refusal
{
	my ($file) = @_;
	my $is = "$file->{name} $file->{path}";
	my $objective = $file->{objective} // $file->{kind} // '';
	my $written = $file->{xgboost_version} // '';

	return ('not a model file', qr/^22P03: file is a memory snapshot/) if $is =~ /exgboost_snapshot/;
	return ('not a model file', qr/^22P03: file is a JSON dump/) if $is =~ /dump\.json/;
	return ('not a model file', qr/^22P03: file is a model in the wrapper of XGBoost4J-Spark/) if $is =~ /\.spark/;
	return ('not a model file', qr/^22P03: file is a LightGBM model/) if $is =~ /lightgbm/;

	# Only libxgboost reads the old binary format, and what it cannot, nobody can.
	my $binary = $file->{format} eq 'bin' || $is =~ /v40_binary-logistic/;
	return ('old binary format, gone in 3.1', qr/^0A000: .*old binary format/) if $binary && $release >= 301;
	return ('broken header', qr/^(22P03: malformed model: "num_parallel_tree"|0A000: libxgboost \S+ cannot load the model: .*layer_trees)/)
	  if $is =~ /v40_binary-logistic/;
	return ('no trees', qr/^0A000: model has no trees$/) if $objective eq 'no_trees';
	return ('old binary, objective unknown to this library', qr/^0A000: libxgboost \S+ cannot load the model: /)
	  if $binary && $release < 200 && $written eq '3.0.0' && $objective =~ /^(quantile|rank)_/;
	return ('old binary, parameters of gamma regression differ', qr/^0A000: libxgboost \S+ cannot load the model: /)
	  if $binary && $release >= 201 && $objective =~ /gamma/ && $written =~ /^(1|2\.0)/;
	return;
}

for my $id (0 .. $#files)
{
	my ($file, $outcome) = ($files[$id], $outcomes[$id]);
	my ($reason, $message) = true_refusal($file);
	my $said = join(': ', map { $_ // '' } @$outcome{qw(sqlstate message)});
	my $ok;

	if ($reason)
	{
		$ok = like($said, $message, "$file->{name}: refused, $reason");
		$refused{$reason}++ if $ok;
	}
	else
	{
		my $rows = @{ $sets[ $file->{set} ]{inputs} };

		$ok = is(
			join(' ', map { $_ // '' } @$outcome{qw(sqlstate rows wrong_margins wrong_predictions wrong_contributions wrong_batches)}),
			"00000 $rows 0 0 0 0", "$file->{name}: $rows rows");
		$explained++ if $outcome->{explained};
		$batched++ if $outcome->{batched};
		diag($outcome->{message} // $outcome->{example} // "predictions differ by $outcome->{worst}") unless $ok;
		$matched++ if $ok;
	}
	$failed++ unless $ok;
}

# XGBoost wrote no covers of vector leaves before 3.2; where the library cannot
# read a model there is nothing to compare with.
cmp_ok($explained, '>=', 0.95 * $matched, "contributions were compared of $explained of $matched models");
cmp_ok($batched, '>=', 0.9 * $matched, "tables were scored by $batched of $matched models");
note("libxgboost $library: $matched matched, ", join('', map { "$refused{$_} refused ($_), " } sort keys %refused),
	"$failed failed");
done_testing();
