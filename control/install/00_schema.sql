/* control/pg_risk--0.1.0.sql */

-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_risk" to load this file. \quit

-- Every name below is qualified; operators must be PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Whoever can create objects in schema risk can have others run them.
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_namespace AS n
			   WHERE n.nspname = 'risk'
			   AND (EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = n.nspowner
							AND NOT r.rolsuper AND r.rolname <> current_user)
					OR EXISTS (SELECT FROM aclexplode(n.nspacl) AS a
							   WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner))) THEN
		RAISE EXCEPTION 'schema "risk" is there already, and others can create objects in it'
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Drop or rename that schema, or give it to a superuser and revoke CREATE on it.';
	END IF;
END $$;
COMMENT ON SCHEMA risk IS 'pg_risk: transaction risk scores by XGBoost models';

