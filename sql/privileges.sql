-- Who may do what; search_path attacks; what every object of the extension must have
\set SHOW_CONTEXT never
CREATE ROLE risk_test_nobody;
CREATE ROLE risk_test_analyst;
CREATE ROLE risk_test_admin;
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{a}', '[[0, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('m', 'v1');

-- by default: nothing
SET ROLE risk_test_nobody;
SELECT risk.score_transaction('m', '{1}'::real[]);
RESET ROLE;
GRANT USAGE ON SCHEMA risk TO PUBLIC;
SET ROLE risk_test_nobody;
SELECT risk.score_transaction('m', '{1}'::real[]);
SELECT risk.promote('m', 'v1');
SELECT risk.import_artifact('x', NULL, false);
SELECT * FROM risk.models;
RESET ROLE;
SELECT oid::regprocedure::text AS public_can_execute FROM pg_proc WHERE pronamespace = 'risk'::regnamespace AND has_function_privilege('risk_test_nobody', oid, 'EXECUTE') ORDER BY oid::regprocedure::text COLLATE "C";
SELECT count(*) AS public_can_touch FROM pg_class WHERE relnamespace = 'risk'::regnamespace AND relkind IN ('r', 'v')
	AND has_table_privilege('risk_test_nobody', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');

-- what others' tables run while a superuser maintains them is not the superuser's
GRANT CREATE ON SCHEMA public TO risk_test_analyst;
GRANT EXECUTE ON FUNCTION risk.calling_role TO risk_test_analyst;
SET ROLE risk_test_analyst;
SELECT risk.calling_role();
CREATE FUNCTION call_it(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM risk.calling_role(); RETURN $1; END $$;
CREATE TABLE trap (i int);
CREATE INDEX ON trap (call_it(i));
INSERT INTO trap VALUES (1);
RESET ROLE;
REINDEX TABLE trap;
DROP TABLE trap;
DROP FUNCTION call_it;
REVOKE CREATE ON SCHEMA public FROM risk_test_analyst;

-- an analyst scores and looks; an admin moves versions without owning a table
GRANT EXECUTE ON FUNCTION risk.score_transaction, risk.score_margin, risk.score_vector TO risk_test_analyst;
GRANT SELECT ON risk.models TO risk_test_analyst;
SET ROLE risk_test_analyst;
SELECT risk.score_transaction('m', '{1}'::real[]), (SELECT champion FROM risk.models);
SELECT risk.promote('m', 'v1');
SELECT * FROM risk.model_versions;
RESET ROLE;
GRANT EXECUTE ON FUNCTION risk.register_model, risk.promote, risk.create_model TO risk_test_admin;
SET ROLE risk_test_admin;
SELECT 1 FROM risk.register_model('m', 'v2', toy_model('{a}', '[[0, 0, 1, -2, 2]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('m', 'v2');
DELETE FROM risk.model_roles;
RESET ROLE;

-- a search_path full of traps
CREATE SCHEMA trap;
CREATE FUNCTION trap.sha256(bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
CREATE TABLE public.artifact AS SELECT toy_model('{a}', '[[0, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0') AS bytes;
CREATE TABLE trap.model_roles (model text, role text, version_id bigint);
SET search_path = trap, pg_catalog, public;
SELECT risk.create_model('n');
SELECT 1 FROM risk.register_model('n', 'v1', (SELECT bytes FROM public.artifact), categories => '{}');
SELECT risk.promote('n', 'v1');
SELECT risk.score_transaction('n', '{1}'::real[]);
SELECT risk.drop_model('n');
SELECT model, champion FROM risk.models;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA trap CASCADE;
RESET client_min_messages;
DROP TABLE artifact;

-- every object is described; what runs as its owner pins its search_path; nothing that writes is callable in parallel
SELECT p.oid::regprocedure AS undescribed FROM pg_proc p WHERE pronamespace = 'risk'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass AS undescribed FROM pg_class c WHERE relnamespace = 'risk'::regnamespace AND relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL;
SELECT string_agg(attname, ' ' ORDER BY attnum) AS undescribed FROM pg_attribute WHERE attrelid = 'risk.models'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;
SELECT p.oid::regprocedure AS unpinned FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'risk'::regnamespace
	AND prokind NOT IN ('a', 'p') AND lanname <> 'c' AND prosqlbody IS NULL AND NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false);
SELECT proname, provolatile, proparallel, proisstrict FROM pg_proc WHERE pronamespace = 'risk'::regnamespace AND proname LIKE 'score%' ORDER BY 1;

REVOKE USAGE ON SCHEMA risk FROM PUBLIC;
SELECT risk.drop_model('m');

-- a schema that somebody else has prepared is not taken
DROP EXTENSION pg_risk;
DROP SCHEMA risk;
CREATE SCHEMA risk AUTHORIZATION risk_test_nobody;
CREATE EXTENSION pg_risk;
ALTER SCHEMA risk OWNER TO CURRENT_USER;
GRANT CREATE ON SCHEMA risk TO risk_test_nobody;
CREATE EXTENSION pg_risk;
REVOKE CREATE ON SCHEMA risk FROM risk_test_nobody;
CREATE EXTENSION pg_risk;
DROP OWNED BY risk_test_analyst, risk_test_admin;
DROP ROLE risk_test_nobody, risk_test_analyst, risk_test_admin;
