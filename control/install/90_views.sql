-- ---------------------------------------------------------------------------
-- What is there.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.cache_entries(
	OUT image_sha256 bytea, OUT image_bytes bigint, OUT in_use integer,
	OUT loaded_at timestamptz, OUT last_used_at timestamptz)
	RETURNS SETOF record LANGUAGE C VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'risk_cache_entries';
COMMENT ON FUNCTION risk.cache_entries() IS
	'Forest images in shared memory, of all databases of the server';

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
		   (SELECT count(*) FROM risk.model_versions AS a WHERE a.model = d.model) AS versions,
		   d.entity_id, d.event_time, d.cohorts, d.positive_class, d.created_by, d.created_at
	FROM risk.model_definitions AS d
	LEFT JOIN risk.model_roles AS r ON r.model = d.model AND r.role = 'champion'
	LEFT JOIN risk.model_versions AS v ON v.version_id = r.version_id;
COMMENT ON VIEW risk.models IS 'Models with their champions';

CREATE VIEW risk.model_versions_info AS
	SELECT v.model, v.version, r.role,
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
	SELECT v.model, v.version, r.role, c.image_bytes, c.in_use, c.loaded_at, c.last_used_at,
		   encode(c.image_sha256, 'hex') AS image_sha256
	FROM risk.cache_entries() AS c
	LEFT JOIN risk.model_versions AS v ON v.image_sha256 = c.image_sha256
	LEFT JOIN risk.model_roles AS r USING (version_id);
COMMENT ON VIEW risk.cached_models IS
	'Versions whose forest is in shared memory; model and version are NULL for those of other databases and for dropped ones';

