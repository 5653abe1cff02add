-- ---------------------------------------------------------------------------
-- Measures: what is known about a version, beside the champion on the same
-- transactions.  src/measure has the yardsticks and their sources.
-- ---------------------------------------------------------------------------

CREATE TYPE risk.measures AS (
	champion_version					text,
	since								timestamptz,
	until								timestamptz,
	transactions						bigint,
	pairs								bigint,
	errors								bigint,
	error_rate							float8,
	error_rate_low						float8,
	error_rate_high						float8,
	null_rate							float8,
	decision_flips						bigint,
	decision_flip_rate					float8,
	decision_flip_rate_low				float8,
	decision_flip_rate_high				float8,
	agreement_rate						float8,
	mcnemar_p							float8,
	flagged_per_1000					float8,
	champion_flagged_per_1000			float8,
	score_mean							float8,
	champion_score_mean					float8,
	mean_shift							float8,
	mean_shift_low						float8,
	mean_shift_high						float8,
	score_p01							float8,
	champion_score_p01					float8,
	score_p05							float8,
	champion_score_p05					float8,
	score_p25							float8,
	champion_score_p25					float8,
	score_p50							float8,
	champion_score_p50					float8,
	score_p75							float8,
	champion_score_p75					float8,
	score_p95							float8,
	champion_score_p95					float8,
	score_p99							float8,
	champion_score_p99					float8,
	psi									float8,
	ks									float8,
	ks_p								float8,
	latency_p50							float8,
	champion_latency_p50				float8,
	latency_p95							float8,
	champion_latency_p95				float8,
	latency_p99							float8,
	champion_latency_p99				float8,
	labelled							bigint,
	positives							bigint,
	auc									float8,
	champion_auc						float8,
	auc_low								float8,
	auc_high							float8,
	champion_auc_low					float8,
	champion_auc_high					float8,
	auc_difference						float8,
	auc_difference_low					float8,
	auc_difference_high					float8,
	auc_difference_p					float8,
	average_precision					float8,
	champion_average_precision			float8,
	precision							float8,
	champion_precision					float8,
	precision_low						float8,
	precision_high						float8,
	champion_precision_low				float8,
	champion_precision_high				float8,
	recall								float8,
	champion_recall						float8,
	recall_low							float8,
	recall_high							float8,
	champion_recall_low					float8,
	champion_recall_high				float8,
	precision_at_capacity				float8,
	champion_precision_at_capacity		float8,
	recall_at_capacity					float8,
	champion_recall_at_capacity			float8,
	false_positives_per_1000			float8,
	champion_false_positives_per_1000	float8,
	expected_loss						float8,
	champion_expected_loss				float8,
	expected_loss_difference			float8,
	expected_loss_difference_low		float8,
	expected_loss_difference_high		float8
);
COMMENT ON TYPE risk.measures IS
	'What risk.measure() finds out about a version, beside the champion on the same transactions. A gate can use each number; NULL: it cannot be computed.';
COMMENT ON COLUMN risk.measures.champion_version IS 'Version that the figures are compared with';
COMMENT ON COLUMN risk.measures.since IS 'Predictions of this scored_at and later are measured';
COMMENT ON COLUMN risk.measures.until IS 'Predictions before this scored_at are measured';
COMMENT ON COLUMN risk.measures.transactions IS 'Rows in which the version was canary, shadow or external';
COMMENT ON COLUMN risk.measures.pairs IS 'Rows with a score of the version and of the champion: all other figures but errors and null_rate are of these';
COMMENT ON COLUMN risk.measures.errors IS 'Rows in which the version could not score';
COMMENT ON COLUMN risk.measures.error_rate IS 'errors / transactions';
COMMENT ON COLUMN risk.measures.error_rate_low IS 'Lower end of the 95 % interval of error_rate (Wilson)';
COMMENT ON COLUMN risk.measures.error_rate_high IS 'Upper end of the 95 % interval of error_rate (Wilson)';
COMMENT ON COLUMN risk.measures.null_rate IS 'Mean share of features that were missing, 0 to 1';
COMMENT ON COLUMN risk.measures.decision_flips IS 'Pairs that one version flags and the other does not; flagged: score >= decision_threshold';
COMMENT ON COLUMN risk.measures.decision_flip_rate IS 'decision_flips / pairs';
COMMENT ON COLUMN risk.measures.decision_flip_rate_low IS 'Lower end of the 95 % interval of decision_flip_rate (Wilson)';
COMMENT ON COLUMN risk.measures.decision_flip_rate_high IS 'Upper end of the 95 % interval of decision_flip_rate (Wilson)';
COMMENT ON COLUMN risk.measures.agreement_rate IS '1 - decision_flip_rate';
COMMENT ON COLUMN risk.measures.mcnemar_p IS 'Probability of flips at least as one-sided, were either side as likely (McNemar; exact up to 1000 flips)';
COMMENT ON COLUMN risk.measures.flagged_per_1000 IS 'Flagged transactions per 1000 pairs';
COMMENT ON COLUMN risk.measures.champion_flagged_per_1000 IS 'The champion''s flagged_per_1000';
COMMENT ON COLUMN risk.measures.score_mean IS 'Mean score';
COMMENT ON COLUMN risk.measures.champion_score_mean IS 'The champion''s score_mean';
COMMENT ON COLUMN risk.measures.mean_shift IS 'score_mean - champion_score_mean';
COMMENT ON COLUMN risk.measures.mean_shift_low IS 'Lower end of the 95 % interval of mean_shift';
COMMENT ON COLUMN risk.measures.mean_shift_high IS 'Upper end of the 95 % interval of mean_shift';
COMMENT ON COLUMN risk.measures.score_p01 IS '1 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p01 IS 'The champion''s score_p01';
COMMENT ON COLUMN risk.measures.score_p05 IS '5 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p05 IS 'The champion''s score_p05';
COMMENT ON COLUMN risk.measures.score_p25 IS '25 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p25 IS 'The champion''s score_p25';
COMMENT ON COLUMN risk.measures.score_p50 IS 'Median of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p50 IS 'The champion''s score_p50';
COMMENT ON COLUMN risk.measures.score_p75 IS '75 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p75 IS 'The champion''s score_p75';
COMMENT ON COLUMN risk.measures.score_p95 IS '95 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p95 IS 'The champion''s score_p95';
COMMENT ON COLUMN risk.measures.score_p99 IS '99 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.champion_score_p99 IS 'The champion''s score_p99';
COMMENT ON COLUMN risk.measures.psi IS 'Population stability index of the scores in bins of the champion''s deciles; 0: alike, above 0.25: commonly called a major shift';
COMMENT ON COLUMN risk.measures.ks IS 'Kolmogorov-Smirnov distance of the two distributions of scores, 0 to 1';
COMMENT ON COLUMN risk.measures.ks_p IS 'Probability of such a ks, were both distributions the same (limit for large samples)';
COMMENT ON COLUMN risk.measures.latency_p50 IS 'Median of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.champion_latency_p50 IS 'The champion''s latency_p50';
COMMENT ON COLUMN risk.measures.latency_p95 IS '95 % quantile of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.champion_latency_p95 IS 'The champion''s latency_p95';
COMMENT ON COLUMN risk.measures.latency_p99 IS '99 % quantile of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.champion_latency_p99 IS 'The champion''s latency_p99';
COMMENT ON COLUMN risk.measures.labelled IS 'Pairs that are judged: mature, and their label is known or taken as negative';
COMMENT ON COLUMN risk.measures.positives IS 'Judged pairs whose label is true';
COMMENT ON COLUMN risk.measures.auc IS 'Area under the ROC curve: probability that a positive scores higher than a negative';
COMMENT ON COLUMN risk.measures.champion_auc IS 'The champion''s auc';
COMMENT ON COLUMN risk.measures.auc_low IS 'Lower end of the 95 % interval of auc (DeLong)';
COMMENT ON COLUMN risk.measures.auc_high IS 'Upper end of the 95 % interval of auc (DeLong)';
COMMENT ON COLUMN risk.measures.champion_auc_low IS 'Lower end of the 95 % interval of champion_auc (DeLong)';
COMMENT ON COLUMN risk.measures.champion_auc_high IS 'Upper end of the 95 % interval of champion_auc (DeLong)';
COMMENT ON COLUMN risk.measures.auc_difference IS 'auc - champion_auc';
COMMENT ON COLUMN risk.measures.auc_difference_low IS 'Lower end of the 95 % interval of auc_difference (DeLong)';
COMMENT ON COLUMN risk.measures.auc_difference_high IS 'Upper end of the 95 % interval of auc_difference (DeLong)';
COMMENT ON COLUMN risk.measures.auc_difference_p IS 'Probability of such an auc_difference, were there none (DeLong)';
COMMENT ON COLUMN risk.measures.average_precision IS 'Average precision, as scikit-learn defines it';
COMMENT ON COLUMN risk.measures.champion_average_precision IS 'The champion''s average_precision';
COMMENT ON COLUMN risk.measures.precision IS 'Share of the flagged that are positive';
COMMENT ON COLUMN risk.measures.champion_precision IS 'The champion''s precision';
COMMENT ON COLUMN risk.measures.precision_low IS 'Lower end of the 95 % interval of precision (Wilson)';
COMMENT ON COLUMN risk.measures.precision_high IS 'Upper end of the 95 % interval of precision (Wilson)';
COMMENT ON COLUMN risk.measures.champion_precision_low IS 'Lower end of the 95 % interval of champion_precision (Wilson)';
COMMENT ON COLUMN risk.measures.champion_precision_high IS 'Upper end of the 95 % interval of champion_precision (Wilson)';
COMMENT ON COLUMN risk.measures.recall IS 'Share of the positives that are flagged';
COMMENT ON COLUMN risk.measures.champion_recall IS 'The champion''s recall';
COMMENT ON COLUMN risk.measures.recall_low IS 'Lower end of the 95 % interval of recall (Wilson)';
COMMENT ON COLUMN risk.measures.recall_high IS 'Upper end of the 95 % interval of recall (Wilson)';
COMMENT ON COLUMN risk.measures.champion_recall_low IS 'Lower end of the 95 % interval of champion_recall (Wilson)';
COMMENT ON COLUMN risk.measures.champion_recall_high IS 'Upper end of the 95 % interval of champion_recall (Wilson)';
COMMENT ON COLUMN risk.measures.precision_at_capacity IS 'Share of positives among the review_capacity highest scores per 1000 judged';
COMMENT ON COLUMN risk.measures.champion_precision_at_capacity IS 'The champion''s precision_at_capacity';
COMMENT ON COLUMN risk.measures.recall_at_capacity IS 'Share of the positives that are among these';
COMMENT ON COLUMN risk.measures.champion_recall_at_capacity IS 'The champion''s recall_at_capacity';
COMMENT ON COLUMN risk.measures.false_positives_per_1000 IS 'Flagged and label false, per 1000 judged';
COMMENT ON COLUMN risk.measures.champion_false_positives_per_1000 IS 'The champion''s false_positives_per_1000';
COMMENT ON COLUMN risk.measures.expected_loss IS 'Per 1000 judged: amounts of positives not flagged (NULL counts 1), and review_cost for each negative flagged';
COMMENT ON COLUMN risk.measures.champion_expected_loss IS 'The champion''s expected_loss';
COMMENT ON COLUMN risk.measures.expected_loss_difference IS 'expected_loss - champion_expected_loss';
COMMENT ON COLUMN risk.measures.expected_loss_difference_low IS 'Lower end of the 95 % interval of expected_loss_difference (normal, of the paired differences)';
COMMENT ON COLUMN risk.measures.expected_loss_difference_high IS 'Upper end of the 95 % interval of expected_loss_difference (normal, of the paired differences)';

CREATE FUNCTION risk.measure_add(
	state internal, score float8, champion_score float8, latency_us float4, champion_latency_us float4,
	missing_share float4, label boolean, amount float8,
	decision_threshold float8, review_capacity float8, review_cost float8)
	RETURNS internal LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'risk_measure_add';
COMMENT ON FUNCTION risk.measure_add(internal, float8, float8, float4, float4, float4, boolean, float8, float8, float8, float8) IS
	'Takes a row into risk.measure_pairs()';

CREATE FUNCTION risk.measure_final(state internal)
	RETURNS risk.measures LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'risk_measure_final';
COMMENT ON FUNCTION risk.measure_final(internal) IS
	'Computes the figures of risk.measure_pairs()';

CREATE AGGREGATE risk.measure_pairs(
	score float8, champion_score float8, latency_us float4, champion_latency_us float4,
	missing_share float4, label boolean, amount float8,
	decision_threshold float8, review_capacity float8, review_cost float8)
(
	SFUNC = risk.measure_add,
	STYPE = internal,
	SSPACE = 100000,
	FINALFUNC = risk.measure_final,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE risk.measure_pairs(float8, float8, float4, float4, float4, boolean, float8, float8, float8, float8) IS
	'The measures of rows: a version''s score and the champion''s (NULL or NaN: could not score), latencies, label (NULL: not judged) and amount; the last three arguments are the model''s settings';

-- ---------------------------------------------------------------------------
-- Pairs: a version's score and the champion's of one transaction.
-- ---------------------------------------------------------------------------

-- An external score has no champion's beside it.  It is that of the decision
-- (champion or canary) about the same entity, logged within a day of it: of
-- the same event where both say when that was, otherwise not after it; the
-- latest of several.
CREATE VIEW risk.paired_predictions AS
	SELECT p.model, p.entity_id, p.event_time, p.scored_at, p.version, p.role, p.score,
		   p.champion_version, p.champion_score, p.score - p.champion_score AS difference,
		   p.latency_us, p.champion_latency_us, p.cohort, p.missing_share, p.source, p.error
	FROM risk.predictions AS p
	WHERE p.role IN ('canary', 'shadow')
	UNION ALL
	SELECT p.model, p.entity_id, coalesce(p.event_time, d.event_time), p.scored_at, p.version, p.role, p.score,
		   d.champion_version, d.champion_score, p.score - d.champion_score,
		   p.latency_us, d.champion_latency_us, coalesce(p.cohort, d.cohort), p.missing_share, p.source, p.error
	FROM risk.predictions AS p
	LEFT JOIN LATERAL (
		SELECT d.event_time, d.cohort,
			   CASE d.role WHEN 'champion' THEN d.version ELSE d.champion_version END AS champion_version,
			   CASE d.role WHEN 'champion' THEN d.score ELSE d.champion_score END AS champion_score,
			   CASE d.role WHEN 'champion' THEN d.latency_us ELSE d.champion_latency_us END AS champion_latency_us
		FROM risk.predictions AS d
		WHERE d.model = p.model AND d.entity_id = p.entity_id
		AND d.role IN ('champion', 'canary')
		AND d.scored_at BETWEEN p.scored_at - interval '1 day' AND p.scored_at + interval '1 day'
		AND CASE WHEN d.event_time IS NULL OR p.event_time IS NULL THEN d.scored_at <= p.scored_at
				 ELSE d.event_time = p.event_time END
		ORDER BY d.scored_at DESC
		LIMIT 1) AS d ON true
	WHERE p.role = 'external';
COMMENT ON VIEW risk.paired_predictions IS
	'Predictions of canaries, shadows and external scores, each with the champion''s score of the same transaction';
COMMENT ON COLUMN risk.paired_predictions.difference IS 'score - champion_score';

CREATE FUNCTION risk.compared_with(model text, version text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	champion text;
BEGIN
	PERFORM risk.require_model(model);
	-- Versions that were dropped, and external ones, are known by their scores.
	IF NOT EXISTS (SELECT FROM risk.predictions AS p WHERE p.model = model AND p.version = version) THEN
		PERFORM risk.version_id(model, version);
	END IF;
	SELECT v.version INTO champion
	FROM risk.model_roles AS r JOIN risk.model_versions AS v USING (version_id)
	WHERE r.model = model AND r.role = 'champion';
	IF champion IS NULL OR champion = version THEN
		SELECT p.champion_version INTO champion
		FROM risk.paired_predictions AS p
		WHERE p.model = model AND p.version = version AND p.champion_version <> version
		ORDER BY p.scored_at DESC
		LIMIT 1;
	END IF;
	RETURN nullif(champion, version);
END $$;
COMMENT ON FUNCTION risk.compared_with(text, text) IS
	'Version that the measures of a version compare it with: the champion; for the champion itself, and where there is none, the one that was champion in its latest pair. Errors: 42704 no such model or version.';

-- ---------------------------------------------------------------------------
-- Labels.  Of several labels of an entity those for the model go before those
-- for all, then the latest holds, and true of equally late ones.
-- ---------------------------------------------------------------------------

CREATE VIEW risk.current_labels AS
	SELECT DISTINCT ON (d.model, l.entity_id)
		   d.model, l.entity_id, l.label, l.label_time, l.source, l.amount
	FROM risk.model_definitions AS d
	JOIN risk.labels AS l ON l.model = d.model OR l.model IS NULL
	WHERE l.label_time <= (SELECT risk.clock())
	ORDER BY d.model, l.entity_id, l.model IS NULL, l.label_time DESC, l.label DESC, l.amount DESC NULLS LAST;
COMMENT ON VIEW risk.current_labels IS
	'The label of each entity that holds now, for each model';

-- The measures of the rows of a version, those of each value of a cohort
-- column apart (NULL: all together); no rows, no groups.
CREATE FUNCTION risk.measure_groups(
	model text, version text, since timestamptz, until timestamptz,
	cohort jsonb, as_of timestamptz, by_cohort text,
	OUT value jsonb, OUT figures risk.measures)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
	champion text := risk.compared_with(model, version);
	known_at timestamptz := coalesce(as_of, risk.clock());
	settings risk.model_definitions;
	measured record;
BEGIN
	SELECT d.* INTO settings FROM risk.model_definitions AS d WHERE d.model = model;
	FOR measured IN
		SELECT CASE WHEN by_cohort IS NOT NULL THEN p.cohort -> by_cohort END AS value,
			   risk.measure_pairs(p.score, p.champion_score, p.latency_us, p.champion_latency_us, p.missing_share,
				   CASE WHEN coalesce(p.event_time, p.scored_at) <= known_at - settings.label_maturity
						THEN coalesce(l.label, CASE settings.unlabeled WHEN 'negative' THEN false END) END,
				   l.amount, settings.decision_threshold, settings.review_capacity, settings.review_cost) AS figures
		FROM risk.paired_predictions AS p
		-- as risk.current_labels, of that moment
		LEFT JOIN LATERAL (
			SELECT l.label, l.amount
			FROM risk.labels AS l
			WHERE coalesce(p.event_time, p.scored_at) <= known_at - settings.label_maturity
			AND l.entity_id = p.entity_id AND (l.model = model OR l.model IS NULL) AND l.label_time <= known_at
			ORDER BY l.model IS NULL, l.label_time DESC, l.label DESC, l.amount DESC NULLS LAST
			LIMIT 1) AS l ON true
		WHERE p.model = model AND p.version = version
		AND p.scored_at >= coalesce(since, '-infinity') AND p.scored_at < coalesce(until, 'infinity')
		AND (p.champion_version = champion OR p.champion_version IS NULL)
		AND (cohort IS NULL OR p.cohort @> cohort)
		GROUP BY 1
	LOOP
		value := measured.value;
		figures := measured.figures;
		figures.champion_version := champion;
		figures.since := since;
		figures.until := until;
		RETURN NEXT;
	END LOOP;
END $$;
COMMENT ON FUNCTION risk.measure_groups(text, text, timestamptz, timestamptz, jsonb, timestamptz, text) IS
	'risk.measure() for each value of a cohort column; NULL: one group of all rows. Errors: 42704 no such model or version.';

CREATE FUNCTION risk.measure(
	model text, version text, since timestamptz, until timestamptz,
	cohort jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS risk.measures
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	result risk.measures;
BEGIN
	SELECT (g.figures).* INTO result
	FROM risk.measure_groups(model, version, since, until, cohort, as_of, NULL) AS g;
	IF NOT FOUND THEN
		result := (SELECT risk.measure_pairs(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) WHERE false);
		result.champion_version := risk.compared_with(model, version);
		result.since := since;
		result.until := until;
	END IF;
	RETURN result;
END $$;
COMMENT ON FUNCTION risk.measure(text, text, timestamptz, timestamptz, jsonb, timestamptz) IS
	'Measure a version beside the champion, on the transactions scored from since on and before until (NULL: no limit), of a cohort ({"country": "FR"}; NULL: all), with the labels known at as_of (NULL: now). Errors: 42704 no such model or version.';
