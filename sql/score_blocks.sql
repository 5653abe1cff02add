-- Plain queries whose scores are made for blocks of rows
\set SHOW_CONTEXT never
SET max_parallel_workers_per_gather = 0;
SELECT risk.create_model('plain', entity_id => 'id');
SELECT 1 FROM risk.register_model('plain', 'v1', toy_model('{amount,hour,country}',
	'[[0, 100, 1, -1, 3], [0, 500, 0, 0, 4], [1, 6, 0, 2, -2], [2, [1], 1, 0, 8]]', 'reg:squarederror'), categories => '{"country": ["FR", "KP"]}');
SELECT 1 FROM risk.register_model('plain', 'v2', toy_model('{country,amount}', '[[1, 200, 1, -1, 2], [0, [0], 0, 1, -1]]'), categories => '{"country": ["KP", "FR"]}');
SELECT setseed(0.5);
CREATE TABLE payment AS
	SELECT i AS id, CASE WHEN random() > 0.1 THEN (random() * 1000)::numeric(10, 2) END AS amount, CASE WHEN random() > 0.1 THEN floor(random() * 24)::int END AS hour,
		   (ARRAY['FR', 'KP', 'XX', NULL])[1 + floor(random() * 4)] AS country, repeat(i::text, i % 5) AS note, NULL::float8 AS score
	FROM generate_series(1, 5000) AS i;
CREATE INDEX ON payment (hour);
ANALYZE payment;

-- what a query returns with the setting on and off: how it was scored, how many rows, how many of them differ
CREATE FUNCTION scored(query text, OUT how text) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	how := 'as written';
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
		how := coalesce(substring(line FROM 'Scored: (.*)'), how);
	END LOOP;
END $$;
CREATE FUNCTION same(query text, OUT how text, OUT rows bigint, OUT differing bigint) LANGUAGE plpgsql AS $$
BEGIN
	how := scored(query);
	EXECUTE format('CREATE TEMP TABLE blocks AS SELECT q::text AS row FROM (%s) AS q', query);
	SET LOCAL pg_risk.block_scoring = off;
	EXECUTE format('CREATE TEMP TABLE calls AS SELECT q::text AS row FROM (%s) AS q', query);
	SET LOCAL pg_risk.block_scoring = on;
	SELECT count(*) FROM blocks INTO rows;
	SELECT count(*) FROM ((TABLE blocks EXCEPT ALL TABLE calls) UNION ALL (TABLE calls EXCEPT ALL TABLE blocks)) AS d INTO differing;
	DROP TABLE blocks, calls;
END $$;

-- nobody decides yet; then the champion does
SELECT risk.score_transaction('plain', p) FROM payment AS p;
SELECT risk.promote('plain', 'v1');
EXPLAIN (VERBOSE, COSTS off) SELECT id, risk.score_transaction('plain', p) FROM payment AS p WHERE hour > 3;
EXPLAIN (VERBOSE, COSTS off) SELECT country, sum(risk.score_transaction('plain', p)) FROM payment AS p GROUP BY country;
EXPLAIN (VERBOSE, COSTS off) SELECT id FROM payment AS p WHERE risk.score_transaction('plain', p) > 5 AND hour > 3;

-- the same rows and scores
SELECT s.*, query FROM unnest(ARRAY[
	$$ SELECT id, risk.score_transaction('plain', p) FROM payment AS p $$,
	$$ SELECT note, country, amount, risk.score_transaction('plain', p, 'v2'), id FROM payment AS p $$,
	$$ SELECT id, ctid, tableoid::regclass, risk.score_transaction('plain', p) * 2, note || risk.score_transaction('plain', p)::text FROM payment AS p $$,
	$$ SELECT risk.score_transaction('plain', p, 'v1') - risk.score_transaction('plain', p, 'v2') FROM payment AS p $$,
	$$ SELECT risk.score_transaction('plain', p) FROM payment AS p $$,
	$$ SELECT id, hour, risk.score_transaction('plain', p) FROM payment AS p WHERE amount > 500 $$,
	$$ SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE risk.score_transaction('plain', p) > 5 AND amount > 500 $$,
	$$ SELECT id FROM payment AS p WHERE risk.score_transaction('plain', p) > hour $$,
	$$ SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p ORDER BY s DESC, id LIMIT 5 $$,
	$$ SELECT sum(risk.score_transaction('plain', p)), max(risk.score_transaction('plain', p, 'v2')), count(*), count(DISTINCT risk.score_transaction('plain', p)), max(note) FROM payment AS p $$,
	$$ SELECT count(DISTINCT risk.score_transaction('plain', p)) FROM payment AS p $$,
	$$ SELECT country, count(DISTINCT risk.score_transaction('plain', p)), max(risk.score_transaction('plain', p, 'v2')), array_agg(id ORDER BY risk.score_transaction('plain', p), id) FROM payment AS p GROUP BY 1 $$,
	$$ SELECT country, hour, sum(risk.score_transaction('plain', p)) FROM payment AS p GROUP BY 1, 2 HAVING max(risk.score_transaction('plain', p)) > 7 $$,
	$$ SELECT g, (SELECT sum(risk.score_transaction('plain', p)) FROM payment AS p WHERE p.id > g * 1000) FROM generate_series(0, 2) AS g $$,
	$$ SELECT a.id, b.s FROM payment AS a JOIN (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p OFFSET 0) AS b ON a.id = b.id + 1 $$,
	$$ SELECT risk.score_transaction('plain', p) FROM payment AS p WHERE hour = 3 UNION ALL SELECT risk.score_transaction('plain', p) FROM payment AS p WHERE hour = 4 $$,
	$$ SELECT id, risk.score_transaction('plain', p), CASE WHEN hour > 5 THEN risk.score_transaction('plain', p) END FROM payment AS p $$,
	-- not made for every row, or on more than the columns
	$$ SELECT id, CASE WHEN hour > 5 THEN risk.score_transaction('plain', p) END FROM payment AS p $$,
	$$ SELECT coalesce(score, risk.score_transaction('plain', p)) FROM payment AS p $$,
	$$ SELECT id FROM payment AS p WHERE hour < 5 OR risk.score_transaction('plain', p) > 5 $$,
	$$ SELECT id, risk.score_transaction('plain', p, 'v2') FROM payment AS p WHERE risk.score_transaction('plain', p) > 5 $$,
	$$ SELECT sum(risk.score_transaction('plain', p)) FILTER (WHERE hour > 5) FROM payment AS p $$,
	$$ SELECT p, risk.score_transaction('plain', p) FROM payment AS p $$,
	$$ SELECT id, risk.score_transaction('plain', p) FROM payment AS p WHERE id > -random() $$,
	$$ SELECT risk.score_transaction(country, p) FROM payment AS p WHERE country = 'plain' $$,
	-- few of the rows may be wanted
	$$ SELECT id, risk.score_transaction('plain', p) FROM payment AS p LIMIT 7 $$,
	$$ SELECT EXISTS (SELECT risk.score_transaction('plain', p) AS s FROM payment AS p OFFSET 3) $$,
	$$ SELECT id, risk.score_transaction('plain', p) FROM payment AS p WHERE id = 77 $$]) WITH ORDINALITY AS q (query, n), same(query) AS s ORDER BY n;

-- rows that are read again
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT s.*, query FROM unnest(ARRAY[
	$$ SELECT g, s FROM generate_series(1, 3) AS g LEFT JOIN LATERAL (SELECT sum(risk.score_transaction('plain', p)) AS s FROM payment AS p WHERE p.id > g * 1000) AS s ON true $$,
	$$ SELECT g, id, s FROM generate_series(1, 3) AS g LEFT JOIN LATERAL (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE p.id > g * 1000 OFFSET 0) AS s ON s.id < 2000 $$]) AS query, same(query) AS s;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- rows that subqueries make
CREATE TABLE rate AS SELECT c AS country, i AS factor FROM unnest('{FR,KP,ZZ}'::text[]) WITH ORDINALITY AS c (c, i);
ANALYZE rate;
EXPLAIN (COSTS off) SELECT id, risk.score_transaction('plain', s) + hour AS s FROM (SELECT id, amount * 2 AS amount, hour, country FROM payment) AS s;
EXPLAIN (COSTS off) SELECT country, sum(risk.score_transaction('plain', s)) FROM (SELECT hour, country, amount FROM payment) AS s GROUP BY 1;
SELECT s.*, query FROM unnest(ARRAY[
	$$ SELECT id, risk.score_transaction('plain', s) FROM (SELECT id, amount * 2 AS amount, hour, country FROM payment) AS s $$,
	$$ SELECT country, id * 2, risk.score_transaction('plain', s) + hour + risk.score_transaction('plain', s, 'v2') FROM (SELECT * FROM payment) AS s $$,
	$$ SELECT s.id, s.factor, risk.score_transaction('plain', s) FROM (SELECT p.id, p.note, amount * factor AS amount, hour, country, factor FROM payment AS p JOIN rate USING (country)) AS s $$,
	$$ SELECT p.id, s.factor, risk.score_transaction('plain', s, 'v2') FROM payment AS p LEFT JOIN (SELECT r.country, factor, factor * 100 AS amount FROM rate AS r) AS s USING (country) $$,
	$$ SELECT sum(risk.score_transaction('plain', s)), max(risk.score_transaction('plain', s, 'v2')), count(*) FROM (SELECT amount * 2 AS amount, hour, country FROM payment) AS s $$,
	$$ SELECT country, hour, sum(risk.score_transaction('plain', s)), max(amount) FROM (SELECT hour, country, amount FROM payment) AS s GROUP BY 1, 2 $$,
	$$ SELECT country, sum(risk.score_transaction('plain', s)), count(s) FROM (SELECT p.*, factor FROM payment AS p JOIN rate USING (country)) AS s GROUP BY 1 $$,
	$$ SELECT sum(risk.score_transaction('plain', ROW(id, amount, hour, country, note, 0)::payment)) FROM payment $$,
	$$ SELECT risk.score_transaction('plain', s), risk.score_transaction('plain', t) FROM (SELECT hour, country, 5 AS amount FROM payment) AS s, LATERAL (SELECT s.hour, s.country, 7 AS amount) AS t $$,
	$$ SELECT id, CASE WHEN hour > 5 THEN risk.score_transaction('plain', s) END FROM (SELECT id, amount * 2 AS amount, hour, country FROM payment) AS s $$,
	$$ SELECT id FROM (SELECT id, amount, hour, country FROM payment) AS s WHERE risk.score_transaction('plain', s) > 5 $$,
	$$ SELECT id, risk.score_transaction('plain', s) FROM (SELECT DISTINCT ON (hour) id, amount, hour, country FROM payment ORDER BY hour, id) AS s $$]) WITH ORDINALITY AS q (query, n), same(query) AS s ORDER BY n;
SELECT risk.score_transaction('plain', s) FROM (SELECT id, hour AS amount, country FROM payment) AS s;
SELECT sum(risk.score_transaction('plain', s)) FROM (SELECT amount::text, hour, country FROM payment) AS s;

-- volatile functions run as often, and in the order, as they would have
CREATE SEQUENCE ticket;
SELECT sum(risk.score_transaction('plain', s.p)) FROM (SELECT p, nextval('ticket') AS n FROM payment AS p) AS s;
SELECT nextval('ticket');
SELECT sum(above - n), sum(score) FROM (SELECT *, nextval('ticket') AS above FROM (SELECT n, risk.score_transaction('plain', s) AS score
	FROM (SELECT n, amount, hour, country FROM (SELECT nextval('ticket') AS n, * FROM payment OFFSET 0) AS o) AS s OFFSET 0) AS s) AS s;
EXPLAIN (COSTS off) SELECT nextval('ticket'), risk.score_transaction('plain', p) FROM payment AS p;
DROP SEQUENCE ticket;
-- calls for groups are not made for rows; those of aggregates are, whatever is made of these
EXPLAIN (VERBOSE, COSTS off) SELECT risk.score_transaction('plain', p), count(*) FROM payment AS p GROUP BY p;
SELECT * FROM same($$ SELECT coalesce(sum(risk.score_transaction('plain', p)), 0), CASE WHEN count(*) > 9 THEN max(risk.score_transaction('plain', p, 'v2')) END FROM payment AS p $$);
-- a LIMIT of sorted groups does not want all rows
BEGIN;
SET LOCAL enable_hashagg = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT hour, max(risk.score_transaction('plain', p)) FROM payment AS p GROUP BY hour ORDER BY hour LIMIT 1;
ROLLBACK;
-- a merge join stops where the other side ends, before a row that fails
CREATE TABLE few AS SELECT i AS id FROM generate_series(1, 10) AS i;
ANALYZE few;
CREATE INDEX payment_id ON payment (id);
CREATE INDEX few_id ON few (id);
BEGIN;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_hashagg = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT count(s) FROM (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE 1 / (id - 60) < 5 ORDER BY id OFFSET 0) AS p WHERE EXISTS (SELECT FROM few WHERE few.id = p.id);
SELECT count(s) FROM (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE 1 / (id - 60) < 5 ORDER BY id OFFSET 0) AS p WHERE EXISTS (SELECT FROM few WHERE few.id = p.id);
ROLLBACK;
-- a hash join stops after one row if there is nothing to join; so does who wants one
BEGIN;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
EXPLAIN (COSTS off) SELECT count(s) FROM (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE 1 / (id - 60) < 5 OFFSET 0) AS p JOIN few USING (id) WHERE few.id + 0 > 10;
SELECT count(s) FROM (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE 1 / (id - 60) < 5 OFFSET 0) AS p JOIN few USING (id) WHERE few.id + 0 > 10;
CREATE FUNCTION each_score() RETURNS SETOF float8 VOLATILE LANGUAGE sql AS $$ SELECT risk.score_transaction('plain', p) FROM payment AS p WHERE 1 / (id - 60) < 5 $$;
SELECT each_score() IS NOT NULL AS scored LIMIT 1;
ROLLBACK;
-- a window function ends with the last row that its condition wants
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_sort = off;
SELECT count(s) FROM (SELECT s, row_number() OVER (ORDER BY id) AS n FROM (SELECT id, risk.score_transaction('plain', p) AS s FROM payment AS p WHERE 1 / (id - 60) < 5 ORDER BY id OFFSET 0) AS p) AS p WHERE n <= 50;
ROLLBACK;
DROP INDEX payment_id;
DROP TABLE few;
-- large values make small blocks
CREATE FUNCTION held() RETURNS numeric STABLE LANGUAGE sql AS $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN ('pg_risk block', 'pg_risk scored rows') $$;
ALTER FUNCTION held() SET work_mem = '4MB';	-- not inlined, which would show that it is volatile
SELECT max(held()) < 20000000 AS bounded, max(held()) > 10000000 AS used, sum(length(w)), sum(score) FROM (
	SELECT w, risk.score_transaction('plain', s) AS score FROM (SELECT repeat('x', 1000000 + id * 0) AS w, amount, hour, country FROM payment WHERE id <= 200) AS s OFFSET 0) AS s;
-- one block at a time is held, however many partitions there are
CREATE TABLE hourly (LIKE payment) PARTITION BY LIST (hour);
DO $$ BEGIN
	FOR hour IN 0..23 LOOP
		EXECUTE format('CREATE TABLE hourly_%s PARTITION OF hourly FOR VALUES IN (%1$s)', hour);
	END LOOP;
END $$;
INSERT INTO hourly SELECT * FROM payment WHERE hour IS NOT NULL;
ANALYZE hourly;
SELECT max(held()) AS by_one, sum(score) IS NOT NULL AS scored FROM (SELECT risk.score_transaction('plain', h) AS score FROM hourly_3 AS h OFFSET 0) AS s \gset
SELECT max(held()) < 3 * :by_one AS bounded, sum(score) IS NOT NULL AS scored FROM (SELECT risk.score_transaction('plain', h) AS score FROM hourly AS h OFFSET 0) AS s;
DROP TABLE hourly;
DROP FUNCTION held();

-- prepared, with the model and the version as parameters
PREPARE study(text, text) AS SELECT sum(risk.score_transaction($1, p, $2)) FROM payment AS p;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS off) EXECUTE study('plain', 'v2');
EXECUTE study('plain', 'v1');
EXECUTE study('plain', NULL);
EXECUTE study('plain', 'v9');
EXECUTE study(NULL, 'v1');
RESET plan_cache_mode;
DEALLOCATE study;

-- partitions, columns dropped and added
CREATE TABLE parted (id int, gone text, country text, hour int, day date) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parted_2 (day date, hour int, id int, gone_too int, country text, gone text);
ALTER TABLE parted_2 DROP gone_too;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
ALTER TABLE parted DROP gone;
INSERT INTO parted SELECT id, country, hour, '2026-01-01'::date + id % 59 FROM payment;
ALTER TABLE parted ADD amount numeric DEFAULT 300;
UPDATE parted SET amount = id % 600 WHERE id % 2 = 0;
ANALYZE parted;
SELECT s.*, query FROM unnest(ARRAY[
	$$ SELECT id, risk.score_transaction('plain', p) FROM parted AS p $$,
	$$ SELECT id, country, day, risk.score_transaction('plain', p), tableoid FROM parted_2 AS p $$,
	$$ SELECT sum(risk.score_transaction('plain', p)) FROM parted AS p $$,
	$$ SELECT country, sum(risk.score_transaction('plain', p)), max(risk.score_transaction('plain', p, 'v2')), min(id) FROM parted AS p GROUP BY 1 $$,
	$$ SELECT count(p), sum(risk.score_transaction('plain', p)), max(risk.score_transaction('plain', p, 'v2')) FROM parted AS p $$,
	$$ SELECT count(p), sum(risk.score_transaction('plain', p)), max(risk.score_transaction('plain', p, 'v2')) FROM payment AS p $$,
	$$ SELECT day, sum(risk.score_transaction('plain', p)) FROM parted_2 AS p GROUP BY 1 $$,
	$$ SELECT id, risk.score_transaction('plain', p) FROM (SELECT id, day, country, hour, amount FROM parted) AS p $$,
	$$ SELECT day, sum(risk.score_transaction('plain', p)), max(hour) FROM (SELECT day, country, hour, amount FROM parted) AS p GROUP BY 1 $$]) AS query, same(query) AS s;
-- a child by inheritance may have a feature that its parent has not
CREATE TABLE ancestor (id int, country text);
CREATE TABLE descendant (amount numeric) INHERITS (ancestor);
INSERT INTO descendant SELECT id, country, amount FROM payment;
ANALYZE descendant;
SELECT risk.score_transaction('plain', a, 'v2') FROM ancestor AS a;
SELECT * FROM same($$ SELECT id, risk.score_transaction('plain', d, 'v2') FROM descendant AS d $$);

-- commands that write
EXPLAIN (COSTS off) UPDATE payment AS p SET score = risk.score_transaction('plain', p) WHERE hour > 2;
UPDATE payment AS p SET score = risk.score_transaction('plain', p) WHERE hour > 2;
INSERT INTO payment SELECT id + 10000, amount, hour, country, note, risk.score_transaction('plain', p) FROM payment AS p;
SELECT count(*), count(score), count(*) FILTER (WHERE score <> risk.score_transaction('plain', p)) AS differing FROM payment AS p;
DELETE FROM payment AS p WHERE id > 10000 AND risk.score_transaction('plain', p) > -100;
SELECT count(*) FROM payment;

-- cursors go row by row, forward and backward
BEGIN;
DECLARE c CURSOR FOR SELECT id, risk.score_transaction('plain', p) FROM payment AS p;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
COMMIT;
-- canaries, logs, fallback scores: the calls as they were written
BEGIN;
SELECT risk.alter_model('plain', log => 'queued');
SELECT scored($$ SELECT risk.score_transaction('plain', p) FROM payment AS p $$);
SET LOCAL pg_risk.log_queries = off;
SELECT scored($$ SELECT risk.score_transaction('plain', p) FROM payment AS p $$);
SELECT risk.start_canary('plain', 'v2', 40);
SELECT * FROM same($$ SELECT id, risk.score_transaction('plain', p) FROM payment AS p $$);
SELECT how FROM same($$ SELECT id, risk.score_transaction('plain', p, 'v1') FROM payment AS p $$);
SELECT count(*) FILTER (WHERE by_route = risk.score_transaction('plain', p.p, 'v2')) BETWEEN 1800 AND 2900 AS by_canary
FROM (SELECT p, risk.score_transaction('plain', p) AS by_route FROM payment AS p) AS p;
ROLLBACK;
BEGIN;
SELECT risk.alter_model('plain', on_missing => 'fallback', fallback_score => 0.25);
SELECT * FROM same($$ SELECT risk.score_transaction('plain', a) FROM descendant AS a $$);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT risk.promote('plain', 'v2');
SELECT count(*) FROM (SELECT risk.score_transaction('plain', p) AS s, risk.score_transaction('plain', p, 'v2') AS s2 FROM payment AS p) AS s WHERE s = s2;
ROLLBACK;

-- errors are those of the calls, and come with the first row
SELECT risk.score_transaction('nosuch', p) FROM payment AS p;
SELECT risk.score_transaction('nosuch', p) FROM payment AS p WHERE amount < 0;
SELECT risk.score_transaction('plain', p, 'v9') FROM payment AS p;
SELECT risk.score_transaction(NULL, p) FROM payment AS p;
SELECT risk.score_transaction('plain', d) FROM descendant AS d;
CREATE ROLE risk_test_blocks;
GRANT USAGE ON SCHEMA public TO risk_test_blocks;
GRANT SELECT ON payment TO risk_test_blocks;
SET ROLE risk_test_blocks;
SELECT sum(risk.score_transaction('plain', p)) FROM payment AS p;
RESET ROLE;
GRANT USAGE ON SCHEMA risk TO risk_test_blocks;
SET ROLE risk_test_blocks;
SELECT sum(risk.score_transaction('plain', p)) FROM payment AS p;
RESET ROLE;
GRANT EXECUTE ON FUNCTION risk.score_transaction TO risk_test_blocks;
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON payment TO risk_test_blocks USING (id <= 1000);
SET ROLE risk_test_blocks;
SELECT count(*) FROM (SELECT id, risk.score_transaction('plain', p) FROM payment AS p OFFSET 0) AS s;
RESET ROLE;
DROP OWNED BY risk_test_blocks;
DROP ROLE risk_test_blocks;
-- a function of the name that is not ours
CREATE FUNCTION score_transaction(model text, transaction payment, version text DEFAULT NULL) RETURNS float8 STABLE LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
SELECT * FROM same($$ SELECT id, score_transaction('plain', p) FROM payment AS p $$);
DROP FUNCTION score_transaction(text, payment, text);

-- in parallel
RESET max_parallel_workers_per_gather;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT sum(risk.score_transaction('plain', p)) FROM payment AS p;
SELECT rows, differing, query FROM unnest(ARRAY[
	$$ SELECT sum(risk.score_transaction('plain', p)), count(*) FROM payment AS p $$,
	$$ SELECT id, note, risk.score_transaction('plain', p) FROM payment AS p WHERE hour > 3 $$,
	$$ SELECT id, risk.score_transaction('plain', p) FROM parted AS p $$,
	$$ SELECT country, sum(risk.score_transaction('plain', s)), max(amount) FROM (SELECT hour, country, amount, factor FROM payment AS p JOIN rate USING (country)) AS s GROUP BY 1 $$,
	$$ SELECT id, note, risk.score_transaction('plain', p) AS s FROM payment AS p ORDER BY s DESC, id LIMIT 10 $$]) AS query, same(query);

DROP TABLE payment, rate, parted, ancestor, descendant;
DROP FUNCTION scored, same;
SELECT risk.drop_model('plain');
