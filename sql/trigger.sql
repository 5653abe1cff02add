-- The scoring trigger: INSERT of every kind, partitions, column types, wrong use
\set SHOW_CONTEXT never
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{amount,hour}', '[[0, 100, 1, -1, 2], [1, 6, 0, 0.5, -0.5]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('m', 'v2', toy_model('{amount,hour}', '[[0, 100, 1, -10, 20], [1, 6, 0, 0.5, -0.5]]', 'reg:squarederror', base_score => '0'));

CREATE TABLE tx (id int PRIMARY KEY, amount numeric, hour int, risk_score float8, risk_version text);
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'risk_score', 'risk_version');
INSERT INTO tx VALUES (0, 1, 1);
SELECT risk.promote('m', 'v1');
INSERT INTO tx VALUES (1, 50, 3), (2, 100, 12), (3, NULL, NULL);
INSERT INTO tx SELECT 4, 50, 3;
INSERT INTO tx (id, risk_score, risk_version) VALUES (5, 99, 'mine');
COPY tx (id, amount, hour) FROM stdin;
6	50	3
7	100	\N
\.
INSERT INTO tx VALUES (1, 500, 12) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, risk_score = excluded.risk_score;
INSERT INTO tx VALUES (2, 0, 0) ON CONFLICT DO NOTHING;
SELECT risk.promote('m', 'v2');
WITH new AS (INSERT INTO tx VALUES (8, 100, 3) RETURNING *) SELECT * FROM new;
MERGE INTO tx USING (VALUES (9, 1, 1), (8, 1, 1)) AS s (id, amount, hour) ON tx.id = s.id
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.amount, s.hour);
SELECT * FROM tx ORDER BY id;
BEGIN;
SELECT risk.promote('m', 'v1');
INSERT INTO tx VALUES (10, 100, 3) RETURNING *;
ROLLBACK;
INSERT INTO tx VALUES (10, 100, 3) RETURNING *;
DROP TABLE tx;

-- partitions whose columns stand in another order; other types of the two columns
CREATE TABLE tx (id int, amount real, hour int, score real, version varchar(10)) PARTITION BY RANGE (id);
CREATE TABLE tx_1 PARTITION OF tx FOR VALUES FROM (0) TO (10);
CREATE TABLE tx_2 (version varchar(10), gone int, hour int, score real, id int, amount real);
ALTER TABLE tx_2 DROP COLUMN gone;
ALTER TABLE tx ATTACH PARTITION tx_2 FOR VALUES FROM (10) TO (20);
CREATE TRIGGER score BEFORE INSERT OR UPDATE ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version');
INSERT INTO tx (id, amount, hour) SELECT i, i * 10, i FROM generate_series(8, 12) i;
COPY tx (id, amount, hour) FROM stdin;
1	50	3
13	100	\N
\.
UPDATE tx SET amount = 1000 WHERE id = 1;
-- statement after statement that goes to another partition takes no more memory
BEGIN;
DO $$
BEGIN
	FOR i IN 1..1000 LOOP
		INSERT INTO tx (id, amount, hour) VALUES (i % 2 * 10 + 5, i, i);
	END LOOP;
END
$$;
SELECT sum(total_bytes) < 64 * 1024 AS small FROM pg_backend_memory_contexts WHERE name IN ('pg_risk call site', 'pg_risk row type');
ROLLBACK;
ALTER TABLE tx ADD COLUMN late int DEFAULT 1;
INSERT INTO tx (id, amount, hour) VALUES (2, 100, 3), (14, 100, 3);
SELECT tableoid::regclass, id, amount, hour, score, version FROM tx ORDER BY id;
DROP TABLE tx;

CREATE DOMAIN probability AS numeric CHECK (VALUE < 5);
CREATE TABLE tx (amount float8, hour float8, score probability, score_text text);
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
INSERT INTO tx VALUES (50, 3) RETURNING *;
INSERT INTO tx VALUES (500, 3) RETURNING *;
DROP TABLE tx;

-- wherever columns are filled, and whatever else is NULL: a row as it is when it is written whole, at the same place
CREATE FUNCTION differing(columns text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	EXECUTE format('CREATE TABLE written (%s)', columns);
	CREATE TABLE scored (LIKE written INCLUDING DEFAULTS);
	CREATE TRIGGER score BEFORE INSERT ON scored FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version', 'role');
	INSERT INTO scored (id, amount, hour, note, flag) SELECT * FROM sources ORDER BY id;
	INSERT INTO written (id, amount, hour, note, flag, score, version, role)
	SELECT s.*, risk.score_transaction('m', s), 'v2', 'champion' FROM sources AS s ORDER BY id;
	SELECT count(*) FROM scored AS s FULL JOIN written AS w USING (id)
	WHERE s::text IS DISTINCT FROM w::text OR s.ctid IS DISTINCT FROM w.ctid INTO number;
	DROP TABLE scored, written;
	RETURN number;
END $$;
CREATE TABLE sources AS
	SELECT i AS id, CASE WHEN i % 3 > 0 THEN i % 150 END::real AS amount, CASE WHEN i % 5 > 0 THEN i % 24 END::smallint AS hour,
		   CASE WHEN i % 7 > 0 THEN repeat('x', i % 200) END AS note, CASE WHEN i % 11 > 0 THEN i % 2 = 0 END AS flag
	FROM generate_series(1, 3000) AS i;
SELECT differing(columns), columns FROM unnest(ARRAY[
	'id int, more int DEFAULT 7, amount real, hour smallint, note text, flag bool, score float8, version text, role text',
	'id int, amount real, hour smallint, note text, flag bool, more bool DEFAULT true, role text, version text, score float8',
	'flag bool, note text, hour smallint, amount real, id int, version varchar(10), empty int, score real, role text, rest text[]',
	'id int, score float8, amount real, version text, hour smallint, note text, role text, flag bool',
	'amount real, id int, note text, hour smallint, flag bool, role name, score numeric, version "char"',
	'id int, gone int, amount real, hour smallint, note text, flag bool, score float8, version text DEFAULT $$none$$, role char(200)',
	'id int NOT NULL, note text, flag bool, amount real, hour smallint, score float8 DEFAULT 0, role text COLLATE "C", version text']) AS columns;
DROP TABLE sources;
DROP FUNCTION differing;
-- columns that come and go between statements, and triggers of other arguments
CREATE TABLE tx (score float8, amount int, hour int, version text);
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
PREPARE put AS INSERT INTO tx (amount, hour) VALUES (100, 3);
EXECUTE put;
CREATE OR REPLACE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version');
EXECUTE put;
ALTER TABLE tx DROP COLUMN score, ADD COLUMN score real;
EXECUTE put;
SELECT * FROM tx;
DROP TABLE tx;

-- wrong use
SELECT risk.score_on_insert();
CREATE TABLE tx (amount int, hour int, doubled int GENERATED ALWAYS AS (amount * 2) STORED, score float8, flag bool);
CREATE TRIGGER score AFTER INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH STATEMENT EXECUTE FUNCTION risk.score_on_insert('m', 'score');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'score');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'nope');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'doubled');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'flag');
INSERT INTO tx VALUES (1, 1);
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('none', 'score');
INSERT INTO tx VALUES (1, 1);
ALTER TABLE tx DROP COLUMN doubled;
ALTER TABLE tx RENAME hour TO hours;
DROP TRIGGER score ON tx;
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score');
INSERT INTO tx VALUES (1, 1);
ALTER TABLE tx ADD COLUMN hour int GENERATED ALWAYS AS (hours) STORED;
INSERT INTO tx VALUES (1, 1);
SELECT count(*) FROM tx;
DROP TABLE tx;
SELECT risk.drop_model('m');
