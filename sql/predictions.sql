-- The prediction log: what the trigger writes, who decides, errors that fail nobody
\set SHOW_CONTEXT never
SELECT risk.create_model('m', entity_id => 'id', event_time => 'at', cohorts => '{country}', log => 'transactional');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{amount,hour}', '[[0, 100, 1, -1, 2], [1, 6, 0, 0.5, -0.5]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('m', 'v2', toy_model('{amount,hour}', '[[0, 100, 1, -10, 20], [1, 6, 0, 0.5, -0.5]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('m', 'v3', toy_model('{amount,extra}', '[[0, 100, 1, -10, 20], [1, 6, 0, 0.5, -0.5]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('m', 'v1');
SELECT risk.start_canary('m', 'v2', 40);
SELECT risk.start_shadow('m', 'v3');
SELECT risk.alter_model('m', log_features => 'full', bands => '{"approve": -100, "review": 0, "decline": 10}');
CREATE TABLE tx (id bigint, at timestamptz, country text, amount numeric, hour int, score float8, version text, role text);
CREATE TRIGGER score BEFORE INSERT ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('m', 'score', 'version', 'role');
CREATE VIEW salt AS SELECT salt FROM risk.model_roles WHERE role = 'canary';

-- a writer needs no right on the log; what is rolled back leaves nothing there
CREATE ROLE risk_test_writer;
GRANT INSERT ON tx TO risk_test_writer;
SET ROLE risk_test_writer;
INSERT INTO tx SELECT i, '2026-01-01 00:00+00', 'C' || i % 2, i * 7 % 200, i % 24 FROM generate_series(1, 200) AS i;
RESET ROLE;
BEGIN;
INSERT INTO tx VALUES (1001, now(), 'C0', 1, 1);
SAVEPOINT s;
INSERT INTO tx VALUES (1002, now(), 'C0', 1, 1);
ROLLBACK TO s;
INSERT INTO tx VALUES (1003, now(), 'C0', 1, 1);
COMMIT;
BEGIN;
INSERT INTO tx VALUES (1004, now(), 'C0', 1, 1);
ROLLBACK;
-- each row is there once, with the version that decided, and the champion's score beside
SELECT count(*) AS decided, count(p.version) AS logged, bool_and(p.score = t.score) AS same_score,
	   bool_and(p.champion_score = risk.score_transaction('m', t, p.champion_version)) AS champion_beside,
	   bool_and(p.score = risk.score_transaction('m', t, p.version)) AS by_the_version_named,
	   bool_and(p.features = ARRAY[t.amount, t.hour]::real[] AND p.cohort = jsonb_build_object('country', t.country)
				AND p.event_time = t.at AND p.source = 'trigger') AS rest
FROM tx AS t FULL JOIN (SELECT * FROM risk.predictions WHERE role IN ('champion', 'canary')) AS p
	ON p.entity_id = t.id::text AND p.version = t.version AND p.role = t.role;
-- the canary has the entities below its percentage, and no others
SELECT bool_and((role = 'canary') = (risk.entity_percent(id::text, salt) < 40)) AS its_entities,
	   count(*) FILTER (WHERE role = 'canary') BETWEEN 50 AND 110 AS its_share FROM tx, salt;
-- the shadow lacks a column: its rows say so, and nobody's score failed
SELECT count(*), count(score), min(error) FROM risk.predictions WHERE role = 'shadow';

-- who decides, and what it leads to
SELECT DISTINCT d.role = t.role AND d.version = t.version AND d.score = t.score AND d.margin = t.score AS same,
	   d.action = CASE WHEN t.score >= 10 THEN 'decline' WHEN t.score >= 0 THEN 'review' ELSE 'approve' END AS banded
FROM tx AS t, LATERAL risk.decide_transaction('m', t) AS d;
SELECT * FROM risk.decide_transaction('m', '{"amount": 100, "hour": 3}'::jsonb);
SELECT * FROM risk.decide_transaction('m', NULL::jsonb);
SELECT bool_and(risk.score_margin('m', t) = ARRAY[t.score]) AS margins_follow_the_route FROM tx AS t;

-- a canary that cannot score leaves the decision to the champion
SELECT risk.abort('m'), risk.abort('m', 'v3');
SELECT risk.start_canary('m', 'v3', 100);
INSERT INTO tx VALUES (2001, now(), 'C0', 150, 3) RETURNING score, version, role;
SELECT role, version, score, champion_version, champion_score, error FROM risk.predictions WHERE entity_id = '2001' ORDER BY role;

-- nobody can score: an error, or the declared score, flagged
ALTER TABLE tx RENAME hour TO hours;
INSERT INTO tx VALUES (2002, now(), 'C0', 150, 3);
SELECT risk.alter_model('m', on_missing => 'fallback', fallback_score => 0.75);
INSERT INTO tx VALUES (2003, now(), 'C0', 150, 3) RETURNING score, version, role;
SELECT role, version, score, champion_score, error FROM risk.predictions WHERE entity_id IN ('2002', '2003') ORDER BY role;
SELECT risk.alter_model('m', log => 'off');
SELECT risk.abort('m');
SELECT risk.alter_model('m', log => 'off', on_missing => 'error');
ALTER TABLE tx RENAME hours TO hour;
INSERT INTO tx VALUES (2004, now(), 'C0', 150, 3) RETURNING score, version, role;
SELECT count(*) AS logged FROM risk.predictions WHERE entity_id = '2004';

SELECT count(*) AS days_ahead FROM risk.prediction_partitions() WHERE day > (now() AT TIME ZONE 'UTC')::date;
-- a partition is its day in UTC, whoever makes it
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Shanghai';
SELECT risk.create_partition('04/03/2047');
SET datestyle = 'ISO';
SET timezone = 'UTC';
SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'risk.predictions_20470304'::regclass;
RESET datestyle;
RESET timezone;
DROP TABLE risk.predictions_20470304;
DROP VIEW salt;
DROP TABLE tx;
DROP ROLE risk_test_writer;
SELECT risk.drop_model('m');
