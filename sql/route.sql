-- Who is champion: transactional, and seen at once by everything that scores
\set SHOW_CONTEXT never
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{a}', '[[0, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('m', 'v2', toy_model('{a}', '[[0, 0, 1, -2, 2]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('m', 'v1');
PREPARE score AS SELECT risk.score_transaction('m', '{"a": 1}'::jsonb);
EXECUTE score;

-- inside the transaction, undone by ROLLBACK and by ROLLBACK TO
BEGIN;
EXECUTE score;
SAVEPOINT s;
SELECT risk.promote('m', 'v2');
EXECUTE score;
ROLLBACK TO s;
EXECUTE score;
SELECT risk.promote('m', 'v2');
EXECUTE score;
ROLLBACK;
EXECUTE score;
BEGIN;
SELECT risk.promote('m', 'v2');
COMMIT;
EXECUTE score;
SELECT risk.promote('m', 'v1');
EXECUTE score;

-- one expression of a function, evaluated again and again
DO $$
DECLARE
	s float8;
BEGIN
	FOR i IN 1 .. 4 LOOP
		BEGIN
			s := risk.score_transaction('m', '{"a": 1}'::jsonb);
			RAISE NOTICE 'before %', s;
			PERFORM risk.promote('m', CASE WHEN i % 2 = 0 THEN 'v1' ELSE 'v2' END);
			s := risk.score_transaction('m', '{"a": 1}'::jsonb);
			RAISE NOTICE 'after %', s;
			IF i = 3 THEN
				RAISE EXCEPTION 'undone';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			RAISE NOTICE 'undone: %', risk.score_transaction('m', '{"a": 1}'::jsonb);
		END;
	END LOOP;
END $$;
CREATE FUNCTION score_now() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RETURN risk.score_transaction('m', '{"a": 1}'::jsonb); END $$;
SELECT score_now();
BEGIN;
SELECT score_now(), risk.promote('m', 'v2'), score_now();
SELECT score_now();
SELECT risk.promote('m', 'v1');
SELECT score_now();
ROLLBACK;
SELECT score_now();

-- a change is seen by its own statement's functions, and leaves nothing behind when it fails
UPDATE risk.model_roles AS r SET version_id = v.version_id FROM risk.model_versions AS v
WHERE r.model = 'm' AND v.model = 'm' AND v.version = 'v2' RETURNING score_now() / (score_now() - 2);
SELECT score_now();

-- a statement keeps the route that it began with
BEGIN;
DECLARE c CURSOR FOR SELECT risk.score_transaction('m', '{"a": 1}'::jsonb) FROM generate_series(1, 3);
FETCH c;
SELECT risk.promote('m', 'v2');
FETCH c;
SELECT risk.score_transaction('m', '{"a": 1}'::jsonb);
FETCH c;
COMMIT;

-- read only, repeatable read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
EXECUTE score;
SELECT risk.promote('m', 'v1');
ROLLBACK;

-- what a call has found out is kept for the next statement, as long as it is so
SELECT risk.create_model('kept', entity_id => 'id');
SELECT 1 FROM risk.register_model('kept', 'v1', toy_model('{a}', '[[0, 0, 1, -1, 1]]')) UNION ALL
SELECT 1 FROM risk.register_model('kept', 'v2', toy_model('{a}', '[[0, 0, 1, -2, 2]]'));
SELECT risk.promote('kept', 'v1'), risk.alter_model('kept', log => 'queued'), risk.start_canary('kept', 'v2', 50);
CREATE TABLE kept AS SELECT i::text AS id, 1 AS a FROM generate_series(1, 30) AS i;
PREPARE chosen AS SELECT bool_and(((risk.decide_transaction('kept', k)).role = 'canary') = (risk.entity_percent(k.id, r.salt) < r.percent)) AS rightly
FROM kept AS k, risk.model_roles AS r WHERE r.model = 'kept' AND r.role = 'canary';
EXECUTE chosen;
EXECUTE chosen;
ALTER TABLE kept RENAME id TO old;
ALTER TABLE kept ADD COLUMN id text;
UPDATE kept SET id = 'other ' || old;
EXECUTE chosen;
ALTER TABLE kept DROP COLUMN old;
EXECUTE chosen;
ALTER TABLE kept ALTER id TYPE name;
EXECUTE chosen;
SELECT risk.set_canary('kept', 90);
EXECUTE chosen;
PREPARE logged AS SELECT queued FROM risk.queue_status WHERE model = 'kept';
EXECUTE chosen;
EXECUTE logged;
SET pg_risk.log_queries = off;
EXECUTE chosen;
EXECUTE logged;
RESET pg_risk.log_queries;
EXECUTE chosen;
EXECUTE logged;
SELECT risk.alter_model('kept', on_missing => 'fallback', fallback_score => 0.5);
SELECT risk.score_transaction('kept', '{"b": 1}'::jsonb);
SELECT risk.score_transaction('kept', '{"b": 1}'::jsonb);
DEALLOCATE chosen;
DEALLOCATE logged;
DROP TABLE kept;
SELECT risk.drop_model('kept');

-- a transaction that drops the version it scores with
BEGIN;
SELECT risk.score_transaction('m', '{"a": 1}'::jsonb, 'v1');
SELECT risk.promote('m', 'v2');
SELECT risk.drop_version('m', 'v1');
SELECT risk.score_transaction('m', '{"a": 1}'::jsonb, 'v1');
ROLLBACK;
SELECT risk.score_transaction('m', '{"a": 1}'::jsonb, 'v1');
DROP FUNCTION score_now();
SELECT risk.drop_model('m');
EXECUTE score;
DEALLOCATE score;
