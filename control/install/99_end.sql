-- Nothing here is for everybody: docs/reference.md has the GRANTs for the
-- analyst, service and admin roles.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA risk FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA risk FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA risk FROM PUBLIC;

-- But for the conditions of triggers, which whoever changes a table evaluates.
GRANT EXECUTE ON FUNCTION risk.is_late(oid, timestamptz), risk.is_late(oid, timestamp), risk.is_late(oid, date) TO PUBLIC;

-- Columns of a view that are those of the table behind it have the same comments, where they have none.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT v.attrelid::regclass AS view, v.attname, col_description(t.attrelid, t.attnum) AS comment
		FROM (VALUES ('risk.models', 'risk.model_definitions'), ('risk.model_versions_info', 'risk.model_versions'),
					 ('risk.model_versions_info', 'risk.model_roles'), ('risk.rolling_features_info', 'risk.rolling_sets'),
					 ('risk.rolling_features_info', 'risk.rolling_features'), ('risk.paired_predictions', 'risk.predictions'),
					 ('risk.current_labels', 'risk.labels'), ('risk.rollout_status', 'risk.rollouts'),
					 ('risk.open_alerts', 'risk.alerts')) AS behind (view_name, table_name)
		JOIN pg_attribute AS v ON v.attrelid = view_name::regclass
		JOIN pg_attribute AS t ON t.attrelid = table_name::regclass AND t.attname = v.attname
		WHERE v.attnum > 0 AND t.attnum > 0
		AND col_description(v.attrelid, v.attnum) IS NULL AND col_description(t.attrelid, t.attnum) IS NOT NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, c.comment);
	END LOOP;
END $$;

-- Tell the worker that this database has the extension now.
CREATE FUNCTION risk.wake_worker() RETURNS void
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'risk_wake_worker';
COMMENT ON FUNCTION risk.wake_worker() IS
	'Have the background worker look at this database when the transaction commits: it loads the versions that have a role';
REVOKE ALL ON FUNCTION risk.wake_worker() FROM PUBLIC;
SELECT risk.wake_worker();
