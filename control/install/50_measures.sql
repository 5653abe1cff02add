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
COMMENT ON COLUMN risk.measures.null_rate IS 'Mean share of features that were missing, 0 to 1';
COMMENT ON COLUMN risk.measures.decision_flips IS 'Pairs that one version flags and the other does not; flagged: score >= decision_threshold';
COMMENT ON COLUMN risk.measures.decision_flip_rate IS 'decision_flips / pairs';
COMMENT ON COLUMN risk.measures.agreement_rate IS '1 - decision_flip_rate';
COMMENT ON COLUMN risk.measures.mcnemar_p IS 'Probability of flips at least as one-sided, were either side as likely (McNemar; exact up to 1000 flips)';
COMMENT ON COLUMN risk.measures.flagged_per_1000 IS 'Flagged transactions per 1000 pairs';
COMMENT ON COLUMN risk.measures.score_mean IS 'Mean score';
COMMENT ON COLUMN risk.measures.mean_shift IS 'score_mean - champion_score_mean';
COMMENT ON COLUMN risk.measures.score_p01 IS '1 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p05 IS '5 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p25 IS '25 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p50 IS 'Median of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p75 IS '75 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p95 IS '95 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.score_p99 IS '99 % quantile of the scores, as percentile_cont';
COMMENT ON COLUMN risk.measures.psi IS 'Population stability index of the scores in bins of the champion''s deciles; 0: alike, above 0.25: commonly called a major shift';
COMMENT ON COLUMN risk.measures.ks IS 'Kolmogorov-Smirnov distance of the two distributions of scores, 0 to 1';
COMMENT ON COLUMN risk.measures.ks_p IS 'Probability of such a ks, were both distributions the same (limit for large samples)';
COMMENT ON COLUMN risk.measures.latency_p50 IS 'Median of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.latency_p95 IS '95 % quantile of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.latency_p99 IS '99 % quantile of the time to score, in microseconds';
COMMENT ON COLUMN risk.measures.labelled IS 'Pairs that are judged: mature, and their label is known or taken as negative';
COMMENT ON COLUMN risk.measures.positives IS 'Judged pairs whose label is true';
COMMENT ON COLUMN risk.measures.auc IS 'Area under the ROC curve: probability that a positive scores higher than a negative';
COMMENT ON COLUMN risk.measures.auc_difference IS 'auc - champion_auc';
COMMENT ON COLUMN risk.measures.auc_difference_p IS 'Probability of such an auc_difference, were there none (DeLong)';
COMMENT ON COLUMN risk.measures.average_precision IS 'Average precision, as scikit-learn defines it';
COMMENT ON COLUMN risk.measures.precision IS 'Share of the flagged that are positive';
COMMENT ON COLUMN risk.measures.recall IS 'Share of the positives that are flagged';
COMMENT ON COLUMN risk.measures.precision_at_capacity IS 'Share of positives among the review_capacity highest scores per 1000 judged';
COMMENT ON COLUMN risk.measures.recall_at_capacity IS 'Share of the positives that are among these';
COMMENT ON COLUMN risk.measures.false_positives_per_1000 IS 'Flagged and label false, per 1000 judged';
COMMENT ON COLUMN risk.measures.expected_loss IS 'Per 1000 judged: amounts of positives not flagged (NULL counts 1), and review_cost for each negative flagged';
COMMENT ON COLUMN risk.measures.expected_loss_difference IS 'expected_loss - champion_expected_loss';

-- Columns whose names say what they are.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT a.attname, coalesce(
			(SELECT format('%s end of the 95 %% interval of %s%s', e.which, f.figure, f.by)
			 FROM (VALUES ('error_rate', ' (Wilson)'), ('decision_flip_rate', ' (Wilson)'), ('mean_shift', ''), ('auc', ' (DeLong)'),
						  ('champion_auc', ' (DeLong)'), ('auc_difference', ' (DeLong)'), ('precision', ' (Wilson)'),
						  ('champion_precision', ' (Wilson)'), ('recall', ' (Wilson)'), ('champion_recall', ' (Wilson)'),
						  ('expected_loss_difference', ' (normal, of the paired differences)')) AS f (figure, by),
				  (VALUES ('low', 'Lower'), ('high', 'Upper')) AS e (suffix, which)
			 WHERE a.attname = concat(f.figure, '_', e.suffix)),
			format('The champion''s %s', substr(a.attname, length('champion_') + 1))) AS comment
		FROM pg_attribute AS a
		WHERE a.attrelid = 'risk.measures'::regclass AND col_description(a.attrelid, a.attnum) IS NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN risk.measures.%I IS %L', c.attname, c.comment);
	END LOOP;
END $$;

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

-- The log knows versions by name.  A name may have been another version's
-- before, and anybody's external score: that says nothing about this one.
CREATE FUNCTION risk.evidence_since(model text, version text, champion text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(max(v.registered_at), '-infinity') FROM risk.model_versions AS v
	WHERE v.model = evidence_since.model AND v.version IN (evidence_since.version, evidence_since.champion)
$$;
COMMENT ON FUNCTION risk.evidence_since(text, text, text) IS
	'From when on predictions are evidence about a version and the champion it is compared with: since both are registered (of unregistered ones: ever)';

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
		AND p.scored_at >= risk.evidence_since(model, version, version)
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

-- As risk.current_labels, of one entity at another moment.  Parsed here, so that
-- it needs no search_path and the planner can make it a part of the query.
CREATE FUNCTION risk.label_as_of(
	model text, entity_id text, known_at timestamptz,
	OUT label boolean, OUT label_time timestamptz, OUT source text, OUT amount numeric)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
	SELECT l.label, l.label_time, l.source, l.amount
	FROM risk.labels AS l
	WHERE l.entity_id = label_as_of.entity_id AND (l.model = label_as_of.model OR l.model IS NULL)
	AND l.label_time <= label_as_of.known_at
	ORDER BY l.model IS NULL, l.label_time DESC, l.label DESC, l.amount DESC NULLS LAST
	LIMIT 1;
END;
COMMENT ON FUNCTION risk.label_as_of(text, text, timestamptz) IS
	'The label of an entity for a model that held at a moment; no row: there was none';

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
	registered CONSTANT boolean := EXISTS (SELECT FROM risk.model_versions AS v WHERE v.model = model AND v.version = version);
	start CONSTANT timestamptz := greatest(since, risk.evidence_since(model, version, champion));
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
		LEFT JOIN LATERAL risk.label_as_of(model,
			CASE WHEN coalesce(p.event_time, p.scored_at) <= known_at - settings.label_maturity THEN p.entity_id END,
			known_at) AS l ON true
		WHERE p.model = model AND p.version = version
		AND p.scored_at >= start AND p.scored_at < coalesce(until, 'infinity')
		AND NOT (registered AND p.role = 'external')
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
	model text, version text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
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
	'Measure a version beside the champion, on the transactions scored from since on and before until (NULL: no limit), of a cohort ({"country": "FR"}; NULL: all), with the labels known at as_of (NULL: now). What was scored before version and champion were registered does not count. Errors: 42704 no such model or version.';

-- ---------------------------------------------------------------------------
-- What comes from elsewhere: scores of others, and labels.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.log_external_prediction(
	model text,
	entity_id text,
	version text,
	score float8,
	event_time timestamptz DEFAULT NULL,
	latency_us float8 DEFAULT NULL,
	cohort jsonb DEFAULT NULL,
	scored_at timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	known CONSTANT timestamptz := risk.clock();
	retention CONSTANT integer := current_setting('pg_risk.prediction_retention');
BEGIN
	PERFORM risk.require_model(model);
	scored_at := coalesce(scored_at, known);
	IF entity_id IS NULL OR coalesce(version, '') = '' OR score IS NULL OR score = 'NaN' THEN
		RAISE EXCEPTION 'entity_id, version and score must not be null, empty or NaN'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Call risk.log_external_prediction(model, entity_id, ''vendor'', score) when there is a score.';
	END IF;
	IF EXISTS (SELECT FROM risk.model_versions AS v WHERE v.model = model AND v.version = version) THEN
		RAISE EXCEPTION '"%" is a registered version of model "%"', version, model
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Scores of registered versions are logged when they score. Give the external scorer a name of its own.';
	END IF;
	IF jsonb_typeof(cohort) <> 'object' THEN
		RAISE EXCEPTION 'cohort must be a JSON object'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'For example {"country": "FR"}. NULL takes it from the champion''s prediction.';
	END IF;
	-- There are partitions for the days between.
	IF NOT isfinite(scored_at) OR scored_at > known + interval '1 day'
	   OR retention > 0 AND scored_at < known - make_interval(days => retention) THEN
		RAISE EXCEPTION 'scored_at % is out of range', scored_at
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'It is at most a day ahead, and not older than pg_risk.prediction_retention, for which predictions are kept.';
	END IF;
	INSERT INTO risk.predictions
		(model, entity_id, event_time, scored_at, version, role, score, latency_us, cohort, source)
	VALUES
		(model, entity_id, event_time, scored_at, version, 'external', score,
		 latency_us, cohort, 'external');
END $$;
COMMENT ON FUNCTION risk.log_external_prediction(text, text, text, float8, timestamptz, float8, jsonb, timestamptz) IS
	'Log somebody else''s score (high = risky), to be measured like a version''s: version is a name for who scored, scored_at is now if NULL, at most a day ahead, and not older than what is kept. It is compared with the champion''s score of the entity, see risk.paired_predictions. Errors: 42704 no such model, 22023 bad argument.';

-- SECURITY INVOKER: whoever loads must be allowed to read the source.  Times
-- without a zone are the same in each session, or a label would be loaded twice.
CREATE FUNCTION risk.load_labels(source regclass, model text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
#variable_conflict use_variable
DECLARE
	columns jsonb;
	missing text;
	loaded bigint;
BEGIN
	IF source IS NULL THEN
		RAISE EXCEPTION 'source must not be null'
			USING ERRCODE = 'null_value_not_allowed',
				  HINT = 'Name a table or view with the columns entity_id, label and label_time.';
	END IF;
	IF model IS NOT NULL THEN
		PERFORM risk.require_model(model);
	END IF;
	SELECT coalesce(jsonb_object_agg(a.attname, t.typcategory), '{}') INTO columns
	FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped;
	SELECT string_agg(format('"%s"', c), ', ') INTO missing
	FROM unnest('{entity_id,label,label_time}'::text[]) AS c WHERE NOT columns ? c;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION '% does not have all columns of labels', source
			USING ERRCODE = 'undefined_column',
				  DETAIL = format('Missing: %s.', missing),
				  HINT = 'Labels need the columns entity_id, label and label_time, and may have source and amount. Make a view that names yours so.';
	END IF;
	IF columns ->> 'label' NOT IN ('B', 'N') THEN
		RAISE EXCEPTION 'column "label" of % is neither boolean nor a number', source
			USING ERRCODE = 'datatype_mismatch',
				  HINT = 'A label is true or 1 for fraud, false or 0 for honest, NULL for not known. Make a view that says which of yours is which: label = ''fraud'' AS label.';
	END IF;
	-- One load at a time: the second finds what the first has inserted.
	PERFORM pg_advisory_xact_lock('risk.labels'::regclass::oid::bigint);
	EXECUTE format($query$
		INSERT INTO risk.labels (entity_id, label, label_time, source, amount, model)
		SELECT DISTINCT n.*, $1
		FROM (SELECT s.entity_id::text AS entity_id, %s AS label, s.label_time::timestamptz AS label_time,
					 %s AS source, %s AS amount
			  FROM %s AS s WHERE s.label IS NOT NULL) AS n
		WHERE NOT EXISTS (
			SELECT FROM risk.labels AS l
			WHERE l.entity_id = n.entity_id AND l.label = n.label AND l.label_time = n.label_time
			AND l.source = n.source AND l.amount IS NOT DISTINCT FROM n.amount
			AND l.model IS NOT DISTINCT FROM $1)
		$query$,
		CASE columns ->> 'label' WHEN 'B' THEN 's.label::boolean'
			ELSE 'CASE WHEN s.label IN (0, 1) THEN s.label = 1 ELSE s.label::text::boolean END' END,
		CASE WHEN columns ? 'source' THEN 'coalesce(s.source::text, '''')' ELSE '''''::text' END,
		CASE WHEN columns ? 'amount' THEN 's.amount::numeric' ELSE 'NULL::numeric' END,
		source)
	USING model;
	GET DIAGNOSTICS loaded = ROW_COUNT;
	RETURN loaded;
EXCEPTION
	WHEN invalid_text_representation THEN
		RAISE EXCEPTION '% has labels that cannot be read: %', source, SQLERRM
			USING ERRCODE = 'invalid_text_representation',
				  HINT = 'A label that is a number is 1 for fraud, 0 for honest, NULL for not known; times and amounts must be such.';
	WHEN not_null_violation THEN
		RAISE EXCEPTION '% has labels without entity_id or label_time', source
			USING ERRCODE = 'not_null_violation',
				  DETAIL = SQLERRM,
				  HINT = 'A label needs both. Make a view that leaves those rows out.';
	WHEN check_violation THEN
		RAISE EXCEPTION '% has amounts that are out of range', source
			USING ERRCODE = 'check_violation',
				  DETAIL = SQLERRM,
				  HINT = 'An amount is what the transaction costs if it is fraud: at least 0, at most 1e15; NULL: not known.';
END $$;
COMMENT ON FUNCTION risk.load_labels(regclass, text) IS
	'Append the labels of a table or view that are not in risk.labels yet, for one model or (NULL) for all; returns how many. Its columns: entity_id, label (boolean, or 0 and 1; NULL is passed over), label_time (in UTC where it has no time zone), and optionally source, amount. Runs with the caller''s rights: SELECT on the source, SELECT and INSERT on risk.labels. Errors: 42704 no such model, 42703 a column is missing, 42804 label is neither boolean nor a number, 22P02 a label is neither 0 nor 1, 23502 no entity_id or label_time, 23514 an amount out of range.';

-- ---------------------------------------------------------------------------
-- Reports.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.report_since(model text, version text, since timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce($3,
		-- not the role's since, which a pause or another percentage begins anew
		(SELECT max(h.at)
		 FROM risk.model_roles AS r JOIN risk.model_versions AS v USING (version_id)
		 JOIN risk.rollout_history AS h ON h.model = r.model AND h.version_id = r.version_id
		 WHERE r.model = $1 AND v.version = $2 AND r.role <> 'champion' AND h.from_role IS DISTINCT FROM h.to_role))
$$;
COMMENT ON FUNCTION risk.report_since(text, text, timestamptz) IS
	'From when on a report is: as given, else since the version is canary or shadow, else NULL (all that is logged)';

CREATE FUNCTION risk.canary_report(
	model text,
	version text,
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	by_cohort text DEFAULT NULL)
RETURNS TABLE (
	cohort text, section text, metric text, champion float8, challenger float8, difference float8,
	low float8, high float8, p_value float8, samples bigint, note text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
#variable_conflict use_variable
DECLARE
	compared text := risk.compared_with(model, version);
	start timestamptz := risk.report_since(model, version, since);
	settings risk.model_definitions;
BEGIN
	SELECT d.* INTO settings FROM risk.model_definitions AS d WHERE d.model = model;
	IF by_cohort IS NOT NULL AND by_cohort <> ALL (settings.cohorts) THEN
		RAISE EXCEPTION 'model "%" has no cohort column "%"', model, by_cohort
			USING ERRCODE = 'undefined_column',
				  HINT = format('Its cohort columns are: %s. risk.alter_model() changes them.',
					coalesce(nullif(array_to_string(settings.cohorts, ', '), ''), 'none'));
	END IF;
	RETURN QUERY
	WITH block AS MATERIALIZED (
		SELECT NULL::text AS cohort, to_jsonb(risk.measure(model, version, start, until)) AS f
		UNION ALL
		SELECT coalesce(g.value #>> '{}', '(none)'), to_jsonb(g.figures)
		FROM risk.measure_groups(model, version, start, until, NULL, NULL, by_cohort) AS g
		WHERE by_cohort IS NOT NULL
	-- kind: both versions have the figure, only the challenger, or it compares them
	), line (number, section, metric, kind, samples, p_value) AS (
		VALUES
			(1, 'transactions', 'transactions', 'challenger', 'transactions', NULL),
			(2, 'transactions', 'pairs', 'challenger', 'transactions', NULL),
			(3, 'transactions', 'errors', 'challenger', 'transactions', NULL),
			(4, 'transactions', 'error_rate', 'challenger', 'transactions', NULL),
			(5, 'transactions', 'null_rate', 'challenger', 'transactions', NULL),
			(6, 'decisions', 'flagged_per_1000', 'both', 'pairs', NULL),
			(7, 'decisions', 'decision_flips', 'compares', 'pairs', 'mcnemar_p'),
			(8, 'decisions', 'decision_flip_rate', 'compares', 'pairs', NULL),
			(9, 'decisions', 'agreement_rate', 'compares', 'pairs', NULL),
			(10, 'scores', 'score_mean', 'both', 'pairs', NULL),
			(11, 'scores', 'mean_shift', 'compares', 'pairs', NULL),
			(12, 'scores', 'score_p01', 'both', 'pairs', NULL),
			(13, 'scores', 'score_p05', 'both', 'pairs', NULL),
			(14, 'scores', 'score_p25', 'both', 'pairs', NULL),
			(15, 'scores', 'score_p50', 'both', 'pairs', NULL),
			(16, 'scores', 'score_p75', 'both', 'pairs', NULL),
			(17, 'scores', 'score_p95', 'both', 'pairs', NULL),
			(18, 'scores', 'score_p99', 'both', 'pairs', NULL),
			(19, 'scores', 'psi', 'compares', 'pairs', NULL),
			(20, 'scores', 'ks', 'compares', 'pairs', 'ks_p'),
			(21, 'latency', 'latency_p50', 'both', 'pairs', NULL),
			(22, 'latency', 'latency_p95', 'both', 'pairs', NULL),
			(23, 'latency', 'latency_p99', 'both', 'pairs', NULL),
			(24, 'labels', 'labelled', 'challenger', 'pairs', NULL),
			(25, 'labels', 'positives', 'challenger', 'labelled', NULL),
			(26, 'labels', 'auc', 'both', 'labelled', NULL),
			(27, 'labels', 'auc_difference', 'compares', 'labelled', 'auc_difference_p'),
			(28, 'labels', 'average_precision', 'both', 'labelled', NULL),
			(29, 'labels', 'precision', 'both', 'labelled', NULL),
			(30, 'labels', 'recall', 'both', 'labelled', NULL),
			(31, 'labels', 'precision_at_capacity', 'both', 'labelled', NULL),
			(32, 'labels', 'recall_at_capacity', 'both', 'labelled', NULL),
			(33, 'labels', 'false_positives_per_1000', 'both', 'labelled', NULL),
			(34, 'labels', 'expected_loss', 'both', 'labelled', NULL),
			(35, 'labels', 'expected_loss_difference', 'compares', 'labelled', NULL)
	), figure AS (
		SELECT b.cohort, l.number, l.section, l.metric, l.kind,
			   (b.f ->> ('champion_' || l.metric))::float8 AS champion,
			   (b.f ->> l.metric)::float8 AS value,
			   (b.f ->> (l.metric || '_low'))::float8 AS low,
			   (b.f ->> (l.metric || '_high'))::float8 AS high,
			   (b.f ->> l.p_value)::float8 AS p_value,
			   (b.f ->> l.samples)::bigint AS samples,
			   (b.f ->> 'transactions')::bigint AS transactions,
			   (b.f ->> 'pairs')::bigint AS pairs,
			   (b.f ->> 'labelled')::bigint AS labelled,
			   (b.f ->> 'positives')::bigint AS positives
		FROM block AS b CROSS JOIN line AS l
	)
	SELECT f.cohort, f.section, f.metric, f.champion,
		   CASE WHEN f.kind <> 'compares' THEN f.value END,
		   CASE f.kind WHEN 'both' THEN f.value - f.champion WHEN 'compares' THEN f.value END,
		   f.low, f.high, f.p_value, f.samples,
		   CASE
			   WHEN f.metric = 'pairs' AND f.pairs = 0 AND f.transactions > 0 THEN
				   CASE WHEN compared IS NULL THEN 'no champion to compare with'
						ELSE format('none of these transactions has a score of champion "%s"', compared) END
			   WHEN f.metric = 'labelled' AND f.labelled = 0 AND f.pairs > 0 THEN
				   format('no mature labels: rows are judged %s after event_time', settings.label_maturity)
			   WHEN f.metric = 'auc_difference' AND f.value IS NOT NULL AND f.low IS NULL THEN
				   'no interval: less than two labels of a class, or scores that part the classes completely'
			   WHEN f.value IS NOT NULL AND (f.kind <> 'both' OR f.champion IS NOT NULL) THEN NULL
			   WHEN f.transactions = 0 THEN 'no predictions of this version'
			   WHEN f.metric = 'null_rate' THEN 'not logged'
			   WHEN f.pairs = 0 THEN 'no pairs'
			   WHEN f.section = 'latency' THEN 'not logged'
			   WHEN f.labelled = 0 THEN 'no mature labels'
			   WHEN f.metric LIKE '%capacity' AND settings.review_capacity IS NULL THEN 'the model has no review_capacity'
			   WHEN f.positives = 0 AND f.metric <> 'precision' THEN 'no positive label yet'
			   WHEN f.positives = f.labelled AND f.metric LIKE 'auc%' THEN 'no negative label yet'
			   WHEN f.metric = 'precision' THEN 'a version flags nothing'
			   WHEN f.metric LIKE '%capacity' THEN 'review_capacity is less than one of these transactions'
		   END
	FROM figure AS f
	ORDER BY f.cohort NULLS FIRST, f.number;
END $$;
COMMENT ON FUNCTION risk.canary_report(text, text, timestamptz, timestamptz, text) IS
	'A version beside the champion on the same transactions, a row for each metric, for dashboards: scored from since on (NULL: since it is canary or shadow, else all that is logged) and before until (NULL: all). With by_cohort, a cohort column, also for each of its values ("(none)": without one). low and high are the 95 % interval of the difference, where there is none of the challenger''s figure. Errors: 42704 no such model or version, 42703 no such cohort column.';

CREATE FUNCTION risk.report_number(x float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE
		WHEN x = trunc(x) OR abs(x) >= 1000 THEN round(x::numeric)::text
		WHEN abs(x) < 0.0001 THEN trim(to_char(x, '9.9EEEE'))
		WHEN abs(x) >= 10 THEN round(x::numeric, 2)::text
		ELSE round(x::numeric, 4)::text END
$$;
COMMENT ON FUNCTION risk.report_number(float8) IS
	'A figure as risk.canary_report_text() writes it';

CREATE FUNCTION risk.canary_report_text(
	model text,
	version text,
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	by_cohort text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
#variable_conflict use_variable
DECLARE
	settings risk.model_definitions;
	heading text;
	lines text;
BEGIN
	SELECT d.* INTO settings FROM risk.model_definitions AS d WHERE d.model = model;
	WITH line AS (
		SELECT r.*,
			   row_number() OVER (PARTITION BY r.cohort, r.section ORDER BY r.number) = 1 AS first_of_section,
			   row_number() OVER (PARTITION BY r.cohort ORDER BY r.number) = 1 AND by_cohort IS NOT NULL AS first_of_cohort
		FROM risk.canary_report(model, version, since, until, by_cohort) WITH ORDINALITY
			AS r (cohort, section, metric, champion, challenger, difference, low, high, p_value, samples, note, number)
	)
	SELECT string_agg(
		CASE WHEN l.first_of_cohort THEN E'\n\n' || coalesce(by_cohort || ' = ' || l.cohort, 'All transactions') ELSE '' END ||
		CASE WHEN l.first_of_section THEN E'\n\n' ||
			CASE l.section
				WHEN 'transactions' THEN 'Transactions'
				WHEN 'decisions' THEN format('Decisions: flagged is a score of %s or more', settings.decision_threshold)
				WHEN 'scores' THEN 'Scores'
				WHEN 'latency' THEN 'Latency in microseconds'
				WHEN 'labels' THEN format('Labels, of transactions at least %s old', settings.label_maturity)
			END ELSE '' END ||
		E'\n' || rtrim(format('  %s%s%s%s%s%s  %s',
			rpad(l.metric, 26), lpad(coalesce(risk.report_number(l.champion), ''), 12),
			lpad(coalesce(risk.report_number(l.challenger), ''), 12), lpad(coalesce(risk.report_number(l.difference), ''), 12),
			lpad(CASE WHEN l.low IS NULL THEN '' ELSE
				risk.report_number(l.low) || ' to ' || risk.report_number(l.high) END, 22),
			lpad(coalesce(risk.report_number(l.p_value), ''), 10), coalesce(l.note, ''))),
		'' ORDER BY l.number)
	INTO lines FROM line AS l;
	heading := format(E'%s: %s beside champion %s, scored since %s until %s\n\n  %s%s%s%s%s%s',
		model, version, coalesce(risk.compared_with(model, version), '(none)'),
		coalesce(risk.report_since(model, version, since)::text, 'the log began'), coalesce(until, risk.clock()),
		rpad('', 26), lpad('champion', 12), lpad('challenger', 12), lpad('difference', 12),
		lpad('95 % interval', 22), lpad('p', 10));
	RETURN heading || lines;
END $$;
COMMENT ON FUNCTION risk.canary_report_text(text, text, timestamptz, timestamptz, text) IS
	'risk.canary_report() as one text for a terminal: psql -At. Arguments and errors as there';
