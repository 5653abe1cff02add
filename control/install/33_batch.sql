-- ---------------------------------------------------------------------------
-- Scores of whole tables.  SECURITY INVOKER: the source is read as the caller.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.score_batch(
	model text, source text, version text DEFAULT NULL, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, score float8)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 1000000 ROWS 100000
	AS 'MODULE_PATHNAME', 'risk_score_batch';
COMMENT ON FUNCTION risk.score_batch(text, text, text, text) IS
	'Scores of all rows of a table or query, by the model''s champion or by the version named: those of risk.score_transaction(). id_column identifies the rows; NULL: the model''s entity_id. The source is read with the caller''s rights, and may only read. No canary, no fallback score, nothing is logged. Errors: those of risk.score_transaction(), and 42703 no such id_column, 42601 source is not one query, 25006 or 0A000 it writes.';

CREATE FUNCTION risk.score_versions(
	model text, version_a text, version_b text, source text, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, score_a float8, score_b float8)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 1000000 ROWS 100000
	AS 'MODULE_PATHNAME', 'risk_score_versions';
COMMENT ON FUNCTION risk.score_versions(text, text, text, text, text) IS
	'Scores of all rows of a table or query by two versions, in one pass; a version NULL is the champion. Otherwise as risk.score_batch().';

CREATE FUNCTION risk.contributions_batch(
	model text, source text, version text DEFAULT NULL, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, contributions float8[])
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 1000000 ROWS 100000
	AS 'MODULE_PATHNAME', 'risk_contributions_batch';
COMMENT ON FUNCTION risk.contributions_batch(text, text, text, text) IS
	'What each feature adds to the margins of all rows of a table or query: those of risk.contributions(). Otherwise as risk.score_batch(); 0A000 the artifact has no covers.';

CREATE FUNCTION risk.explain_batch(
	model text, source text, version text DEFAULT NULL, top integer DEFAULT 5, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, score float8, reasons jsonb)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 1000000 ROWS 100000
	AS 'MODULE_PATHNAME', 'risk_explain_batch';
COMMENT ON FUNCTION risk.explain_batch(text, text, text, integer, text) IS
	'Scores of all rows of a table or query and their top reasons, as the scoring trigger stores them: an array, greatest first, of objects with the columns of risk.explain_transaction(). Otherwise as risk.score_batch(); 0A000 the artifact has no covers.';

CREATE FUNCTION risk.explain_versions(
	model text, version_a text, version_b text, source text, entities text[], top integer DEFAULT 5, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, score_a float8, reasons_a jsonb, score_b float8, reasons_b jsonb)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 1000000 ROWS 10
	AS 'MODULE_PATHNAME', 'risk_explain_versions';
COMMENT ON FUNCTION risk.explain_versions(text, text, text, text, text[], integer, text) IS
	'Scores by two versions, and their top reasons, of the rows of a table or query that are of these entities; reasons are NULL of a version that cannot be explained. A version NULL is the champion. Otherwise as risk.explain_batch().';

CREATE FUNCTION risk.version_kernel(model text, version text DEFAULT NULL) RETURNS text
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'risk_version_kernel';
COMMENT ON FUNCTION risk.version_kernel(text, text) IS
	'What adds up the trees of a version, or of the champion, in this session: see pg_risk.kernel. Errors: 42704 no such model or version, 55000 no champion.';

CREATE FUNCTION risk.batch_calls(
	OUT pid int, OUT role oid, OUT version_id bigint, OUT other_version_id bigint, OUT started_at timestamptz, OUT rows bigint)
	RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_batch_calls';
COMMENT ON FUNCTION risk.batch_calls() IS 'What risk.batch_progress shows';

CREATE VIEW risk.batch_progress AS
	SELECT c.pid, pg_get_userbyid(c.role) AS usename, v.model, v.version, o.version AS other_version, c.started_at, c.rows
	FROM risk.batch_calls() AS c
	LEFT JOIN risk.model_versions AS v ON v.version_id = c.version_id
	LEFT JOIN risk.model_versions AS o ON o.version_id = c.other_version_id;
COMMENT ON VIEW risk.batch_progress IS
	'Calls in this database that are scoring a table or query, and how many rows each has scored; at most 64 of the server''s are shown';
