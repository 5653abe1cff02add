-- Tiles of declared rolling features: whatever happens to the table, lookups say what its rows say.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE ledger (id bigserial PRIMARY KEY, k text, ts timestamptz, v float8, n numeric);
CREATE INDEX ON ledger (k, ts);
INSERT INTO ledger (k, ts, v, n) SELECT CASE WHEN i % 10 = 0 THEN 'cold' ELSE 'hot' END, '2026-01-01'::timestamptz + i * interval '1 minute', i % 100, i % 7 / 10.0
	FROM generate_series(1, 3000) AS i;
SELECT risk.create_rolling_features('ledger', 'k', 'ts', 'v', windows => '{1 hour,24 hours}', aggregates => '{count,sum,stddev,last,min,max,sum(n),avg(n),min(n),max(n)}');
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'ledger'::regclass ORDER BY 1;

-- How a lookup is answered, and whether rows say the same.
CREATE FUNCTION lookup(source regclass, key anyelement, t timestamptz, OUT how text, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
	before bigint := by_tiles FROM risk.tile_counters(source, 'k');
	answer jsonb := risk.rolling_features(source, key, t, 'k');
BEGIN
	how := CASE WHEN (risk.tile_counters(source, 'k')).by_tiles > before THEN 'tiles' ELSE 'rows' END;
	PERFORM set_config('pg_risk.use_tiles', 'off', true);
	same := answer = risk.rolling_features(source, key, t, 'k');
	PERFORM set_config('pg_risk.use_tiles', 'on', true);
END $$;
CREATE FUNCTION lookups(source regclass, OUT keys text, OUT how text, OUT same boolean) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT k, ' '), l.how, bool_and(l.same) FROM unnest('{hot,cold,none}'::text[]) AS k, generate_series(0, 20) AS i,
		lookup(source, k, '2026-01-03 01:30'::timestamptz - i * interval '17 minutes') AS l GROUP BY l.how ORDER BY 1
$$;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT built_until, waiting, keys, tiles, deltas FROM risk.rolling_tiles_info WHERE source = 'ledger'::regclass;
SELECT * FROM lookups('ledger');

-- Late rows, corrections, deletions.  Deltas are counted before the worker can fold them in.
BEGIN;
INSERT INTO ledger (k, ts, v, n) VALUES ('hot', '2026-01-02 12:00', 5, 'NaN'), ('hot', '2026-01-02 12:00', NULL, NULL), ('hot', '2026-01-04', 7, 1), ('hot', NULL, 7, 1), (NULL, '2026-01-02', 1, 1);
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
SELECT * FROM lookups('ledger');
UPDATE ledger SET v = v WHERE k = 'hot' AND ts = '2026-01-02 12:00';		-- nothing changes
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
COMMIT;
UPDATE ledger SET v = -1e300 WHERE k = 'hot' AND ts = '2026-01-02 12:00' AND v = 5;
UPDATE ledger SET k = 'cold' WHERE ts BETWEEN '2026-01-02 13:00' AND '2026-01-02 13:05';
DELETE FROM ledger WHERE ts BETWEEN '2026-01-02 14:00' AND '2026-01-02 14:05';
SELECT * FROM lookups('ledger');
BEGIN;
DELETE FROM ledger WHERE k = 'hot';
SELECT * FROM lookups('ledger');
ROLLBACK;
SELECT * FROM lookups('ledger');
SET session_replication_role = replica;
INSERT INTO ledger (k, ts, v) VALUES ('hot', '2026-01-02 12:00', 11);
RESET session_replication_role;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger', 'k');
SELECT deltas FROM risk.rolling_tiles_info WHERE source = 'ledger'::regclass;
SELECT * FROM lookups('ledger');

-- Within a statement, what it has written is seen.
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	l record := lookup('ledger'::regclass, NEW.k, NEW.ts);
BEGIN
	RAISE WARNING 'by %, same: %, count: %', l.how, l.same, risk.rolling_features('ledger', NEW.k, NEW.ts, 'k') ->> 'k_cnt_prev_1h';
	RETURN NEW;
END $$;
CREATE TRIGGER look BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION look();
INSERT INTO ledger (k, ts) VALUES ('hot', '2026-01-02 20:00'), ('hot', '2026-01-02 20:00:01'), ('hot', '2026-01-02 20:00:02');
INSERT INTO ledger (k, ts) VALUES ('hot', '2026-01-02 20:00:03');
DROP TRIGGER look ON ledger;

-- What tiles rest on is gone, and comes back.
BEGIN;
TRUNCATE ledger;
SELECT * FROM lookups('ledger');
INSERT INTO ledger (k, ts, v) VALUES ('hot', '2026-01-02 20:00', 1);
SELECT * FROM lookups('ledger');
ROLLBACK;
SELECT * FROM lookups('ledger');
ALTER TABLE ledger DISABLE TRIGGER ALL;
SELECT * FROM lookups('ledger');
INSERT INTO ledger (k, ts, v) VALUES ('hot', '2026-01-02 20:00', 1);
ALTER TABLE ledger ENABLE TRIGGER ALL;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
ALTER TABLE ledger RENAME v TO w;
INSERT INTO ledger (k, ts, w) VALUES ('hot', '2026-01-02 20:00', 1);
ALTER TABLE ledger RENAME w TO v;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
VACUUM FULL ledger;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
ALTER TABLE ledger ALTER v TYPE numeric;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
DROP TRIGGER pg_risk_late_delete_ts ON ledger;
DELETE FROM ledger WHERE ts BETWEEN '2026-01-02 15:00' AND '2026-01-02 15:05';
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
CREATE TABLE child () INHERITS (ledger);
INSERT INTO child (k, ts, v) VALUES ('hot', '2026-01-02 20:00', 1);
SELECT * FROM lookups('ledger');
DROP TABLE child;

-- Other features, other tiles; none, no triggers.
CALL risk.refresh_rolling_features('ledger');
SET session_replication_role = replica;
SELECT risk.alter_rolling_features('ledger', 'k', windows => '{24 hours}', aggregates => '{count,avg}');
RESET session_replication_role;
SELECT built_until, tiles FROM risk.rolling_tiles_info WHERE source = 'ledger'::regclass;
SELECT * FROM lookups('ledger');
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
SELECT risk.alter_rolling_features('ledger', 'k', aggregates => ARRAY['count', 'decayed_distinct(n, 1 hour)']);		-- which does not add up
CALL risk.refresh_rolling_features('ledger');
SELECT * FROM lookups('ledger');
SELECT risk.drop_rolling_features('ledger');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger'::regclass;
SELECT risk.sweep_tiles();
SELECT (SELECT count(*) FROM risk.rolling_tiles), (SELECT count(*) FROM risk.rolling_deltas);

-- Partitions.
CREATE TABLE months (k text, ts timestamptz, v int8) PARTITION BY RANGE (ts);
CREATE TABLE months_1 PARTITION OF months FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE months_2 PARTITION OF months FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
CREATE INDEX ON months (k, ts);
SELECT risk.create_rolling_features('months', 'k', 'ts', 'v', windows => '{24 hours,2 days}', aggregates => '{count,sum,avg,change,min,max}');
INSERT INTO months SELECT CASE WHEN i % 10 = 0 THEN 'cold' ELSE 'hot' END, '2026-01-01'::timestamptz + i * interval '1 minute', (1::int8 << 60) + i FROM generate_series(1, 2800) AS i;
CALL risk.refresh_rolling_features('months');
SELECT * FROM lookups('months');
INSERT INTO months VALUES ('hot', '2026-01-01 12:00', 1);
UPDATE months SET ts = '2026-01-02 12:00' WHERE ts = '2026-01-01 12:00' AND v = 1;		-- into the other partition
SELECT * FROM lookups('months');
CREATE TABLE months_3 PARTITION OF months FOR VALUES FROM ('2026-01-03') TO ('2026-01-04');
SELECT * FROM lookups('months');
CALL risk.refresh_rolling_features('months');
SELECT * FROM lookups('months');
ALTER TABLE months DETACH PARTITION months_1;
SELECT * FROM lookups('months');
INSERT INTO months_1 VALUES ('hot', '2026-01-01 12:00', 1);
ALTER TABLE months ATTACH PARTITION months_1 FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
SELECT * FROM lookups('months');
CALL risk.refresh_rolling_features('months');
SELECT * FROM lookups('months');
ALTER TABLE months_1 DISABLE TRIGGER ALL;		-- as who loads data does
ALTER TABLE months_1 ENABLE TRIGGER ALL;
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'months'::regclass;
CALL risk.refresh_rolling_features('months');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'months'::regclass;
SELECT * FROM lookups('months');
TRUNCATE months_1;
SELECT * FROM lookups('months');

-- Minima and maxima of any values.  One that goes is looked for among its neighbours; of too many, among all rows.
CREATE TABLE extreme (k text, ts timestamptz, f float8, i int8, n numeric, b boolean);
CREATE INDEX ON extreme (k, ts);
INSERT INTO extreme SELECT 'hot', '2026-01-01'::timestamptz + i * interval '1 minute', sin(i), i, cos(i)::numeric, true FROM generate_series(1, 2880) AS i;
SELECT cardinality(risk.create_rolling_features('extreme', 'k', 'ts', windows => '{1 hour,7 hours,2 days}', delay => '5 hours', name => 'k',
	aggregates => '{count,min(f),max(f),min(i),max(i),min(n),max(n),min(b),max(b)}'));
CALL risk.refresh_rolling_features('extreme');
SELECT events, seq, length(extrema) > 1 AS extrema FROM risk.rolling_tiles JOIN risk.rolling_tilings USING (tiling) WHERE source = 'extreme'::regclass AND seq IN (0, 1, 89) ORDER BY seq;
CREATE FUNCTION after(change text, OUT how text, OUT same boolean, OUT plain boolean, OUT lowest text, OUT highest text) LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
	expected jsonb;
BEGIN
	EXECUTE 'UPDATE extreme SET ' || change;
	SELECT l.how, l.same INTO how, same FROM lookup('extreme', 'hot'::text, '2026-01-03'::timestamptz) AS l;
	answer := risk.rolling_features('extreme', 'hot'::text, '2026-01-03', 'k');
	SELECT jsonb_object_agg(format('k_%s_prev_%s_delay_5h', name, w), value) INTO expected
	FROM unnest('{1h,7h,2d}'::text[]) AS w, LATERAL (
		SELECT min(f) AS min_f, max(f) AS max_f, min(i)::float8 AS min_i, max(i)::float8 AS max_i, min(n)::float8 AS min_n, max(n)::float8 AS max_n,
			min(b::int)::float8 AS min_b, max(b::int)::float8 AS max_b
		FROM extreme WHERE k = 'hot' AND ts >= '2026-01-02 19:00'::timestamptz - w::interval AND ts < '2026-01-02 19:00') AS e, jsonb_each(to_jsonb(e)) AS r (name, value);
	plain := answer @> expected;
	SELECT string_agg(coalesce(answer ->> format('k_min_%s_prev_2d_delay_5h', c), '-'), ' '), string_agg(coalesce(answer ->> format('k_max_%s_prev_2d_delay_5h', c), '-'), ' ')
	INTO lowest, highest FROM unnest('{f,i,n,b}'::text[]) AS c;
END $$;
BEGIN;		-- so that nobody makes the tiles anew
SELECT c AS change, a.* FROM unnest(ARRAY['f = 2', 'f = -2', 'f = 1e30, n = 1e30', 'f = 5e-324', 'f = -5e-324', 'f = ''Infinity'', n = ''Infinity''', 'f = ''-Infinity'', n = ''-Infinity''',
	'f = ''NaN'', n = ''NaN''', 'f = NULL, n = NULL', 'i = 9223372036854775807', 'i = 9223372036854774785', 'i = -9223372036854775808', 'i = 9007199254740993, n = 9007199254740993',
	'b = false', 'b = NULL', 'b = true, f = 0, i = 1000, n = 0']) AS c, after(c || ' WHERE ts = ''2026-01-02 14:00''') AS a;
SELECT a.* FROM after('f = 0, n = -0 WHERE i < 1500') AS a;
SELECT a.* FROM after('f = ''-0'' WHERE true') AS a;
SELECT a.* FROM after('f = NULL, i = NULL, n = NULL, b = NULL WHERE true') AS a;
ROLLBACK;
UPDATE extreme SET f = 3 WHERE i <= 2112 AND i % 64 = 0 OR i = 1632;
CALL risk.refresh_rolling_features('extreme');
BEGIN;
SELECT a.* FROM after('f = 0 WHERE i = 1600') AS a;
SELECT a.* FROM after('f = 3 WHERE i = 1600') AS a;		-- as it was
SELECT a.* FROM after('f = 0 WHERE f = 3 AND i < 2112 AND i <> 1632') AS a;		-- 32 tiles, but not the one after 1600
SELECT a.* FROM after('f = 0 WHERE i = 2112') AS a;		-- one too many
INSERT INTO extreme VALUES ('hot', '2026-01-02 03:20', 3), ('hot', '2026-01-02 03:20', 0.5);
SELECT a.* FROM after('b = false WHERE i = 1500') AS a;
ROLLBACK;
-- A model that wants some of them.
SELECT risk.create_model('extreme');
SELECT FROM risk.register_model('extreme', 'v1', toy_model('{k_max_f_prev_2d_delay_5h,k_min_i_prev_7h_delay_5h}', '[[0, 3, 1, 0, 1], [1, 2161, 1, 10, 0]]', 'reg:squarederror', base_score => '0'));
SELECT FROM risk.promote('extreme', 'v1');
SELECT by_tiles FROM risk.tile_counters('extreme', 'k') \gset
SELECT risk.score_transaction('extreme', ROW('hot', '2026-01-03', 0, 0, 0, true)::extreme);
SELECT by_tiles - :by_tiles AS by_tiles FROM risk.tile_counters('extreme', 'k');
SELECT risk.drop_model('extreme');
-- Tiles that are made later go on from those there are.
INSERT INTO extreme SELECT 'hot', '2026-01-02'::timestamptz + i * interval '1 minute', sin(i), i, cos(i)::numeric, true FROM generate_series(1441, 1600) AS i;
CALL risk.refresh_rolling_features('extreme');
DELETE FROM extreme WHERE i = 1600;
CALL risk.refresh_rolling_features('extreme');
SELECT max(seq), count(*), count(DISTINCT seq) FROM risk.rolling_tiles JOIN risk.rolling_tilings USING (tiling) WHERE source = 'extreme'::regclass;
SELECT * FROM lookups('extreme');
-- Damaged ones are an error.
CREATE FUNCTION damaged(change text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE risk.rolling_tiles SET %s tiling = (SELECT tiling FROM risk.rolling_tilings WHERE source = ''extreme''::regclass)',
		change || CASE WHEN change LIKE '%WHERE%' THEN ' AND' ELSE ' WHERE' END);
	RETURN (SELECT count(*) || ' looked up' FROM lookups('extreme'));
EXCEPTION WHEN data_corrupted THEN
	RETURN SQLERRM;
END $$;
SELECT c AS change, damaged(c) FROM unnest(ARRAY['extrema = NULL', 'seq = NULL', 'seq = seq + 1000 WHERE seq % 2 = 0', 'extrema = ''''', 'extrema = substr(extrema, 1, 1)',
	'extrema = substr(extrema, 1, length(extrema) - 1)', 'extrema = set_byte(extrema, 0, 1)', 'extrema = overlay(extrema PLACING decode(repeat(''00'', 8), ''hex'') FROM 2)',
	'extrema = overlay(extrema PLACING decode(repeat(''ff'', 8), ''hex'') FROM 2)']) AS c;

-- Sets of two event times on one table, of a partition and of its parent: a change leaves one delta in each.
CREATE TABLE twice (k text, ts timestamptz, later timestamptz, v int) PARTITION BY RANGE (ts);
CREATE TABLE twice_1 PARTITION OF twice FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE twice_2 (v int, later timestamptz, ts timestamptz, k text);
INSERT INTO twice SELECT 'hot', '2026-01-01'::timestamptz + i * interval '1 minute', '2026-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(1, 1400) AS i;
SELECT count(risk.create_rolling_features(t, 'k', 'ts', 'v', '{24 hours}', '{count,sum}', create_index => true)),
	count(risk.create_rolling_features(t, 'k', 'later', 'v', '{12 hours}', '{count,sum}', create_index => true, name => 'later'))
FROM unnest('{twice_1,twice_2,twice}'::regclass[]) AS t;
ALTER TABLE twice ATTACH PARTITION twice_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
CALL risk.refresh_rolling_features('twice');
CALL risk.refresh_rolling_features('twice_1');
BEGIN;
INSERT INTO twice VALUES ('hot', '2026-01-01 12:00', '2026-01-01 12:00', 1);
SELECT source, set_name, count(*) FROM risk.rolling_tilings JOIN risk.rolling_deltas AS d USING (tiling)
	WHERE d.xmin = pg_current_xact_id()::xid GROUP BY 1, 2 ORDER BY 1, 2;
SELECT t, l.* FROM unnest('{twice_1,twice}'::regclass[]) AS t, lookup(t, 'hot'::text, '2026-01-01 23:00') AS l;
COMMIT;
ALTER TABLE twice DETACH PARTITION twice_1;
SELECT set_name, problem FROM risk.rolling_tiles_info WHERE source = 'twice_1'::regclass;
CALL risk.refresh_rolling_features('twice_1');
SELECT * FROM lookup('twice_1'::regclass, 'hot'::text, '2026-01-01 23:00');
ALTER TABLE twice ATTACH PARTITION twice_1 FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
SELECT risk.drop_rolling_features('twice_1', 'later');
SELECT tgrelid::regclass, count(*), count(DISTINCT tgname) FROM pg_trigger WHERE tgrelid IN ('twice'::regclass, 'twice_1'::regclass) GROUP BY 1 ORDER BY 1;

-- A crash empties an unlogged table, unseen by triggers.
CREATE UNLOGGED TABLE passing (k text, ts timestamptz);
INSERT INTO passing SELECT 'hot', '2026-01-03'::timestamptz - i * interval '1 minute' FROM generate_series(1, 1000) AS i;
SELECT risk.create_rolling_features('passing', 'k', 'ts', create_index => true);
CALL risk.refresh_rolling_features('passing');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'passing'::regclass;
SELECT * FROM lookups('passing');
ALTER TABLE passing SET LOGGED;
CALL risk.refresh_rolling_features('passing');
SELECT * FROM lookups('passing');

-- Tiles out of reach go, also those of keys that nobody asks for any more, with what changed.
SELECT risk.alter_rolling_features('passing', 'k', windows => '{1 hour}');
CALL risk.refresh_rolling_features('passing');
DELETE FROM passing WHERE ts < '2026-01-02 23:00';
INSERT INTO passing SELECT 'new', '2026-01-03 06:00'::timestamptz + i * interval '1 s' FROM generate_series(1, 1000) AS i;
CALL risk.refresh_rolling_features('passing');		-- of the other key, which has more than 128 events
SELECT risk.sweep_tiles();
SELECT built_until, keys, deltas FROM risk.rolling_tiles_info WHERE source = 'passing'::regclass;
SELECT * FROM lookup('passing'::regclass, 'new'::text, '2026-01-03 06:16');

-- The errors of a condition are those of who looks up.
SELECT risk.alter_rolling_features('passing', 'k', aggregates => ARRAY['count', 'share(1 / extract(second FROM ts - ''2026-01-03 06:00'') > 0.5) AS soon']);
CALL risk.refresh_rolling_features('passing');
SELECT keys FROM risk.rolling_tiles_info WHERE source = 'passing'::regclass;
SELECT risk.rolling_features('passing', 'new'::text, '2026-01-03 06:16');

-- Conditions that cannot fail are added up.  What they are of need not be a value.
CREATE TABLE judged (id bigint, k text, ts timestamptz, v float8, n numeric, c text, fraud boolean, d date, s char(4)) PARTITION BY RANGE (ts);
CREATE TABLE judged_1 PARTITION OF judged FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE judged_2 (s char(4), fraud boolean, gone int, c text, d date, n numeric, ts timestamptz, k text, v float8, id bigint);
ALTER TABLE judged_2 DROP COLUMN gone;
ALTER TABLE judged ATTACH PARTITION judged_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-04');
CREATE INDEX ON judged (k, ts);
INSERT INTO judged SELECT i, CASE WHEN i % 10 = 0 THEN 'cold' ELSE 'hot' END, '2026-01-01'::timestamptz + i * interval '1 minute', nullif(i % 100, 7), i % 7 / 4.0,
	nullif(substr('abcdefg', 1 + i % 7, 1), 'c'), nullif(i % 3, 2) = 1, '2026-01-01'::date + i % 5, 'f' || i % 4 FROM generate_series(1, 3000) AS i;
SELECT cardinality(risk.create_rolling_features('judged', 'k', 'ts', windows => '{1 hour,24 hours}', aggregates => ARRAY['count', 'sum(v)', 'share(fraud)',
	'share(v > 50) AS large', 'share(n > 0.5 AND NOT fraud) AS mixed', 'share(c IN (''a'', ''b'') OR fraud IS NULL) AS listed',
	'share(v IS DISTINCT FROM 7) AS others', 'share(coalesce(n, 9) BETWEEN 0.25 AND 1 OR d < ''2026-01-03'') AS ranged', 'share(s = ''f2'' AND fraud IS NOT TRUE) AS fixed']));
CALL risk.refresh_rolling_features('judged');
SELECT problem, tiles > 0 AS tiled FROM risk.rolling_tiles_info WHERE source = 'judged'::regclass;
SELECT * FROM lookups('judged');
CREATE FUNCTION in_sql(OUT how text, OUT same boolean) LANGUAGE plpgsql AS $$
DECLARE
	expected jsonb;
BEGIN
	SELECT jsonb_object_agg(format('k_share_%s_prev_24h', a.key), a.value) INTO expected FROM (SELECT avg((v > 50)::int)::float8 AS large, avg((n > 0.5 AND NOT fraud)::int)::float8 AS mixed,
		avg((c IN ('a', 'b') OR fraud IS NULL)::int)::float8 AS listed, avg((v IS DISTINCT FROM 7)::int)::float8 AS others,
		avg((coalesce(n, 9) BETWEEN 0.25 AND 1 OR d < '2026-01-03')::int)::float8 AS ranged, avg((s = 'f2' AND fraud IS NOT TRUE)::int)::float8 AS fixed
		FROM judged WHERE k = 'hot' AND ts >= '2026-01-02 01:00' AND ts < '2026-01-03 01:00') AS s, jsonb_each(to_jsonb(s)) AS a;
	SELECT l.how, l.same AND risk.rolling_features('judged', 'hot'::text, '2026-01-03 01:00') @> expected INTO how, same
	FROM lookup('judged'::regclass, 'hot'::text, '2026-01-03 01:00'::timestamptz) AS l;
END $$;
SELECT * FROM in_sql();
BEGIN;
INSERT INTO judged (k, ts, v, n, c, s) SELECT 'hot', '2026-01-02 12:00:01', v, v / 100, 'b', 'f2' FROM generate_series(0, 100, 50) AS v;
SELECT * FROM in_sql();
INSERT INTO judged_2 (k, ts, c, d) VALUES ('hot', '2026-01-02 12:00:01', 'a', '2026-01-01'), ('hot', '2026-01-02 12:00:01', NULL, '2026-01-09');
SELECT * FROM in_sql();
UPDATE judged SET c = CASE c WHEN 'a' THEN 'x' WHEN 'd' THEN 'a' END WHERE ts BETWEEN '2026-01-02 13:00' AND '2026-01-02 14:00';
SELECT * FROM in_sql();
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
UPDATE judged SET c = 'y' WHERE c = 'x' AND ts BETWEEN '2026-01-02 13:00' AND '2026-01-02 14:00';		-- no condition says anything else
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
UPDATE judged SET fraud = NOT fraud, ts = CASE WHEN id % 2 = 0 THEN ts - interval '1 day' ELSE ts END WHERE ts BETWEEN '2026-01-02 15:00' AND '2026-01-02 16:00';
DELETE FROM judged WHERE ts BETWEEN '2026-01-02 17:00' AND '2026-01-02 18:00';
SELECT * FROM in_sql();
SELECT * FROM lookups('judged');
COMMIT;
CALL risk.refresh_rolling_features('judged');
SELECT deltas FROM risk.rolling_tiles_info WHERE source = 'judged'::regclass;
SELECT * FROM in_sql();
SELECT bool_and(risk.rolling_features('judged', j) = t.features) AS trained FROM judged AS j JOIN risk.training_set('judged') AS t ON event = to_jsonb(j) WHERE j.ts > '2026-01-02 22:00';
-- Another column of that name; other conditions than there were, before the one that a model wants.
SELECT risk.create_model('judged');
SELECT FROM risk.register_model('judged', 'v1', toy_model('{k_share_ranged_prev_24h}', '[[0, 0.95, 1, 1, 0]]', 'reg:squarederror', base_score => '0'));
SELECT FROM risk.promote('judged', 'v1');
BEGIN;
ALTER TABLE judged ADD other text DEFAULT 'a';
ALTER TABLE judged RENAME c TO old;
ALTER TABLE judged RENAME other TO c;
SELECT * FROM in_sql();
ROLLBACK;
SELECT * FROM in_sql();
BEGIN;
UPDATE risk.rolling_features SET condition_types = NULL WHERE feature LIKE 'k_share_others%';
SELECT * FROM in_sql();
SELECT risk.score_transaction('judged', ROW(0, 'hot', '2026-01-03 01:00', NULL, NULL, NULL, NULL, NULL, NULL)::judged) AS few;
ROLLBACK;
SELECT risk.score_transaction('judged', ROW(0, 'hot', '2026-01-03 01:00', NULL, NULL, NULL, NULL, NULL, NULL)::judged) AS few;
-- A writer who may do nothing but write, not even compare.
CREATE ROLE risk_test_writer;
GRANT INSERT ON judged TO risk_test_writer;
REVOKE EXECUTE ON FUNCTION pg_catalog.float8gt(float8, float8), pg_catalog.texteq(text, text) FROM PUBLIC;
\c -
SET TimeZone = 'UTC';
SET client_min_messages = warning;
BEGIN;
SET LOCAL ROLE risk_test_writer;
INSERT INTO judged (k, ts, v, c) VALUES ('hot', '2026-01-02 12:00:02', 99, 'a');
RESET ROLE;
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
SELECT * FROM in_sql();
COMMIT;
GRANT EXECUTE ON FUNCTION pg_catalog.float8gt(float8, float8), pg_catalog.texteq(text, text) TO PUBLIC;
-- Columns of other types: nobody who writes parses what was of others.
ALTER TABLE judged ALTER c TYPE int USING length(c), ALTER v TYPE numeric;
INSERT INTO judged (k, ts, v, c) VALUES ('hot', '2026-01-02 12:00:03', 99, 1);
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'judged'::regclass;
SELECT risk.alter_rolling_features('judged', 'k', windows => '{24 hours}', aggregates => ARRAY['count', 'share(v > 50) AS large', 'share(c = 1) AS one']);
CALL risk.refresh_rolling_features('judged');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'judged'::regclass;
SELECT * FROM lookups('judged');
-- Others are answered by rows, also beside such ones; their errors are those of who looks up.
SELECT risk.alter_rolling_features('judged', 'k', aggregates => ARRAY['share(100 / v > 2) AS small', 'share(v > 50) AS large']);
CALL risk.refresh_rolling_features('judged');
SELECT problem, tiles > 0 AS tiled FROM risk.rolling_tiles_info WHERE source = 'judged'::regclass;
INSERT INTO judged (k, ts, v) VALUES ('hot', '2026-01-02 12:00:04', 0);
UPDATE judged SET v = 0 WHERE k = 'cold' AND ts = '2026-01-02 13:00:00';
SELECT risk.rolling_features('judged', 'hot'::text, '2026-01-03 01:00');
DELETE FROM judged WHERE v = 0;
SELECT * FROM lookups('judged');
SELECT FROM risk.register_model('judged', 'v2', toy_model('{k_share_large_prev_24h}', '[[0, 3, 1, 0, 1]]', 'reg:squarederror', base_score => '0'));
SELECT FROM risk.promote('judged', 'v2');
SELECT by_tiles FROM risk.tile_counters('judged', 'k') \gset
SELECT risk.score_transaction('judged', ROW(0, 'hot', '2026-01-03 01:00', NULL, NULL, NULL, NULL, NULL, NULL)::judged);
SELECT by_tiles - :by_tiles AS by_tiles FROM risk.tile_counters('judged', 'k');
SELECT risk.drop_model('judged');
-- Which conditions are simple.
CREATE TYPE verdict AS ENUM ('good', 'bad');
CREATE COLLATION risk_test_loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE kinds (i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, b boolean, t text, vc varchar(9), bc char(3), l text COLLATE risk_test_loose, p text COLLATE "POSIX", d date,
	ts timestamp, tz timestamptz, u uuid, by bytea, o oid, e verdict, j jsonb, a int[], iv interval, nm name, g float8 GENERATED ALWAYS AS (f8 * 2) STORED);
SELECT c AS condition, r.types FROM unnest(ARRAY['true', 'b', 'i4 > 5', 'i2 < i8', 'i4 >= f8', 'f4 <> -0.5', 'f8 > 0.5', 'n <= 100', 'n = i8', 'g > 1', 't = ''x''', 't <> vc', 'vc IN (''a'', NULL)', 'bc = ''ab''', 'p <> ''x''',
	'd >= ''2026-01-01''', 'ts < d', 'tz BETWEEN ''2026-01-01'' AND ''infinity''', 'u = ''00000000-0000-0000-0000-00000000000f''', 'by > ''\x01''', 'o = 1', 'i4 = ANY (''{1,2}'')', 'i4 <> ALL (ARRAY[1, NULL])',
	'b IS NOT TRUE AND NOT (t IS NULL OR i4 IS DISTINCT FROM 3)', 'coalesce(n, 0) > 1', 'b = (i4 > 3)',
	't < ''x''', 't LIKE ''x%''', 'l = ''x''', 'p = t', 't = ''x'' COLLATE "C"', 'lower(t) = ''x''', 'n::float8 > 1', 'i8::int4 > 1', 't::int > 1', 'i4 + 1 > 2', '1 / i4 > 1', 'abs(f8) > 1', 'e = ''good''', 'e IS NULL', 'j = ''{}''', 'j ? ''a''',
	'a = ''{1}''', 'i4 = ANY (a)', 'iv > ''1 day''', 'nm = ''x''', 'length(repeat(''x'', 1000)) > i4', 'CASE WHEN b THEN i4 > 1 END', 'nullif(i4, 1) > 1', '(i4, i8) < (1, 2)', 'ROW(i4, i8) = ROW(1, 2)', 'greatest(i4, 1) > 1']) AS c,
	risk.rolling_condition('kinds'::regclass, c) AS r;
-- Nor is one nested so deep that who writes, with less stack left, could not parse it.
SELECT depth, r.types FROM unnest('{99,100,7000}'::int[]) AS depth, risk.rolling_condition('kinds'::regclass, repeat('(', depth) || 'b' || repeat(' IS TRUE)', depth)) AS r;
DROP TABLE judged, kinds;
DROP TYPE verdict;
DROP COLLATION risk_test_loose;
DROP OWNED BY risk_test_writer;
DROP ROLE risk_test_writer;
DROP FUNCTION in_sql;

-- Different values.  They need an index from key and value to the times.
CREATE TABLE parties (id bigserial, k text, ts timestamptz, p text, n numeric, fixed char(4)) WITH (autovacuum_enabled = off);
CREATE INDEX ON parties (k, ts);
INSERT INTO parties (k, ts, p, n, fixed)
	SELECT CASE WHEN i % 10 = 0 THEN 'cold' ELSE 'hot' END, '2026-01-01'::timestamptz + i * interval '1 minute',
		CASE WHEN i % 13 > 0 THEN 'p' || CASE WHEN i % 3 = 0 THEN i ELSE i * i % 97 END END, (i % 7 / 2.0)::numeric(4, 1), 'f' || i % 5
	FROM generate_series(1, 3000) AS i;
SELECT risk.create_rolling_features('parties', 'k', 'ts', 'n', windows => '{1 hour,24 hours}', aggregates => '{distinct(p)}');
CALL risk.refresh_rolling_features('parties');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
SELECT * FROM lookups('parties');
CREATE FUNCTION upper_cmp(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT bttextcmp(upper($1), upper($2)) $$;
DO $$ BEGIN
	FOR i IN 1..5 LOOP
		EXECUTE format('CREATE FUNCTION upper_%s(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS %L', i,
			format('SELECT upper_cmp($1, $2) %s 0', (ARRAY['<', '<=', '=', '>=', '>'])[i]));
		EXECUTE format('CREATE OPERATOR %s~ (LEFTARG = text, RIGHTARG = text, FUNCTION = upper_%s)', (ARRAY['<<', '<<=', '==', '>>=', '>>'])[i], i);
	END LOOP;
END $$;
CREATE OPERATOR CLASS upper_ops FOR TYPE text USING btree AS OPERATOR 1 <<~, OPERATOR 2 <<=~, OPERATOR 3 ==~, OPERATOR 4 >>=~, OPERATOR 5 >>~, FUNCTION 1 upper_cmp(text, text);
CREATE INDEX ON parties (k, p upper_ops, ts);		-- whose equality is another one
CREATE INDEX ON parties (k, lower(p), ts);
CREATE INDEX ON parties (k, p, ts) WHERE p <> 'p1';
CREATE INDEX ON parties (k, p, id, ts);
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
CREATE INDEX parties_p ON parties (p, k, ts DESC);
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
CALL risk.refresh_rolling_features('parties');
SELECT * FROM lookups('parties');
SELECT risk.rolling_features('parties', 'hot'::text, '2026-01-03 01:30') = jsonb_build_object(
	'k_distinct_p_prev_1h', count(DISTINCT p) FILTER (WHERE ts >= '2026-01-03 00:30'), 'k_distinct_p_prev_24h', count(DISTINCT p))
	FROM parties WHERE k = 'hot' AND ts >= '2026-01-02 01:30' AND ts < '2026-01-03 01:30';

-- Values come, go, change, come a second time and go once; at the bounds, which are whole minutes.
BEGIN;
INSERT INTO parties (k, ts, p) VALUES ('hot', '2026-01-02 12:00', 'new'), ('hot', '2026-01-02 01:30', 'first'), ('hot', '2026-01-03 00:30', 'first of the hour'),
	('hot', '2026-01-03 01:30', 'too late'), ('hot', '2026-01-02 01:29:59.999999', 'too early'), ('hot', '2026-01-02 12:00', NULL);
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
SELECT * FROM lookups('parties');
INSERT INTO parties (k, ts, p) SELECT 'hot', ts, 'new' FROM parties WHERE p = 'new' AND k = 'hot';
UPDATE parties SET n = 1 WHERE p = 'new' AND k = 'hot';		-- which is nothing to these features
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
SELECT * FROM lookups('parties');
DELETE FROM parties WHERE ctid = (SELECT min(ctid) FROM parties WHERE p = 'new');
SELECT * FROM lookups('parties');
SAVEPOINT s;
DELETE FROM parties WHERE p = 'new' OR p LIKE 'first%';
SELECT * FROM lookups('parties');
ROLLBACK TO s;
SELECT * FROM lookups('parties');
COMMIT;
UPDATE parties SET p = 'p1' WHERE ts BETWEEN '2026-01-02 20:00' AND '2026-01-02 20:20';
UPDATE parties SET p = NULL WHERE ts BETWEEN '2026-01-02 21:00' AND '2026-01-02 21:20';
UPDATE parties SET p = 'p' || id WHERE p IS NULL AND ts BETWEEN '2026-01-02 01:00' AND '2026-01-02 02:00';
UPDATE parties SET k = 'cold' WHERE ts BETWEEN '2026-01-02 13:00' AND '2026-01-02 13:05';
UPDATE parties SET ts = '2026-01-03 01:00' WHERE ts BETWEEN '2026-01-02 14:00' AND '2026-01-02 14:05';
DELETE FROM parties WHERE ts BETWEEN '2026-01-02 01:28' AND '2026-01-02 01:35';
SELECT * FROM lookups('parties');
CALL risk.refresh_rolling_features('parties');
SELECT deltas FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
SELECT * FROM lookups('parties');
INSERT INTO parties (k, ts, p) SELECT 'hot', '2026-01-03 02:00'::timestamptz + i * interval '1 second', 'q' || i % 50 FROM generate_series(1, 300) AS i;
CALL risk.refresh_rolling_features('parties');
SELECT * FROM lookups('parties');
SELECT l.* FROM generate_series('2026-01-03 02:00'::timestamptz, '2026-01-03 02:06', '41 s') AS t, lookup('parties'::regclass, 'hot'::text, t) AS l GROUP BY 1, 2;

SELECT * FROM lookup('parties'::regclass, 'hot'::text, '2026-01-03 12:00');		-- long after
SELECT t, l.* FROM unnest('{-infinity,infinity}'::timestamptz[]) AS t, lookup('parties'::regclass, 'hot'::text, t) AS l;

-- The index goes, and comes back.
BEGIN;
DROP INDEX parties_p;
SELECT * FROM lookups('parties');
ROLLBACK;
SELECT * FROM lookups('parties');

-- When tiles are out of reach, the worker forgets what has changed before them: then so are counts of windows that began before them.
INSERT INTO parties (k, ts, p) SELECT 'hot', '2026-01-03 03:00'::timestamptz + i * interval '1 minute', 'r' || i % 50 FROM generate_series(1, 1000) AS i;
DO $$ BEGIN WHILE NOT risk.refresh_step('parties', 'k', '2026-01-03 19:40') LOOP COMMIT; END LOOP; END $$;
SELECT risk.sweep_tiles();
UPDATE parties SET p = 'once ' || id WHERE k = 'hot' AND ts BETWEEN '2026-01-01 15:00' AND '2026-01-01 16:00';
DELETE FROM risk.rolling_deltas WHERE event_time < extract(epoch FROM '2026-01-01 16:01'::timestamptz - '2000-01-01 00:00') * 1000000;
SELECT * FROM lookup('parties'::regclass, 'hot'::text, '2026-01-02 05:00');
DELETE FROM parties WHERE p LIKE 'r%';

-- Two columns, and what adds up; values that are equal though written otherwise.
CREATE INDEX ON parties (n, k, ts);
SELECT risk.alter_rolling_features('parties', 'k', windows => '{30 minutes,2 hours}', aggregates => '{count,sum(n),last(n),distinct(n),distinct(p)}', delay => '90 minutes');
CALL risk.refresh_rolling_features('parties');
SELECT * FROM lookups('parties');
ALTER TABLE parties ALTER n TYPE numeric;
CALL risk.refresh_rolling_features('parties');
UPDATE parties SET n = n * 1.0000 WHERE ts BETWEEN '2026-01-02 20:00' AND '2026-01-02 22:00' AND id % 2 = 0;
UPDATE parties SET n = 'NaN' WHERE ts BETWEEN '2026-01-02 21:00' AND '2026-01-02 21:20';
-- A model that wants one of them.
SELECT risk.create_model('parties');
SELECT FROM risk.register_model('parties', 'v1', toy_model('{k_distinct_p_prev_2h_delay_90m}', '[[0, 66, 1, 0, 1], [0, 67, 1, 10, 0]]', 'reg:squarederror', base_score => '0'));
SELECT FROM risk.promote('parties', 'v1');
SELECT by_tiles FROM risk.tile_counters('parties', 'k') \gset
SELECT risk.score_transaction('parties', ROW(1, 'hot', '2026-01-02 23:50', 'p1', 1, 'f')::parties), count(DISTINCT p)
	FROM parties WHERE k = 'hot' AND ts >= '2026-01-02 20:20' AND ts < '2026-01-02 22:20';
SELECT by_tiles - :by_tiles AS by_tiles FROM risk.tile_counters('parties', 'k');
SELECT risk.drop_model('parties');
SELECT * FROM lookups('parties');
CALL risk.refresh_rolling_features('parties');
SELECT * FROM lookups('parties');

-- A burst leaves the windows while the key is quiet.
SELECT risk.alter_rolling_features('parties', 'k', windows => '{1 hour,24 hours}', aggregates => '{distinct(p)}', delay => '0');
INSERT INTO parties (k, ts, p) SELECT 'burst', '2026-01-03 00:30'::timestamptz + i * interval '10 ms', 'b' || i % 700 FROM generate_series(1, 5000) AS i;
INSERT INTO parties (k, ts, p) VALUES ('burst', '2026-01-03 12:00', 'b1');
CALL risk.refresh_rolling_features('parties');
SELECT l.* FROM generate_series('2026-01-03 01:30'::timestamptz, '2026-01-03 01:31', '7 s') AS t, lookup('parties'::regclass, 'burst'::text, t) AS l GROUP BY 1, 2;
SELECT events FROM risk.tile_counters('parties', 'k') \gset
SELECT count(risk.rolling_features('parties', 'burst'::text, t)) FROM generate_series('2026-01-03 01:30'::timestamptz, '2026-01-03 01:31', '7 s') AS t;
SELECT events - :events < 9 * 32 AS few FROM risk.tile_counters('parties', 'k');

-- What nothing counts: types without bytes, fading counts.
CREATE INDEX ON parties (k, fixed, ts);
SELECT risk.alter_rolling_features('parties', 'k', aggregates => '{distinct(fixed)}');
CALL risk.refresh_rolling_features('parties');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
SELECT * FROM lookups('parties');
SELECT risk.alter_rolling_features('parties', 'k', aggregates => '{distinct(p),"decayed_distinct(p, 1 hour)"}');
CALL risk.refresh_rolling_features('parties');
SELECT * FROM lookups('parties');

-- A child has rows that triggers do not see.  When it has gone, all is as before.
SELECT risk.alter_rolling_features('parties', 'k', aggregates => '{distinct(p)}');
CREATE TABLE party_child () INHERITS (parties);
INSERT INTO party_child SELECT * FROM parties WHERE ts > '2026-01-02 23:00' LIMIT 1;
CALL risk.refresh_rolling_features('parties');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
SELECT * FROM lookups('parties');
DROP TABLE party_child;
CALL risk.refresh_rolling_features('parties');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parties'::regclass;
SELECT * FROM lookups('parties');

-- Damage is told.
CALL risk.refresh_rolling_features('parties');
UPDATE risk.rolling_distincts SET counts = counts || '\x01';
SELECT risk.rolling_features('parties', 'hot'::text, '2026-01-03 01:30');
UPDATE risk.rolling_distincts SET counts = '\xffffffffffffffffffffff';
SELECT risk.rolling_features('parties', 'hot'::text, '2026-01-03 01:30');
TRUNCATE risk.rolling_tilings, risk.rolling_tiles, risk.rolling_deltas, risk.rolling_distincts;
CALL risk.refresh_rolling_features('parties');
BEGIN;
INSERT INTO parties (k, ts, p) VALUES ('hot', '2026-01-02 12:00', 'new');
UPDATE risk.rolling_deltas SET items = '\x7601000000' WHERE xmin = pg_current_xact_id()::xid;
SELECT risk.rolling_features('parties', 'hot'::text, '2026-01-03 01:30');
ROLLBACK;
BEGIN;
INSERT INTO parties (k, ts, p) VALUES ('hot', '2026-01-02 12:00', 'new');
UPDATE risk.rolling_deltas SET items = NULL WHERE xmin = pg_current_xact_id()::xid;		-- not known
SELECT * FROM lookup('parties'::regclass, 'hot'::text, '2026-01-03 01:30');
ROLLBACK;

-- Bursts: all events of an instant are one moment, also where counts are made anew beside older ones.
CREATE TABLE bursts (k text, ts timestamptz, p text);
CREATE INDEX ON bursts (k, ts);
CREATE INDEX bursts_p ON bursts (k, p, ts);
SELECT risk.create_rolling_features('bursts', 'k', 'ts', windows => '{1 hour}', aggregates => '{count,distinct(p)}');
CREATE FUNCTION bursts_differ() RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT count(*) FROM (SELECT DISTINCT ts + i * interval '30 seconds' AS t FROM bursts, generate_series(0, 1) AS i) AS u,
		LATERAL risk.rolling_features('bursts', 'hot'::text, t) AS f
	WHERE (f ->> 'k_distinct_p_prev_1h')::int <> (SELECT count(DISTINCT p) FROM bursts WHERE k = 'hot' AND ts >= t - interval '1 hour' AND ts < t)
$$;
INSERT INTO bursts SELECT 'hot', '2026-01-04 23:59:59.999999'::timestamptz + i / 80 * interval '5 minutes', 'p' || i * i % 97 FROM generate_series(0, 80 * 25 - 1) AS i;
CALL risk.refresh_rolling_features('bursts');
SELECT tiles > 0 AS tiled, lookups_by_tiles FROM risk.rolling_tiles_info WHERE source = 'bursts'::regclass;
SELECT bursts_differ();
INSERT INTO bursts SELECT 'hot', '2026-01-05 02:04:59.999999'::timestamptz + i / 80 * interval '5 minutes', 'q' || i * i % 97 FROM generate_series(0, 80 * 12 - 1) AS i;
INSERT INTO bursts VALUES ('hot', '2026-01-05 01:31', 'late'), ('hot', '2026-01-05 03:00', 'last');
CALL risk.refresh_rolling_features('bursts');
SELECT deltas FROM risk.rolling_tiles_info WHERE source = 'bursts'::regclass;
SELECT bursts_differ();
SELECT lookups_by_tiles > 20 AS by_tiles FROM risk.rolling_tiles_info WHERE source = 'bursts'::regclass;

-- No edge of a window is in front of one.
CREATE TABLE days (k text, day date, v numeric, at timestamp GENERATED ALWAYS AS (day::timestamp) STORED);
INSERT INTO days SELECT 'hot', date '2026-01-01' + i / 200, nullif(i % 7, 0) / 10.0 FROM generate_series(0, 200 * 20 - 1) AS i;
SELECT risk.create_rolling_features('days', 'k', 'at', 'v', '{3 days}', '{count,sum,avg,min,max}', create_index => true);
CALL risk.refresh_rolling_features('days');
CREATE FUNCTION looked_up(OUT how text, OUT same boolean) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT l.how, ' '), bool_and(l.same) FROM generate_series(0, 6) AS i, lookup('days'::regclass, 'hot'::text, '2026-01-17'::timestamptz + i * interval '12 hours') AS l $$;
SELECT events FROM risk.tile_counters('days', 'k') \gset
SELECT count(risk.rolling_features('days', 'hot'::text, '2026-01-17'::timestamptz + i * interval '12 hours')) FROM generate_series(0, 6) AS i;
SELECT events - :events AS read FROM risk.tile_counters('days', 'k');
SELECT * FROM looked_up();
BEGIN;
INSERT INTO days VALUES ('hot', '2026-01-16', 100), ('hot', '2026-01-17', -100);
UPDATE days SET day = '2026-01-17' WHERE day = '2026-01-16' AND v = 0.6;
DELETE FROM days WHERE day = '2026-01-15' AND v = 0.1;
SELECT * FROM looked_up();
COMMIT;
CALL risk.refresh_rolling_features('days');
SELECT deltas FROM risk.rolling_tiles_info WHERE source = 'days'::regclass;
SELECT * FROM looked_up();

-- Dates: all events of a day are of one instant, its midnight.
CREATE TABLE dated (k text, day date, v numeric, p text) PARTITION BY RANGE (day);
CREATE TABLE dated_1 PARTITION OF dated FOR VALUES FROM (MINVALUE) TO ('2026-01-10');
CREATE TABLE dated_2 PARTITION OF dated FOR VALUES FROM ('2026-01-10') TO ('5000000-01-01');
CREATE TABLE dated_3 PARTITION OF dated DEFAULT;
CREATE TABLE dates (k text, day date, v numeric, p text);
CREATE INDEX ON dates (k, day DESC) INCLUDE (v);
CREATE INDEX ON dated (k, day);
SELECT count(risk.create_rolling_features(t, 'k', 'day', 'v', '{1 day,36 hours,10 days}', ARRAY['count', 'sum', 'avg', 'min', 'max', 'last', 'since_last', 'share(v > 0.2) AS much', 'distinct(p)'])) FROM unnest('{dated,dates}'::regclass[]) AS t;
CREATE INDEX ON dated (k, p, day);
CREATE INDEX ON dates (k, p, day);
INSERT INTO dated SELECT CASE WHEN i % 10 = 0 THEN 'cold' ELSE 'hot' END, date '2026-01-01' + i / 200, nullif(i % 7, 0) / 10.0, 'p' || i * i % 97 FROM generate_series(0, 200 * 20 - 1) AS i;
INSERT INTO dates SELECT * FROM dated;
VACUUM ANALYZE dates;
CALL risk.refresh_rolling_features('dated');
CALL risk.refresh_rolling_features('dates');
SELECT source, built_until, problem FROM risk.rolling_tiles_info WHERE source IN ('dated'::regclass, 'dates'::regclass) ORDER BY 1;
CREATE FUNCTION by_day(OUT how text, OUT same boolean, OUT plain boolean) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT l.how, bool_and(l.same), bool_and(risk.rolling_features(t, 'hot'::text, m, 'k') @>
		(SELECT jsonb_build_object('k_cnt_prev_36h', count(*)::float8, 'k_sum_v_prev_36h', coalesce(sum(v), 0)::float8, 'k_share_much_prev_36h', avg((v > 0.2)::int)::float8, 'k_distinct_p_prev_36h', count(DISTINCT p)::float8)
			FROM dated WHERE k = 'hot' AND day >= m - interval '36 hours' AND day < m))
	FROM unnest('{dated,dates}'::regclass[]) AS t, generate_series(0, 12) AS i, LATERAL (SELECT '2026-01-13 23:59:59.999999'::timestamptz + i * interval '12 hours 1 us') AS u (m), lookup(t, 'hot'::text, m) AS l GROUP BY 1 ORDER BY 1 $$;
SELECT * FROM by_day();
BEGIN;
CREATE TEMP TABLE more AS SELECT * FROM (VALUES ('hot', date '2026-01-16', 100, 'new'), ('hot', '2026-01-19', 7, 'late'), ('hot', '2026-01-17', -100, 'p1'), ('hot', '2026-02-01', 1, 'p2'), ('hot', '-infinity', 1, 'p2'), ('hot', 'infinity', 1, 'p2'), ('hot', '5000000-01-01', 1, 'p2'), ('hot', NULL, 1, 'p2')) AS m;
INSERT INTO dated SELECT * FROM more;
INSERT INTO dates SELECT * FROM more;
SELECT count(*) FROM risk.rolling_deltas WHERE xmin = pg_current_xact_id()::xid;
UPDATE dated SET day = '2026-01-17' WHERE day = '2026-01-16' AND v = 0.6;
UPDATE dates SET day = '2026-01-17' WHERE day = '2026-01-16' AND v = 0.6;
DELETE FROM dated WHERE day IN ('2026-01-15', '5000000-01-01') AND v IN (0.1, 1);
DELETE FROM dates WHERE day IN ('2026-01-15', '5000000-01-01') AND v IN (0.1, 1);
SELECT * FROM by_day();
COMMIT;
CALL risk.refresh_rolling_features('dated');
CALL risk.refresh_rolling_features('dates');
SELECT sum(deltas) FROM risk.rolling_tiles_info WHERE source IN ('dated'::regclass, 'dates'::regclass);
SELECT * FROM by_day();
SELECT bool_and(risk.rolling_features('dates', d) = t.features) AS trained FROM dates AS d JOIN risk.training_set('dates') AS t ON event = to_jsonb(d) WHERE d.day IN ('2026-01-14', '2026-01-18');
-- An afternoon counts its day, wherever that is.
SET TimeZone = 'Pacific/Auckland';
SELECT l.*, risk.rolling_features('dated', 'hot'::text, '2026-01-15 00:00', 'k') ->> 'k_cnt_prev_1d' AS at_midnight, risk.rolling_features('dated', 'hot'::text, '2026-01-15 12:00', 'k') ->> 'k_cnt_prev_1d' AS at_noon
FROM lookup('dated'::regclass, 'hot'::text, '2026-01-15 12:00') AS l;
SET TimeZone = 'UTC';
-- What is asked for are the days that are over: today's rows are not late.
CREATE TABLE over (k text, day date);
CREATE TABLE today (k text, day date);
INSERT INTO over SELECT 'hot', (now() AT TIME ZONE 'UTC')::date - i / 200 FROM generate_series(0, 999) AS i;
INSERT INTO today SELECT * FROM over;
SELECT count(risk.create_rolling_features(t, 'k', 'day', windows => '{7 days}', create_index => true)) FROM unnest('{over,today}'::regclass[]) AS t;
CREATE PROCEDURE ask_for_tiles(source regclass, at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM pg_sleep(0.1), risk.rolling_features(source, 'hot'::text, at, 'k');
		COMMIT;
		EXIT WHEN EXISTS (SELECT FROM risk.rolling_tiles_info AS t WHERE t.source = ask_for_tiles.source AND t.tiles > 0);
	END LOOP;
END $$;
CALL ask_for_tiles('over', date_trunc('day', now()));
CALL ask_for_tiles('today', now());
SELECT source, built_until = date_trunc('day', now()) AS until_today FROM risk.rolling_tiles_info WHERE source IN ('over'::regclass, 'today'::regclass) ORDER BY 1;
DROP FUNCTION by_day;
DROP PROCEDURE ask_for_tiles;
DROP TABLE dated, dates, more, over, today;

-- Partitions: an index of each.
CREATE TABLE parts (k text, ts timestamptz, p text) PARTITION BY RANGE (ts);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE parts_2 (p text, ts timestamptz, k text);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM ('2026-01-02') TO ('2026-01-04');
INSERT INTO parts SELECT k, ts, p FROM parties WHERE ts < '2026-01-04';
CREATE INDEX ON parts (k, ts);
CREATE INDEX ON parts_1 (k, p, ts);
SELECT risk.create_rolling_features('parts', 'k', 'ts', windows => '{1 hour,24 hours}', aggregates => '{distinct(p)}');
CALL risk.refresh_rolling_features('parts');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parts'::regclass;
SELECT * FROM lookups('parts');
CREATE INDEX ON parts_2 (p, k, ts);
CALL risk.refresh_rolling_features('parts');
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'parts'::regclass;
SELECT * FROM lookups('parts');
INSERT INTO parts VALUES ('hot', '2026-01-01 12:00', 'new');
UPDATE parts SET ts = '2026-01-02 12:00' WHERE ts = '2026-01-01 12:00' AND p = 'new';
DELETE FROM parts WHERE ts BETWEEN '2026-01-01 23:50' AND '2026-01-02 00:10';
SELECT * FROM lookups('parts');

-- Keys of other types, compound ones, and such as have no tiles.
CREATE TABLE keyed (a numeric, b uuid, c timestamp, d text, v int);
INSERT INTO keyed SELECT CASE WHEN i % 2 = 0 THEN 1.0 ELSE 1.00 END, '00000000-0000-0000-0000-00000000000f', '2026-01-01'::timestamp + i * interval '1 s',
	CASE WHEN i % 3 = 0 THEN repeat('x', 600) ELSE '' END, i FROM generate_series(1, 2000) AS i;
SELECT risk.create_rolling_features('keyed', '{b,a}'::name[], 'c', 'v', windows => '{10 minutes}', aggregates => '{count,sum}', name => 'k', create_index => true);
SELECT risk.create_rolling_features('keyed', 'd', 'c', windows => '{10 minutes}', create_index => true);
CALL risk.refresh_rolling_features('keyed');
SELECT set_name, built_until, keys, deltas FROM risk.rolling_tiles_info WHERE source = 'keyed'::regclass ORDER BY 1;
SELECT * FROM lookup('keyed'::regclass, ROW('00000000-0000-0000-0000-00000000000f'::uuid, 1), '2026-01-01 00:30');
INSERT INTO keyed VALUES (1.000, '00000000-0000-0000-0000-00000000000f', '2026-01-01', repeat('x', 600), 1), (NULL, NULL, '2026-01-01', NULL, 1);
SELECT * FROM lookup('keyed'::regclass, ROW('00000000-0000-0000-0000-00000000000f'::uuid, 1), '2026-01-01 00:30');

-- Of a row or of a caller, an oid is the same key.
CREATE TABLE objects (k oid, ts timestamptz);
INSERT INTO objects SELECT 4000000000, '2026-01-01'::timestamptz + i * interval '1 minute' FROM generate_series(1, 1000) AS i;
SELECT risk.create_rolling_features('objects', 'k', 'ts', windows => '{24 hours}', create_index => true);
CALL risk.refresh_rolling_features('objects');
INSERT INTO objects VALUES (4000000000, '2026-01-01 12:00');
SELECT how, same FROM lookup('objects'::regclass, 4000000000::oid, '2026-01-01 16:00');

-- A row from the future does not make all others late.
INSERT INTO keyed VALUES (2, NULL, '2999-01-01', 'z', 1);
CALL risk.refresh_rolling_features('keyed');
SELECT set_name, built_until <= now() AS until_now FROM risk.rolling_tiles_info WHERE source = 'keyed'::regclass ORDER BY 1;
SELECT risk.refresh_step('keyed', 'k', '2999-01-01');
SELECT timestamp '2000-01-01' + planned * interval '1 microsecond' <= clock_timestamp() AT TIME ZONE 'UTC' AS until_now FROM risk.rolling_tilings WHERE source = 'keyed'::regclass AND set_name = 'k';
-- Nor do all keys wait for a plan of their own, up to a moment that has moved on.
INSERT INTO keyed SELECT 10 + i % 4, '00000000-0000-0000-0000-00000000000f', '2026-01-01'::timestamp + i * interval '1 s', 'y', i FROM generate_series(1, 1000) AS i;
CALL risk.refresh_rolling_features('keyed');
SELECT count(DISTINCT t.key) AS keys, bool_and(t.xmin::text::bigint > g.xmin::text::bigint) AS planned_before
FROM risk.rolling_tilings AS g JOIN risk.rolling_tiles AS t USING (tiling)
WHERE g.source = 'keyed'::regclass AND g.set_name = 'k' AND t.key IN (SELECT risk.tile_key('keyed', 'k', ROW(b, a)) FROM keyed WHERE a >= 10);

-- What has no tiles says why.
CREATE TABLE others (f float8, ts timestamptz, k int);
SELECT risk.create_rolling_features('others', 'f', 'ts', create_index => true);
SELECT set_name, problem FROM risk.rolling_tiles_info WHERE source = 'others'::regclass ORDER BY 1;
-- Names of triggers differ where names of columns do.
ALTER TABLE others ADD a_time_whose_name_is_as_long_as_the_name_of_a_column_may_be_1 timestamptz,
	ADD a_time_whose_name_is_as_long_as_the_name_of_a_column_may_be_2 timestamptz;
SELECT cardinality(risk.create_rolling_features('others', 'k', 'a_time_whose_name_is_as_long_as_the_name_of_a_column_may_be_' || i, name => 'long' || i,
	windows => ARRAY[i * interval '1 day'], create_index => true)) FROM generate_series(1, 2) AS i;
SELECT count(DISTINCT tgname) FROM pg_trigger WHERE tgrelid = 'others'::regclass;

-- Rights: totals are of all rows, so they are for who sees all of them.
CREATE ROLE risk_test_tiler;
GRANT USAGE ON SCHEMA risk, public TO risk_test_tiler;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA risk TO risk_test_tiler;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA risk TO risk_test_tiler;
CREATE TABLE seen (k text, ts timestamptz, v int, who text DEFAULT current_user);
CREATE INDEX ON seen (k, ts);
INSERT INTO seen SELECT 'hot', '2026-01-03'::timestamptz - i * interval '1 minute', i, CASE WHEN i % 2 = 0 THEN 'risk_test_tiler' ELSE 'x' END FROM generate_series(1, 2000) AS i;
SELECT risk.create_rolling_features('seen', 'k', 'ts', 'v', aggregates => '{count,sum}');
CALL risk.refresh_rolling_features('seen');
SELECT * FROM lookups('seen');
SET ROLE risk_test_tiler;
SELECT risk.rolling_features('seen', 'hot'::text, '2026-01-03') ->> 'k_cnt_prev_24h';
RESET ROLE;
GRANT SELECT (k, ts, v) ON seen TO risk_test_tiler;
GRANT INSERT ON seen TO risk_test_tiler;
CALL risk.refresh_rolling_features('seen');		-- rights on columns change what they are
SET ROLE risk_test_tiler;
SELECT * FROM lookups('seen');
INSERT INTO seen VALUES ('hot', '2026-01-02', 1);		-- late, by who may write no delta
SELECT * FROM lookups('seen');
CALL risk.refresh_rolling_features('seen');
SELECT risk.refresh_step('seen', 'k', now());
SELECT risk.create_rolling_features('seen', 'k', 'ts', 'v', aggregates => '{count}', windows => '{3 hours}', name => 'theirs');
RESET ROLE;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'seen'::regclass;
DROP TRIGGER pg_risk_late_delete_ts ON seen;
SET ROLE risk_test_tiler;
CALL risk.refresh_rolling_features('seen', 'theirs');		-- who may not make triggers
RESET ROLE;
CALL risk.refresh_rolling_features('seen');
ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON seen USING (v % 2 = 0);
SET ROLE risk_test_tiler;
SELECT * FROM lookups('seen');
SELECT risk.rolling_features('seen', 'hot'::text, '2026-01-03', 'k') ->> 'k_cnt_prev_24h';
RESET ROLE;
SELECT * FROM lookups('seen');
SELECT risk.advance_tiles('seen', 'k', '2026-01-01', '\x01');
ALTER TABLE seen FORCE ROW LEVEL SECURITY;
SELECT problem FROM risk.rolling_tiles_info WHERE source = 'seen'::regclass AND set_name = 'k';
SELECT * FROM lookups('seen');

-- Wrong use.
\set VERBOSITY terse
SELECT risk.create_rolling_features('seen', 'k', 'ts', name => repeat('x', 64));
CALL risk.refresh_rolling_features('seen', 'other');
CALL risk.refresh_rolling_features('pg_class');
BEGIN;
CALL risk.refresh_rolling_features('seen');
ROLLBACK;
CREATE FUNCTION refresh() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL risk.refresh_rolling_features('seen'); END $$;
SELECT refresh();
DROP FUNCTION refresh;
DO $$ BEGIN CALL risk.refresh_rolling_features('others'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
DO $$ BEGIN CALL risk.refresh_rolling_features('others'); END $$;
SELECT risk.tile_key('seen', 'k', ROW('a', 'b'));
SELECT (risk.begin_refresh('seen', 'k')).event_time;		-- a refresh that is cancelled here
SELECT count(*) FROM risk.rolling_refresh_progress;
SELECT risk.note_late();
-- Who may not read a table does not learn from a condition how far its tiles go, not by a trigger of their own either.
SELECT DISTINCT risk.is_late(tableoid, max(ts)) FROM seen GROUP BY tableoid;
GRANT CREATE ON SCHEMA public TO risk_test_tiler;
SET ROLE risk_test_tiler;
SELECT risk.is_late('extreme'::regclass, '2026-01-01'::timestamptz);
CREATE TABLE spy (t oid, ts timestamptz);
CREATE TRIGGER spy AFTER INSERT ON spy FOR EACH ROW WHEN (risk.is_late(NEW.t, NEW.ts)) EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO spy VALUES ('extreme'::regclass, '2026-01-01');
DROP TABLE spy;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM risk_test_tiler;
DROP TABLE ledger, months, months_1, twice, passing, extreme, parties, bursts, days, parts, keyed, objects, others, seen;
SELECT risk.sweep_tiles();
SELECT count(*) FROM risk.rolling_distincts;
DROP OWNED BY risk_test_tiler;
DROP ROLE risk_test_tiler;
DROP FUNCTION lookups, lookup, look, after, damaged, bursts_differ, looked_up;
DROP OPERATOR FAMILY upper_ops USING btree;
DROP FUNCTION upper_cmp, upper_1, upper_2, upper_3, upper_4, upper_5 CASCADE;
