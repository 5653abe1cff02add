-- ---------------------------------------------------------------------------
-- What is there.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.cache_entries(
	OUT image_sha256 bytea, OUT image_bytes bigint, OUT plan_bytes bigint, OUT in_use integer,
	OUT loaded_at timestamptz, OUT last_used_at timestamptz, OUT refused_kernel text)
	RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'risk_cache_entries';
COMMENT ON FUNCTION risk.cache_entries() IS
	'Forest images in shared memory, of all databases of the server; refused_kernel: one that gave other bits than the reference, so there is no plan';

CREATE FUNCTION risk.cache_status(
	OUT cache_bytes bigint, OUT used_bytes bigint, OUT images integer,
	OUT loads bigint, OUT evictions bigint)
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_cache_status';
COMMENT ON FUNCTION risk.cache_status() IS
	'Size and use of the shared memory for forest images (pg_risk.cache_size); loads and evictions since the server started';

CREATE VIEW risk.models AS
	SELECT d.model,
		   v.version AS champion,
		   r.since AS champion_since,
		   cv.version AS canary,
		   c.percent AS canary_percent,
		   (SELECT array_agg(sv.version ORDER BY sv.version_id)
			FROM risk.model_roles AS s JOIN risk.model_versions AS sv ON sv.version_id = s.version_id
			WHERE s.model = d.model AND s.role = 'shadow') AS shadows,
		   (SELECT count(*) FROM risk.model_versions AS a WHERE a.model = d.model) AS versions,
		   d.entity_id, d.event_time, d.cohorts, d.positive_class, d.log, d.log_percent, d.log_features,
		   d.on_missing, d.fallback_score, d.bands, d.decision_threshold, d.review_capacity, d.review_cost,
		   d.label_maturity, d.unlabeled, d.created_by, d.created_at
	FROM risk.model_definitions AS d
	LEFT JOIN risk.model_roles AS r ON r.model = d.model AND r.role = 'champion'
	LEFT JOIN risk.model_versions AS v ON v.version_id = r.version_id
	LEFT JOIN risk.model_roles AS c ON c.model = d.model AND c.role = 'canary'
	LEFT JOIN risk.model_versions AS cv ON cv.version_id = c.version_id;
COMMENT ON VIEW risk.models IS 'Models with their champions, canaries, shadows and settings';

CREATE VIEW risk.model_versions_info AS
	SELECT v.model, v.version, r.role, r.percent, r.paused, v.retired_at,
		   v.metadata ->> 'format' AS format,
		   v.metadata ->> 'xgboost_version' AS xgboost_version,
		   v.metadata ->> 'objective' AS objective,
		   v.metadata ->> 'booster' AS booster,
		   (v.metadata ->> 'num_trees')::integer AS trees,
		   (v.metadata ->> 'max_depth')::integer AS max_depth,
		   (v.metadata ->> 'num_outputs')::integer AS outputs,
		   (v.metadata ->> 'num_features')::integer AS features,
		   v.feature_names,
		   v.categories,
		   (v.metadata ->> 'missing')::float4 AS missing,
		   (v.metadata ->> 'best_iteration')::integer AS best_iteration,
		   (v.metadata ->> 'used_rounds')::integer AS used_rounds,
		   v.metadata -> 'certificate' AS certificate,
		   octet_length(v.artifact) AS artifact_bytes,
		   encode(v.artifact_sha256, 'hex') AS artifact_sha256,
		   octet_length(v.image) AS image_bytes,
		   encode(v.image_sha256, 'hex') AS image_sha256,
		   v.card, v.note, v.registered_by, v.registered_at, v.version_id
	FROM risk.model_versions AS v
	LEFT JOIN risk.model_roles AS r USING (version_id);
COMMENT ON VIEW risk.model_versions_info IS 'Registered versions: what they are, where they came from, what was proved about them';

CREATE VIEW risk.cached_models AS
	SELECT v.model, v.version, r.role, c.image_bytes, c.plan_bytes, c.refused_kernel, c.in_use, c.loaded_at, c.last_used_at,
		   encode(c.image_sha256, 'hex') AS image_sha256
	FROM risk.cache_entries() AS c
	LEFT JOIN risk.model_versions AS v ON v.image_sha256 = c.image_sha256
	LEFT JOIN risk.model_roles AS r USING (version_id);
COMMENT ON VIEW risk.cached_models IS
	'Versions whose forest is in shared memory; model and version are NULL for those of other databases and for dropped ones';
COMMENT ON COLUMN risk.cached_models.plan_bytes IS 'The forest laid out for the processor, besides the image; 0: none';
COMMENT ON COLUMN risk.cached_models.in_use IS 'Transactions that hold it at this moment';

CREATE VIEW risk.rollout_status AS
	SELECT o.model, o.version, r.percent,
		   CASE WHEN o.steps IS NOT NULL THEN o.step END AS step,
		   cardinality(o.steps) AS steps,
		   o.status, o.paused_by, o.successes, o.consecutive_success_limit, o.failures, o.failure_limit,
		   o.started_at, o.next_evaluation, g.evaluated_at, g.gates
	FROM risk.rollouts AS o
	JOIN risk.model_roles AS r ON r.model = o.model AND r.version_id = o.version_id
	LEFT JOIN LATERAL (
		SELECT e.evaluated_at, jsonb_object_agg(e.gate, e.result) AS gates
		FROM risk.gate_results AS e
		WHERE e.model = o.model AND e.version = o.version AND e.evaluated_at >= o.started_at
		GROUP BY e.evaluated_at ORDER BY e.evaluated_at DESC LIMIT 1) AS g ON true
	WHERE o.ended_at IS NULL;
COMMENT ON VIEW risk.rollout_status IS
	'Canaries under way: how far they have come, what the gates said last, when they are evaluated next';
COMMENT ON COLUMN risk.rollout_status.steps IS 'How many steps there are; NULL: the percentage is set by hand';

CREATE VIEW risk.open_alerts AS
	SELECT a.alert_id, a.severity, a.kind, a.model, a.version, a.message, a.details, a.occurrences, a.first_at, a.last_at
	FROM risk.alerts AS a
	WHERE a.acknowledged_at IS NULL
	ORDER BY array_position('{critical,warning,info}', a.severity), a.last_at DESC;
COMMENT ON VIEW risk.open_alerts IS 'Alerts that nobody has acknowledged with risk.acknowledge_alert(), the worst first';
