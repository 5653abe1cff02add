-- ---------------------------------------------------------------------------
-- Two versions over the same rows, before any of them is live.  SECURITY
-- INVOKER, and no search_path of their own: the source is read as the caller
-- would read it.  Bodies in SQL are parsed here and now, so no search_path can
-- change what they call.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.decision_threshold(model text) RETURNS float8
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM risk.require_model(model);
	RETURN (SELECT d.decision_threshold FROM risk.model_definitions AS d WHERE d.model = model);
END $$;
COMMENT ON FUNCTION risk.decision_threshold(text) IS
	'The score from which on a model''s transactions are flagged. Errors: 42704 no such model.';

CREATE FUNCTION risk.compare_versions(
	model text, version_a text, version_b text, source text, threshold float8 DEFAULT NULL)
	RETURNS TABLE (metric text, a float8, b float8, difference float8)
	LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 17
BEGIN ATOMIC
	WITH setting AS MATERIALIZED (
		SELECT coalesce(threshold, risk.decision_threshold(model)) AS threshold
	), compared AS (
		SELECT risk.measure_pairs(s.b, s.a, NULL, NULL, NULL, NULL, NULL, setting.threshold, NULL, NULL) AS m,
			   corr(s.a, s.b) AS correlation,
			   count(s.a) AS scored_a, count(s.b) AS scored_b,
			   count(*) FILTER (WHERE s.a >= setting.threshold AND s.b < setting.threshold) AS only_a,
			   count(*) FILTER (WHERE s.b >= setting.threshold AND s.a < setting.threshold) AS only_b
		FROM setting, (SELECT nullif(score_a, 'NaN') AS a, nullif(score_b, 'NaN') AS b
					   FROM risk.score_versions(model, version_a, version_b, source, id_column => NULL)) AS s
	)
	SELECT f.metric, f.a, f.b, coalesce(f.together, f.b - f.a)
	FROM compared, LATERAL (SELECT (m).*) AS m, LATERAL (VALUES
		('rows', scored_a, scored_b, NULL::float8),
		('flagged_per_1000', m.champion_flagged_per_1000, m.flagged_per_1000, NULL),
		('flagged_by_one_alone', only_a, only_b, NULL),
		('agreement_rate', NULL, NULL, m.agreement_rate),
		('mcnemar_p', NULL, NULL, m.mcnemar_p),
		('correlation', NULL, NULL, correlation),
		('score_mean', m.champion_score_mean, m.score_mean, m.mean_shift),
		('score_p01', m.champion_score_p01, m.score_p01, NULL),
		('score_p05', m.champion_score_p05, m.score_p05, NULL),
		('score_p25', m.champion_score_p25, m.score_p25, NULL),
		('score_p50', m.champion_score_p50, m.score_p50, NULL),
		('score_p75', m.champion_score_p75, m.score_p75, NULL),
		('score_p95', m.champion_score_p95, m.score_p95, NULL),
		('score_p99', m.champion_score_p99, m.score_p99, NULL),
		('psi', NULL, NULL, m.psi),
		('ks', NULL, NULL, m.ks)) AS f (metric, a, b, together);
END;
COMMENT ON FUNCTION risk.compare_versions(text, text, text, text, float8) IS
	'Two versions over the rows of a table or query, in one pass: figures of each and their difference (b - a); figures of both together stand in difference alone. Flagged: a score of threshold or more; NULL: the model''s decision_threshold. Otherwise as risk.score_versions().';

CREATE FUNCTION risk.largest_movers(
	model text, version_a text, version_b text, source text, top int DEFAULT 10, id_column text DEFAULT NULL)
	RETURNS TABLE (entity_id text, score_a float8, score_b float8, difference float8, reasons_a jsonb, reasons_b jsonb)
	LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
	WITH movers AS MATERIALIZED (
		SELECT s.entity_id, s.score_a, s.score_b, s.score_b - s.score_a AS difference
		FROM risk.score_versions(model, version_a, version_b, source, id_column) AS s
		WHERE s.score_a <> s.score_b
		ORDER BY abs(s.score_b - s.score_a) DESC, s.entity_id COLLATE "C"
		LIMIT top
	)
	SELECT m.entity_id, m.score_a, m.score_b, m.difference, r.reasons_a, r.reasons_b
	FROM movers AS m LEFT JOIN (
		SELECT DISTINCT ON (e.entity_id, e.score_a, e.score_b) e.*
		FROM risk.explain_versions(model, version_a, version_b, source,
			(SELECT array_agg(movers.entity_id) FROM movers), 5, id_column) AS e
	) AS r ON (r.entity_id, r.score_a, r.score_b) = (m.entity_id, m.score_a, m.score_b)
	ORDER BY abs(m.difference) DESC, m.entity_id COLLATE "C";
END;
COMMENT ON FUNCTION risk.largest_movers(text, text, text, text, int, text) IS
	'Rows of a table or query whose scores by two versions differ most; difference: b - a; the top reasons of each version, NULL of a row without an id and of a version that cannot be explained. The source is read twice, the second time for these rows'' reasons. Otherwise as risk.score_versions().';
