-- Scores of whole tables, and two versions over the same rows
\set SHOW_CONTEXT never
SELECT risk.create_model('batch', entity_id => 'id');
SELECT 1 FROM risk.register_model('batch', 'v1', toy_model('{amount,hour,country}',
	'[[0, 100, 1, -1, 3], [0, 500, 0, 0, 4], [1, 6, 0, 2, -2], [2, [1], 1, 0, 8]]'), categories => '{"country": ["FR", "KP"]}');
SELECT 1 FROM risk.register_model('batch', 'v2', toy_model('{country,amount}',
	'[[1, 200, 1, -1, 2], [0, [0], 0, 1, -1]]'), categories => '{"country": ["KP", "FR"]}');
SELECT 1 FROM risk.register_model('batch', 'v3', toy_model('{amount,hour,country}',
	'[[0, 300, 1, -1, 3], [2, [0], 1, 0.5, 0]]'), categories => '{"country": ["FR", "KP"]}');
SELECT setseed(0.5);
CREATE TABLE payment AS
	SELECT i AS id, CASE WHEN random() > 0.1 THEN (random() * 1000)::numeric(10, 2) END AS amount,
		   CASE WHEN random() > 0.1 THEN floor(random() * 24)::int END AS hour,
		   (ARRAY['FR', 'KP', 'XX', NULL])[1 + floor(random() * 4)] AS country
	FROM generate_series(1, 5000) AS i;
INSERT INTO payment VALUES (NULL, 'Infinity', 3, 'FR'), (5002, 'NaN', NULL, '');

-- nobody decides yet; then the champion does
SELECT count(*) FROM risk.score_batch('batch', 'payment');
SELECT risk.promote('batch', 'v1');
SELECT entity_id, round(score::numeric, 5) AS score FROM risk.score_batch('batch', 'SELECT * FROM payment WHERE id <= 3 OR id > 5000 ORDER BY id');

-- the scores of risk.score_transaction(), to the bit: rows that differ
CREATE FUNCTION differing(model text, source regclass, version text DEFAULT NULL) RETURNS TABLE (scored bigint, differing bigint) LANGUAGE plpgsql AS $$ BEGIN
	RETURN QUERY EXECUTE format('
		SELECT (SELECT count(*) FROM risk.score_batch(%1$L, %2$L, %3$L, ''id'')), (SELECT count(*) FROM
			((SELECT id::text, float8send(risk.score_transaction(%1$L, t, %3$L)) FROM %2$s AS t EXCEPT ALL SELECT entity_id, float8send(score) FROM risk.score_batch(%1$L, %2$L, %3$L, ''id''))
			UNION ALL
			(SELECT entity_id, float8send(score) FROM risk.score_batch(%1$L, %2$L, %3$L, ''id'') EXCEPT ALL SELECT id::text, float8send(risk.score_transaction(%1$L, t, %3$L)) FROM %2$s AS t)) AS d)', model, source, version);
END $$;
SELECT v, d.* FROM unnest('{NULL,v1,v2,v3}'::text[]) AS v, differing('batch', 'payment', v) AS d;
SELECT count(*), count(*) FILTER (WHERE s.score_a <> risk.score_transaction('batch', p, 'v2') OR s.score_b <> risk.score_transaction('batch', p)) AS differing
FROM risk.score_versions('batch', 'v2', NULL, 'payment') AS s JOIN payment AS p ON p.id::text = s.entity_id;
SELECT count(*), count(*) FILTER (WHERE s.score_a <> risk.score_transaction('batch', p, 'v1') OR s.score_b <> risk.score_transaction('batch', p, 'v3')) AS differing
FROM risk.score_versions('batch', 'v1', 'v3', 'payment') AS s JOIN payment AS p ON p.id::text = s.entity_id;

-- several outputs, and a linear model
SELECT risk.create_model('classes', positive_class => 1);
SELECT 1 FROM risk.register_model('classes', 'v1', toy_model('{amount,hour}', '[[0, 100, 1, -1, 2], [0, 10, 1, 0, 1], [1, 6, 0, 0.5, -0.5]]', 'multi:softmax', 3));
SELECT * FROM differing('classes', 'payment', 'v1');
SELECT entity_id IS NULL AS unknown, score = risk.score_transaction('classes', p, 'v1') AS same
FROM (SELECT * FROM payment WHERE id = 1) AS p, risk.score_batch('classes', 'SELECT * FROM payment WHERE id = 1', 'v1');
SELECT count(*), count(DISTINCT entity_id) FROM risk.score_batch('classes', 'payment', 'v1', id_column => 'id');
SELECT 1 FROM risk.register_model('classes', 'linear', convert_to($${"version": [1, 7, 4], "learner": {"attributes": {}, "feature_names": ["hour", "amount"], "feature_types": [],
	"learner_model_param": {"base_score": "5E-1", "boost_from_average": "1", "num_class": "0", "num_target": "1", "num_feature": "2"},
	"objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
	"gradient_booster": {"name": "gblinear", "model": {"weights": [0.25, -0.5, 0.125], "boosted_rounds": 1}}}}$$, 'UTF8'));
SELECT * FROM differing('classes', 'payment', 'linear');

-- stored tuples of all shapes: nulls, alignment, toasted values, columns dropped and added later; sorted on the way, and in parallel
CREATE TABLE shapes AS
	SELECT i AS id, CASE WHEN random() > 0.3 THEN random()::real END AS r1, CASE WHEN random() > 0.3 THEN (random() * i)::text END AS words,
		   CASE WHEN random() > 0.3 THEN -random()::real END AS r2, CASE WHEN random() > 0.3 THEN (ARRAY['NaN', 'Infinity', '-0', '1e-40'])[1 + i % 4]::real END AS r3, random() > 0.5 AS flag,
		   CASE WHEN random() > 0.3 THEN random() END AS d, CASE WHEN random() > 0.3 THEN 'KP'::char(2) END AS country, CASE WHEN random() > 0.3 THEN i::smallint END AS s,
		   CASE WHEN random() > 0.3 THEN random()::real END AS r4, (repeat((random() * 1e9)::bigint::text, 30 + i % 7 * 40))::numeric AS long
	FROM generate_series(1, 3000) AS i;
ALTER TABLE shapes ADD r5 real;
INSERT INTO shapes SELECT id + 3000, r4, words, r1, r2, NOT flag, d, country, s, r3, long, r3 FROM shapes WHERE id < 1000;
SELECT risk.create_model('shapes');
SELECT 1 FROM risk.register_model('shapes', 'v1', toy_model('{r3,r2,r1,flag,d,country,s,r4,long,r5}',
	'[[0, 0.1, 1, -1, 3], [1, -0.5, 0, 0.5, 4], [2, 0.5, 1, 0.25, -2], [3, 1, 1, 0.125, 8], [4, 0.5, 0, 0.0625, 16], [5, [1], 1, 0.03125, 32], [6, 1500, 0, 64, 0.015625],
	  [7, 0.5, 1, 0.0078125, 128], [8, 1e38, 0, 0.00390625, -64], [9, 0.25, 0, -32, 0.001953125]]', 'reg:squarederror'), categories => '{"country": ["FR", "KP"]}');
SELECT * FROM differing('shapes', 'shapes', 'v1');
SELECT count(DISTINCT score) > 100 AS vary FROM risk.score_batch('shapes', 'shapes', 'v1', 'id');
CREATE FUNCTION sum_of(source text) RETURNS numeric LANGUAGE sql AS $$ SELECT sum(score::numeric) FROM risk.score_batch('shapes', source, 'v1', 'id') $$;
SELECT sum_of('shapes') = (SELECT sum(risk.score_transaction('shapes', t, 'v1')::numeric) FROM shapes AS t) AS plain,
	   sum_of('shapes') = sum_of('SELECT * FROM shapes ORDER BY words') AS sorted,
	   sum_of('shapes') = sum_of('SELECT r3, r1, r2, flag, d, s, country, r4, long, r5, id + 0 AS id FROM shapes') AS projected;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT sum_of('shapes') = sum_of('SELECT * FROM shapes ORDER BY words') AS parallel;
ROLLBACK;
ALTER TABLE shapes DROP words, ADD gone real DEFAULT 1, ADD r0 real DEFAULT 2;
ALTER TABLE shapes DROP gone;
SELECT * FROM differing('shapes', 'shapes', 'v1');

-- rows come as they are asked for, from a source that would never end: none are kept
EXPLAIN (COSTS OFF) SELECT entity_id FROM risk.score_batch('batch', 'payment');
BEGIN;
SET LOCAL statement_timeout = '60s';
SET LOCAL temp_file_limit = 0;
SET LOCAL work_mem = '64kB';
CREATE VIEW endless AS SELECT generate_series(1, 1000000000000) AS id, 1 AS amount, 2 AS hour, 'FR' AS country;
SELECT count(*), max(entity_id::int) FROM (SELECT * FROM risk.score_batch('batch', 'endless') LIMIT 5000) AS s;
SELECT count(reasons) FROM (SELECT * FROM risk.explain_batch('batch', 'endless') LIMIT 3) AS s;
-- ... also by a cursor, over errors and what is rolled back; and kept when the transaction ends
DECLARE place CURSOR WITH HOLD FOR SELECT entity_id FROM risk.score_batch('batch', 'SELECT * FROM endless LIMIT 3000');
SAVEPOINT before;
FETCH 1 FROM place;
MOVE 2000 FROM place;
ROLLBACK TO before;
FETCH 1 FROM place;
SELECT 1 / 0;
ROLLBACK TO before;
FETCH 1 FROM place;
SET LOCAL temp_file_limit = -1;
COMMIT;
MOVE 990 FROM place;
FETCH 1 FROM place;
MOVE ALL FROM place;
CLOSE place;
DROP VIEW endless;
-- ... and again for each row of another query, by a scan where the arguments change, by the function where they do not
SELECT n, count(*), count(DISTINCT entity_id), min(entity_id::int) FROM generate_series(0, 5000, 2500) AS n,
	risk.score_batch('batch', format('SELECT * FROM payment WHERE id > %s', n)) AS s GROUP BY n ORDER BY n;
SELECT n, (SELECT count(*) FROM risk.score_batch('batch', 'payment') WHERE score > n) FROM unnest('{0,0.5,1}'::float8[]) AS n;
EXPLAIN (COSTS OFF) SELECT n, (SELECT count(*) FROM risk.score_batch('batch', 'payment') WHERE score > n) FROM unnest('{0,0.5,1}'::float8[]) AS n;
-- ... each of its functions as by a scan
SELECT count(*) AS scanned, count(*) FILTER (WHERE s IS DISTINCT FROM f) AS differing
FROM (SELECT ROW(row_number() OVER (), entity_id, score_a, score_b)::text AS s FROM risk.score_versions('batch', 'v1', 'v2', 'payment')) AS scan
FULL JOIN (SELECT ROW(ordinality, entity_id, score_a, score_b)::text AS f FROM risk.score_versions('batch', 'v1', 'v2', 'payment') WITH ORDINALITY) AS function ON s = f;

-- another kernel, from the next transaction on, gives them too
BEGIN;
SELECT risk.version_kernel('classes', 'v1') = 'walk, many outputs' AS walks \gset before_
SET LOCAL pg_risk.kernel = 'walk';
SELECT (risk.version_kernel('classes', 'v1') = 'walk, many outputs') = :'before_walks' AS unchanged;
COMMIT;
CREATE TABLE scored AS SELECT entity_id, float8send(score) FROM risk.score_batch('classes', 'payment', 'v1', 'id');
SET pg_risk.kernel = 'walk';
SELECT risk.version_kernel('classes', 'v1'), risk.version_kernel('batch');
SELECT * FROM differing('classes', 'payment', 'v1');
SELECT count(*) FROM (TABLE scored EXCEPT ALL SELECT entity_id, float8send(score) FROM risk.score_batch('classes', 'payment', 'v1', 'id')) AS d;
DROP TABLE scored;
SET pg_risk.kernel = 'sse';
RESET pg_risk.kernel;

-- sources: queries, names with quotes, nothing, ids whose text depends on settings
SELECT count(*) FROM risk.score_batch('batch', 'TABLE payment -- all of it');
SELECT count(*) FROM risk.score_batch('batch', 'SELECT * FROM payment WHERE false');
CREATE SCHEMA "Of old";
CREATE TABLE "Of old"."Payment" AS SELECT *, '2026-01-02'::date AS day, '\x01'::bytea AS key FROM payment LIMIT 10;
SET datestyle = 'German, DMY';
SELECT DISTINCT entity_id FROM risk.score_batch('batch', '"Of old"."Payment"', id_column => 'day');
RESET datestyle;
SELECT DISTINCT entity_id FROM risk.score_batch('batch', '"Of old"."Payment"', id_column => 'key');
UPDATE payment AS p SET hour = -1 FROM risk.score_batch('batch', 'SELECT ctid AS place, * FROM payment WHERE id = 7', id_column => 'place') AS s
WHERE p.ctid = s.entity_id::tid RETURNING id;
BEGIN;
SET LOCAL search_path = "Of old", public;
SELECT count(*) FROM risk.score_batch('batch', '"Payment"');
SELECT b FROM risk.compare_versions('batch', 'v1', 'v2', '"Payment"') WHERE metric = 'rows';
ROLLBACK;

-- what other sessions see of it: looked at by the source itself
CREATE FUNCTION seen() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	RETURN (SELECT format('%s %s/%s %s %s', model, version, other_version, rows, pid = pg_backend_pid() AND usename = current_user) FROM risk.batch_progress);
END $$;
SELECT entity_id, count(*) FROM risk.score_batch('batch', 'SELECT *, seen() AS seen FROM payment', 'v2', id_column => 'seen') GROUP BY 1 ORDER BY 1;
SELECT entity_id, count(*) FROM risk.score_versions('batch', 'v3', 'v1', 'SELECT *, seen() AS seen FROM payment LIMIT 1500', id_column => 'seen') GROUP BY 1 ORDER BY 1;
SELECT * FROM risk.score_batch('batch', 'SELECT *, 1 / (3000 - id) AS part FROM payment');
-- large ids make small blocks, also those that nobody wants
CREATE FUNCTION held() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'pg_risk block' $$;
SELECT count(*), max(rtrim(entity_id)::bigint) < 20000000 AS bounded, max(rtrim(entity_id)::bigint) > 10000000 AS used
FROM risk.score_batch('batch', 'SELECT rpad(held()::text, 1000000) AS id, amount, hour, country FROM payment LIMIT 100');
SELECT (r ->> 'value')::float8 < 20000000 AS bounded, (r ->> 'value')::float8 > 5000000 AS used
FROM risk.explain_versions('batch', 'v1', 'v2', $$ SELECT CASE WHEN i < 95 THEN repeat('x', 1000000) ELSE 'last' END AS id, held() AS amount, 3 AS hour, 'FR' AS country
	FROM generate_series(1, 95) AS i $$, '{last}', top => NULL), jsonb_array_elements(reasons_a) AS r WHERE r ->> 'feature' = 'amount';
DROP FUNCTION held();
SET statement_timeout = '100ms';
SELECT * FROM risk.score_batch('batch', 'SELECT generate_series(1, 1000000000) AS id, 1 AS amount, 2 AS hour, ''FR'' AS country');
RESET statement_timeout;
SELECT count(*) AS left_over FROM risk.batch_progress;

-- the route is that of the statement's snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM payment;
SELECT risk.promote('batch', 'v2');
SELECT count(*) FROM risk.score_batch('batch', 'payment') AS s JOIN payment AS p ON s.entity_id = p.id::text WHERE s.score = risk.score_transaction('batch', p, 'v2');
ROLLBACK;

-- declared rolling features are looked up as for a row alone, to the bit
CREATE TABLE "Transfer" (id int PRIMARY KEY, amount numeric, card text, terminal int, at timestamptz);
INSERT INTO "Transfer" SELECT i, (random() * 1000)::numeric(10, 2), nullif('c' || floor(random() * 20), 'c0'), random() * 10, '2026-01-01'::timestamptz + random() * interval '5 days'
	FROM generate_series(1, 2000) AS i;
ALTER TABLE "Transfer" DROP COLUMN id, ADD COLUMN id serial;
CREATE INDEX ON "Transfer" (card, at);
CREATE INDEX ON "Transfer" (terminal, at);
SELECT risk.create_rolling_features('"Transfer"', 'card', 'at', 'amount', '{1 hour,1 day}', '{count,sum,distinct(terminal)}');
SELECT risk.create_rolling_features('"Transfer"', 'terminal', 'at', windows => '{1 day}', aggregates => '{count}');
SELECT risk.create_model('rolls', entity_id => 'id');
SELECT 1 FROM risk.register_model('rolls', 'v1', toy_model('{amount,card_cnt_prev_1d,card_sum_amount_prev_1d,card_distinct_terminal_prev_1h,terminal_cnt_prev_1d}',
	'[[0, 500, 1, -1, 3], [1, 10, 0, 0, 4], [2, 8000, 0, 2, -2], [3, 2, 1, 0, 8], [4, 30, 1, 0.25, -0.125]]'));
SELECT 1 FROM risk.register_model('rolls', 'v2', toy_model('{card_cnt_prev_1h,amount}', '[[0, 1, 1, -1, 3], [1, 200, 0, 0, 4]]'));
SELECT * FROM differing('rolls', '"Transfer"', 'v1');
SELECT count(*), count(DISTINCT score_a) > 4 AS vary, count(*) FILTER (WHERE s.score_a <> risk.score_transaction('rolls', t, 'v1') OR s.score_b <> risk.score_transaction('rolls', t, 'v2')) AS differing
FROM risk.score_versions('rolls', 'v1', 'v2', '"Transfer"') AS s JOIN "Transfer" AS t ON t.id::text = s.entity_id;
-- ... whatever query the rows come from
SELECT count(*), count(*) FILTER (WHERE s.score <> risk.score_transaction('rolls', t, 'v1')) AS differing
FROM risk.score_batch('rolls', $$ WITH recent AS (SELECT id AS number, * FROM "Transfer" WHERE at > '2026-01-03') SELECT recent.*, terminal AS code FROM recent NATURAL JOIN (SELECT card FROM "Transfer" GROUP BY 1) AS c $$,
	'v1', id_column => 'number') AS s JOIN "Transfer" AS t ON t.id::text = s.entity_id;
SELECT b FROM risk.compare_versions('rolls', 'v1', 'v2', 'SELECT * FROM "Transfer" LIMIT 100') WHERE metric = 'rows';
-- as of another time, another amount, of a card that is not there
SELECT s.score = risk.score_transaction('rolls', ROW(900, card, terminal, at + interval '3 hours', id)::"Transfer", 'v1') AS same
FROM "Transfer" AS t, risk.score_batch('rolls', 'SELECT id, 900 AS amount, card, terminal, at + interval ''3 hours'' AS at FROM "Transfer" WHERE id = 5', 'v1') AS s WHERE id = 5;
-- a column of a feature's name goes first
SELECT s.score = r.score AS same FROM risk.score_batch('rolls', 'SELECT 1 AS id, 5 AS amount, 0.0 AS card_cnt_prev_1h', 'v2') AS s,
	risk.score_batch('rolls', 'SELECT t.id, 5 AS amount, 0 AS card_cnt_prev_1h FROM "Transfer" AS t LIMIT 1', 'v2') AS r;
-- what is wrong
SELECT * FROM risk.score_batch('rolls', 'SELECT id, amount, at, terminal FROM "Transfer"', 'v1');
SELECT * FROM risk.score_batch('rolls', 'SELECT id, amount, card, at::timestamp, terminal FROM "Transfer"', 'v1');
SELECT * FROM risk.score_batch('rolls', 'SELECT id, amount, card, NULL::timestamptz AS at, terminal FROM "Transfer"', 'v1');
SELECT * FROM risk.score_batch('rolls', 'SELECT 1 AS id, 2 AS amount, now() AS at, ''c'' AS card', 'v2');
CREATE TABLE "Other" (LIKE "Transfer");
CREATE INDEX ON "Other" (card, at);
SELECT array_length(risk.create_rolling_features('"Other"', 'card', 'at', windows => '{1 hour}', aggregates => '{count}'), 1);
SELECT * FROM risk.score_batch('rolls', 'SELECT t.*, o.terminal AS other FROM "Transfer" AS t JOIN "Other" AS o USING (id)', 'v2');
SELECT count(*) FROM risk.score_batch('rolls', 'SELECT t.* FROM "Transfer" AS t LEFT JOIN "Other" AS o USING (id)', 'v2');

-- what is wrong
SELECT * FROM risk.score_batch(NULL, 'payment');
SELECT * FROM risk.score_batch('batch', NULL);
SELECT * FROM risk.score_batch('nosuch', 'payment');
SELECT * FROM risk.score_batch('batch', 'payment', 'v9');
SELECT * FROM risk.score_versions('batch', 'v1', 'v9', 'payment');
SELECT * FROM risk.version_kernel('batch', 'v9');
SELECT * FROM risk.score_batch('batch', 'SELECT id, amount FROM payment');
SELECT * FROM risk.score_batch('batch', 'SELECT id, amount::text, hour, country FROM payment');
SELECT * FROM risk.score_batch('batch', 'SELECT *, 1 AS amount FROM payment');
SELECT * FROM risk.score_batch('batch', 'SELECT amount, hour, country FROM payment');
SELECT * FROM risk.score_batch('batch', 'payment', id_column => 'nosuch');
SELECT * FROM risk.score_batch('batch', 'SELECT id, * FROM payment');
SELECT * FROM risk.score_batch('batch', 'nosuch');
SELECT * FROM risk.score_batch('batch', '');
SELECT * FROM risk.score_batch('batch', 'SELECT 1 / 0 AS id, * FROM payment');
SELECT risk.alter_model('classes', positive_class => 5);
SELECT * FROM risk.score_batch('classes', 'payment', 'v1');
SELECT 1 FROM risk.register_model('batch', 'nameless', toy_model('{NULL,NULL}', '[[0, 100, 1, -1, 2]]'));
SELECT * FROM risk.score_batch('batch', 'payment', 'nameless');

-- a source only reads
CREATE FUNCTION writes(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO payment (id) VALUES ($1); RETURN $1; END $$;
SELECT * FROM risk.score_batch('batch', 'DELETE FROM payment RETURNING *');
SELECT * FROM risk.score_batch('batch', 'WITH d AS (DELETE FROM payment RETURNING *) SELECT * FROM d');
SELECT * FROM risk.score_batch('batch', 'SELECT * FROM payment FOR UPDATE');
SELECT * FROM risk.score_batch('batch', 'SELECT writes(id) AS id, amount, hour, country FROM payment');
SELECT * FROM risk.score_batch('batch', 'SELECT set_config(''transaction_read_only'', ''off'', false), writes(id) AS id, amount, hour, country FROM payment');
SELECT * FROM risk.score_batch('batch', 'SELECT * FROM payment) AS a; DELETE FROM payment; SELECT * FROM (SELECT 1');
SELECT * FROM risk.rolling_table('SELECT writes(id) AS id, now() AS at FROM payment', 'id', 'at', NULL, '{1 hour}', '{count}') AS t (id_cnt_prev_1h bigint);
SELECT count(*) FROM payment;
-- ... and writing goes on afterwards, also when an error was caught
DO $$ BEGIN
	PERFORM risk.score_batch('batch', 'SELECT 1 / 0 AS id, * FROM payment');
EXCEPTION WHEN division_by_zero THEN
	INSERT INTO payment (id) VALUES (6000);
END $$;
SELECT count(*) FROM risk.score_batch('batch', 'payment');
DELETE FROM payment WHERE id = 6000;

-- two versions: the figures are those of plain SQL
CREATE TABLE scored AS SELECT risk.score_transaction('batch', p, 'v1') AS a, risk.score_transaction('batch', p, 'v2') AS b FROM payment AS p;
SELECT metric, round(a::numeric, 6) AS a, round(b::numeric, 6) AS b, round(difference::numeric, 6) AS difference FROM risk.compare_versions('batch', 'v1', 'v2', 'payment');
SELECT round(corr(a, b)::numeric, 6) AS correlation, count(*) FILTER (WHERE a >= 0.5 AND b < 0.5) AS only_a, count(*) FILTER (WHERE b >= 0.5 AND a < 0.5) AS only_b,
	   round(avg(((a >= 0.5) = (b >= 0.5))::int), 6) AS agreement_rate, round(avg(b - a)::numeric, 6) AS mean_shift, round(percentile_cont(0.95) WITHIN GROUP (ORDER BY b)::numeric, 6) AS b_p95
FROM scored;
SELECT metric, a, b FROM risk.compare_versions('batch', 'v1', 'v2', 'payment', threshold => 0.95) WHERE metric LIKE 'flagged%';
SELECT metric, a, b, difference FROM risk.compare_versions('batch', NULL, 'v1', 'payment') WHERE metric IN ('rows', 'flagged_by_one_alone', 'agreement_rate', 'ks');
SELECT metric, a, b, difference FROM risk.compare_versions('batch', 'v1', 'v2', 'SELECT * FROM payment WHERE false') WHERE a IS NOT NULL OR b IS NOT NULL OR difference IS NOT NULL;
SELECT risk.compare_versions('nosuch', 'v1', 'v2', 'payment');
SELECT count(*) = 10 AND array_agg(m.difference) = (SELECT array_agg(d) FROM (SELECT b - a AS d FROM scored ORDER BY abs(b - a) DESC LIMIT 10) AS s) AS largest
FROM risk.largest_movers('batch', 'v1', 'v2', 'payment') AS m;
SELECT entity_id, round(score_a::numeric, 4) AS a, round(score_b::numeric, 4) AS b, round(difference::numeric, 4) AS difference
FROM risk.largest_movers('batch', 'v1', 'v2', 'SELECT * FROM payment WHERE id <= 10', top => 3);
SELECT count(*) FROM risk.largest_movers('batch', 'v1', 'v1', 'payment');

-- the caller's rights, and row-level security
CREATE ROLE risk_test_batch;
GRANT USAGE ON SCHEMA risk, public TO risk_test_batch;
SET ROLE risk_test_batch;
SELECT * FROM risk.score_batch('batch', 'payment');
RESET ROLE;
GRANT EXECUTE ON FUNCTION risk.score_batch, risk.score_versions, risk.explain_versions, risk.compare_versions, risk.largest_movers, risk.decision_threshold, risk.measure_pairs, risk.version_kernel TO risk_test_batch;
SET ROLE risk_test_batch;
SELECT * FROM risk.score_batch('batch', 'payment');
SELECT * FROM risk.compare_versions('batch', 'v1', 'v2', 'payment');
SELECT * FROM risk.score_batch('batch', 'risk.model_versions');
RESET ROLE;
GRANT SELECT ON payment TO risk_test_batch;
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON payment TO risk_test_batch USING (id <= 20);
SET ROLE risk_test_batch;
SELECT count(*) FROM risk.score_batch('batch', 'payment');
SELECT b FROM risk.compare_versions('batch', 'v1', 'v2', 'payment') WHERE metric = 'rows';
SELECT count(*), count(reasons_a) AS reasons, count(*) FILTER (WHERE entity_id::int > 20) AS hidden FROM risk.largest_movers('batch', 'v1', 'v2', 'payment', top => 100);
RESET ROLE;
SELECT count(*) FROM risk.score_batch('batch', 'payment');

DROP OWNED BY risk_test_batch;
DROP ROLE risk_test_batch;
DROP SCHEMA "Of old" CASCADE;
SELECT risk.drop_rolling_features('"Transfer"'), risk.drop_rolling_features('"Other"');
DROP TABLE payment, scored, shapes, "Transfer", "Other";
DROP FUNCTION differing, sum_of, writes, seen;
SELECT risk.drop_model(model) FROM unnest('{batch,classes,rolls,shapes}'::text[]) AS model;
