-- Nothing here is for everybody: docs/reference.md has the GRANTs for the
-- analyst, service and admin roles.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA risk FROM PUBLIC;
REVOKE ALL ON ALL PROCEDURES IN SCHEMA risk FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA risk FROM PUBLIC;

-- But for the conditions of triggers, which whoever changes a table evaluates.
GRANT EXECUTE ON FUNCTION risk.is_late(oid, timestamptz), risk.is_late(oid, timestamp) TO PUBLIC;

-- Tell the worker that this database has the extension now.
CREATE FUNCTION risk.wake_worker() RETURNS void
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'risk_wake_worker';
COMMENT ON FUNCTION risk.wake_worker() IS
	'Have the background worker look at this database when the transaction commits: it loads the versions that have a role';
REVOKE ALL ON FUNCTION risk.wake_worker() FROM PUBLIC;
SELECT risk.wake_worker();
