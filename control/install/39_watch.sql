-- ---------------------------------------------------------------------------
-- What backends remember of tables is forgotten, and the worker is woken, when
-- a change of these tables commits; whoever makes it.  For rows that logical
-- replication applies, only row triggers fire.  Models and roles: before the
-- change, since the transaction itself may see it before the statement ends.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.catalog_changed() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'risk_catalog_changed';
COMMENT ON FUNCTION risk.catalog_changed() IS
	'Trigger of the catalog tables: invalidates what backends remember and wakes the worker at COMMIT';

DO $$
DECLARE
	w record;
BEGIN
	FOR w IN
		SELECT t.name, t.moment, c.*, t.why
		FROM (VALUES
			('model_versions', 'AFTER', 'UPDATE OR DELETE', 'Has all processes forget what they remember about versions'),
			('model_roles', 'BEFORE', 'INSERT OR UPDATE OR DELETE', 'Has all processes read the roles again, and wakes the worker at COMMIT'),
			('model_definitions', 'BEFORE', 'UPDATE OR DELETE', 'Has all processes read the settings again'),
			('rolling_sets', 'AFTER', 'INSERT OR UPDATE OR DELETE', 'Has all processes forget what they remember about rolling features'),
			('rolling_features', 'AFTER', 'INSERT OR UPDATE OR DELETE', 'Has all processes forget what they remember about rolling features'),
			('rolling_tilings', 'AFTER', 'INSERT OR UPDATE OR DELETE', 'Has all processes forget what they remember about tiles')
			) AS t (name, moment, changes, why),
			LATERAL (VALUES ('catalog_changed', t.changes, 'ROW'), ('catalog_truncated', 'TRUNCATE', 'STATEMENT')) AS c (trigger, event, level)
	LOOP
		EXECUTE format('CREATE TRIGGER %s %s %s ON risk.%s FOR EACH %s EXECUTE FUNCTION risk.catalog_changed()',
					   w.trigger, w.moment, w.event, w.name, w.level);
		EXECUTE format('ALTER TABLE risk.%s ENABLE ALWAYS TRIGGER %s', w.name, w.trigger);
		EXECUTE format('COMMENT ON TRIGGER %s ON risk.%s IS %L', w.trigger, w.name, w.why);
	END LOOP;
END $$;
