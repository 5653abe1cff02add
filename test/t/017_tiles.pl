# Lookups that tiles answer say what the rows say: in every snapshot, while others
# insert, in order and late, correct, delete, replay and roll back, and the worker makes
# tiles meanwhile; within the statement that writes; after every kind of crash.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PgRisk;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $seconds = $ENV{PG_RISK_LONG} ? 60 : 6;
my $crashes = $ENV{PG_RISK_LONG} ? 12 : 3;

my $node = PgRisk->server('main', conf => <<'CONF');
restart_after_crash = on
pg_risk.worker_naptime = '1s'
pg_risk.flush_interval = '50ms'
autovacuum_naptime = 1s
CONF
$node->start;
$node->install('postgres');

# Event times go on by 50 ms an event, from a day ago on.  Values are whole, so that
# sums of float8 in SQL are exact.
$node->safe_psql('postgres', <<'SQL');
CREATE SEQUENCE clock;
CREATE SEQUENCE checks;
CREATE FUNCTION tick() RETURNS timestamptz LANGUAGE sql VOLATILE AS
	$$ SELECT '2026-01-01'::timestamptz + nextval('clock') * interval '50 ms' $$;
CREATE FUNCTION now_there() RETURNS timestamptz LANGUAGE sql VOLATILE AS
	$$ SELECT '2026-01-01'::timestamptz + last_value * interval '50 ms' FROM clock $$;
CREATE FUNCTION key() RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT (ARRAY['hot', 'hot', 'hot', 'warm', 'O''Brien', 'cold' || floor(random() * 20)])[1 + floor(random() * 6)::int] $$;
CREATE FUNCTION value() RETURNS float8 LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN random() < 0.9 THEN floor(random() * 2000) - 500 END $$;

CREATE TABLE plain (id bigserial PRIMARY KEY, tx text UNIQUE, k text, ts timestamptz, v float8, n numeric, p text);
CREATE INDEX ON plain (k, ts) INCLUDE (v, n, p);
CREATE INDEX ON plain (k, p, ts);
CREATE TABLE parts (id bigserial, tx text, k text, ts timestamptz, v float8, n numeric, p text, UNIQUE (tx, ts)) PARTITION BY RANGE (ts);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-01-01 00:10');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-01-01 00:10') TO (MAXVALUE);
CREATE INDEX ON parts (k, ts);
CREATE INDEX ON parts (k, p, ts);
-- The other party: few of them, many once, or none.
CREATE FUNCTION party() RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN r < 0.6 THEN 'p' || floor(r * 100) WHEN r < 0.95 THEN 'once' || r END FROM (SELECT random() AS r OFFSET 0) AS u $$;
CREATE FUNCTION set_party() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' OR random() < 0.5 THEN
		NEW.p := party();
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER a_party BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION set_party();
CREATE TRIGGER a_party BEFORE INSERT OR UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION set_party();
-- The same by the day: one for a second of the others.
CREATE TABLE days (id bigserial PRIMARY KEY, tx text UNIQUE, k text, ts date, v float8, n numeric, p text);
CREATE INDEX ON days (k, ts);
CREATE INDEX ON days (k, p, ts);
CREATE TRIGGER a_party BEFORE INSERT OR UPDATE ON days FOR EACH ROW EXECUTE FUNCTION set_party();
CREATE FUNCTION day(t timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
	$$ SELECT timestamptz '1990-01-01 00:00+00' + (t - timestamptz '2026-01-01 00:00+00') * 86400 $$;
CREATE TABLE widths (source regclass, width interval, name text);
INSERT INTO widths SELECT s, w::interval, w FROM unnest('{plain,parts}'::regclass[]) AS s, unnest('{30s,5m,1h}'::text[]) AS w
	UNION ALL SELECT 'days', w::interval, w FROM unnest('{30d,300d,3600d}'::text[]) AS w;
SELECT risk.create_rolling_features(source, 'k', 'ts', 'v', windows => array_agg(width ORDER BY width),
	aggregates => ARRAY['count', 'sum', 'avg', 'stddev', 'min', 'max', 'last', 'since_last', 'change', 'sum(n)', 'avg(n)', 'max(n)', 'distinct(p)',
		'share(v > 500 AND n < 0.5) AS large', 'share(p IS NULL OR p IN (''p1'', ''p2'', ''p3'')) AS few']) FROM widths GROUP BY source;
SELECT risk.create_rolling_features('plain', ARRAY['k', 'tx'], 'ts', windows => '{1 hour}', create_index => true);

-- So that several statements have one snapshot.
ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read';

-- In one snapshot: with tiles, without, and in SQL.
CREATE FUNCTION check_key(source regclass, k text, t timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tiled jsonb;
	by_rows jsonb;
	expected jsonb;
BEGIN
	PERFORM set_config('pg_risk.use_tiles', 'on', true);
	tiled := risk.rolling_features(source, k, t, 'k');
	PERFORM set_config('pg_risk.use_tiles', 'off', true);
	by_rows := risk.rolling_features(source, k, t, 'k');
	PERFORM set_config('pg_risk.use_tiles', 'on', true);
	EXECUTE format($q$
		SELECT jsonb_object_agg('k_' || r.name || '_prev_' || w.name, value) FROM widths AS w, LATERAL (
			SELECT count(*)::float8, coalesce(sum(v), 0), coalesce(sum(n), 0)::float8, min(v), max(v), max(n)::float8, count(DISTINCT p),
				avg((v > 500 AND n < 0.5)::int)::float8, avg((p IS NULL OR p IN ('p1', 'p2', 'p3'))::int)::float8 FROM %s
			WHERE k = $1 AND ts >= $2 - width AND ts < $2) AS a (cnt, sum_v, sum_n, min_v, max_v, max_n, distinct_p, large, few),
			LATERAL (VALUES ('cnt', cnt), ('sum_v', sum_v), ('sum_n', sum_n), ('min_v', min_v), ('max_v', max_v), ('max_n', max_n), ('distinct_p', distinct_p),
				('share_large', large), ('share_few', few)) AS r (name, value) WHERE w.source = $3
		$q$, source) INTO expected USING k, t, source;
	IF tiled <> by_rows THEN
		RAISE EXCEPTION 'different: % at %: tiles %, rows %', k, t, tiled, by_rows;
	ELSIF NOT tiled @> expected THEN
		RAISE EXCEPTION 'different: % at %: tiles %, SQL %', k, t, tiled, expected;
	END IF;
	PERFORM nextval('checks');
END $$;

-- Within the statement that writes.
CREATE FUNCTION check_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF random() < 0.2 THEN
		PERFORM check_key(TG_ARGV[0]::regclass, NEW.k, NEW.ts);
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER check_row BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION check_row('plain');
CREATE TRIGGER check_row BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION check_row('parts');
CREATE TRIGGER check_row BEFORE INSERT ON days FOR EACH ROW EXECUTE FUNCTION check_row('days');
SQL

# Of a table of days, a second is one.
sub by_day
{
	my ($table, @scripts) = @_;

	return @scripts if $table ne 'days';
	for (@scripts)
	{
		s/interval '(\d+) minute(?:s|( 1 second))?'/"interval '" . ($1 * 60 + ($2 ? 1 : 0)) . " days'"/ge;
		s/(tick|now_there)\(\)/day($1())/g;
		s/date_trunc\('minute'/date_trunc('month'/g;
	}
	return @scripts;
}

# What writers and readers do to a table.
sub scripts
{
	my ($table) = @_;
	my ($conflict, $moved) = $table eq 'parts' ? ('tx, ts', '') : ('tx', "ts = date_trunc('minute', now_there()),");

	return by_day($table, 
		'order@8' => "INSERT INTO $table (k, ts, v, n) SELECT key(), tick(), value(), random()::numeric FROM generate_series(1, 5);\n",
		'late@3' => "INSERT INTO $table (k, ts, v, n) SELECT key(), now_there() - random() * random() * interval '5 minutes', value(), random()::numeric FROM generate_series(1, 3);\n",
		'ties@1' => "INSERT INTO $table (k, ts, v, n) SELECT 'hot', date_trunc('second', now_there()), value(), 'NaN' FROM generate_series(1, 3);\n",
		'correct@2' => <<~"SQL",
			UPDATE $table SET v = value(), k = CASE WHEN random() < 0.3 THEN key() ELSE k END,
				ts = CASE WHEN random() < 0.3 THEN ts - random() * interval '1 minute' ELSE ts END
			WHERE id = (SELECT id FROM $table WHERE k = key() AND ts < now_there() - random() * interval '5 minutes' ORDER BY ts DESC LIMIT 1);
			SQL
		'delete@1' => <<~"SQL",
			DELETE FROM $table WHERE id = (SELECT id FROM $table WHERE k = key() AND ts < now_there() - random() * interval '5 minutes' ORDER BY ts DESC LIMIT 1);
			SQL
		# What was the greatest goes, what was the least changes.
		'extremes@1' => <<~"SQL",
			DELETE FROM $table WHERE id = (SELECT id FROM $table WHERE k = 'hot' AND ts > now_there() - interval '5 minutes' ORDER BY v DESC NULLS LAST LIMIT 1);
			UPDATE $table SET v = value() WHERE id = (SELECT id FROM $table WHERE k = 'hot' AND ts > now_there() - interval '5 minutes' ORDER BY v LIMIT 1);
			SQL
		# A block, replayed, and replaced by another one.
		'reorg@1' => <<~"SQL",
			INSERT INTO $table (tx, k, ts, v) SELECT 'tx' || i, 'hot', date_trunc('minute', now_there()), i FROM generate_series(1, 10) AS i
			ON CONFLICT ($conflict) DO UPDATE SET $moved v = excluded.v + 1;
			SQL
		'rollback@1' => <<~"SQL",
			BEGIN;
			INSERT INTO $table (k, ts, v) VALUES ('hot', now_there() - interval '2 minutes', 7);
			SAVEPOINT s;
			UPDATE $table SET v = -v WHERE k = 'warm' AND ts BETWEEN now_there() - interval '3 minutes' AND now_there() - interval '2 minutes';
			SELECT check_key('$table', 'warm', now_there());
			ROLLBACK TO s;
			DELETE FROM $table WHERE k = 'hot' AND ts BETWEEN now_there() - interval '1 minute 1 second' AND now_there() - interval '1 minute';
			SELECT check_key('$table', 'hot', now_there());
			ROLLBACK;
			SQL
		# One statement, which sees what was committed a moment ago.
		'latest@4' => <<~"SQL",
			SET default_transaction_isolation = 'read committed';
			SELECT 1 / (different = '')::int FROM (SELECT coalesce(string_agg(concat_ws(' ', w.name, feature, expected), ', '), '') AS different
				FROM (SELECT key() AS k, now_there() - random() * random() * interval '1 minute' AS t OFFSET 0) AS u, widths AS w,
				LATERAL (SELECT (risk.rolling_features('$table', k, t, 'k') ->> format('k_cnt_prev_%s', w.name))::int AS feature,
					(SELECT count(*) FROM $table AS p WHERE p.k = u.k AND p.ts >= t - width AND p.ts < t) AS expected) AS l
				WHERE w.source = '$table'::regclass AND feature <> expected) AS d;
			RESET default_transaction_isolation;
			SQL
		'look@6' => <<~"SQL");
			BEGIN;
			SELECT check_key('$table', key(), now_there() - random() * random() * interval '2 minutes');
			SELECT check_key('$table', key(), now_there());
			COMMIT;
			SQL
}

# Those that take their time.
sub slow_scripts
{
	my ($table) = @_;

	return by_day($table,
		# Tiles must wait for who began before they were planned ...
		'open@1' => <<~"SQL",
			BEGIN;
			INSERT INTO $table (k, ts, v) SELECT key(), tick(), value() FROM generate_series(1, 3);
			\\sleep 1500 ms
			COMMIT;
			SQL
		# ... and who has read the clock before, and writes afterwards, must hear of them.
		'sleeping@1' => <<~"SQL");
			\\set id random(1000000, 1000000000)
			INSERT INTO $table (id, k, ts, v) SELECT :id, 'hot', n.t, 1 FROM (SELECT now_there() AS t OFFSET 0) AS n, LATERAL (SELECT n.t, pg_sleep(1.5) OFFSET 0) AS s;
			SQL
}

# Deadlocks and serialization failures are the clients' own.
my @pgbench = ('-c', 4, '-M', 'prepared', '--max-tries', 100);

sub check_all
{
	my ($name) = @_;

	is($node->error_of('postgres', <<~'SQL') // '', '', $name);
		DO $$ BEGIN
			PERFORM check_key(source, k, CASE WHEN source = 'days'::regclass THEN day(t) ELSE t END) FROM unnest('{plain,parts,days}'::regclass[]) AS source,
				unnest('{hot,warm,O''Brien,cold1}'::text[]) AS k, generate_series(0, 20) AS i, LATERAL (SELECT now_there() - i * i * interval '1 s') AS l (t);
		END $$
		SQL
	return;
}

for my $table (qw(plain parts days))
{
	my $checks = $node->value('last_value FROM checks');
	my $output = '';
	my ($by_tiles, $by_rows, $tiles, $deltas);

	# A busy machine takes longer.
	for (1 .. 20)
	{
		my $slow = $node->begin_pgbench([ @pgbench, '-T', $seconds ], slow_scripts($table));
		my $traffic = $node->begin_pgbench([ @pgbench, '-T', $seconds ], scripts($table));
		$output .= join '', map { end_pgbench($_) } ($traffic, $slow);
		($by_tiles, $by_rows, $tiles, $deltas) = split /\|/, $node->value(<<~"SQL");
			lookups_by_tiles, lookups_by_rows, tiles, deltas FROM risk.rolling_tiles_info WHERE source = '$table'::regclass AND set_name = 'k'
			SQL
		last if $by_tiles > 100;
	}
	unlike($output, qr/different|ERROR/, "$table: tiles and rows say the same");
	note($node->value("last_value - $checks FROM checks") . " checks; $by_tiles lookups by tiles, $by_rows by rows; $tiles tiles, $deltas deltas");
	cmp_ok($by_tiles, '>', 100, '... and tiles have answered');
}
check_all('in the end, too');
$node->safe_psql('postgres', 'CALL risk.refresh_rolling_features(' . "'$_')") for qw(plain parts days);
is($node->value("sum(deltas) FROM risk.rolling_tiles_info"), 0, 'a refresh folds all changes in');
check_all('... and tiles say the same');

for my $round (1 .. $crashes)
{
	my $traffic = $node->begin_pgbench([ @pgbench, '-T', 600 ], scripts('plain'));

	usleep(500_000 + rand 1_000_000);
	my $refresh = $round % 2 ? $node->background_psql('postgres', on_error_stop => 0) : undef;
	$refresh->query_until(qr//, "CALL risk.refresh_rolling_features('plain');\n") if $refresh;
	usleep(rand 100_000);
	$node->kill_server;
	my ($output) = end_pgbench($traffic, 'INT');
	unlike($output, qr/different/, "crash $round: nothing was different before");
	PgRisk::end_lost($refresh) if $refresh;
	$node->start;
	check_all('... nor is it afterwards');
	is($node->value("count(*) FROM risk.rolling_refresh_progress"), 0, '... no refresh is said to be running');
}

done_testing();
