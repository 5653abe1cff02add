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

-- ---------------------------------------------------------------------------
-- Catalog.  Three tables, ordinary data: dumped, replicated, rolled back.
-- Only the functions below write them.  They keep the tables consistent by
-- locking or changing the model's row, so there are no foreign keys: a parallel pg_restore
-- fills an extension's tables in any order and would break them.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.model_definitions (
	model			text PRIMARY KEY CHECK (model <> ''),
	entity_id		text,
	event_time		text,
	cohorts			text[] NOT NULL DEFAULT '{}',
	positive_class	integer CHECK (positive_class >= 0),
	created_by		text NOT NULL DEFAULT session_user,
	created_at		timestamptz NOT NULL DEFAULT now(),
	moved_at		timestamptz
);
COMMENT ON TABLE risk.model_definitions IS
	'Models: named scoring tasks. Written by risk.create_model(); read risk.models.';
COMMENT ON COLUMN risk.model_definitions.entity_id IS
	'Column that identifies the transaction (or account) that is scored';
COMMENT ON COLUMN risk.model_definitions.event_time IS
	'Column that says when the transaction happened';
COMMENT ON COLUMN risk.model_definitions.cohorts IS
	'Columns whose values divide transactions into cohorts (country, asset, ...)';
COMMENT ON COLUMN risk.model_definitions.moved_at IS
	'When a version was last promoted or dropped; moves of one model conflict on this';
COMMENT ON COLUMN risk.model_definitions.positive_class IS
	'Which output of a version of several outputs is the score; counted from 0';

CREATE TABLE risk.model_versions (
	version_id		bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	model			text NOT NULL,
	version			text NOT NULL CHECK (version <> ''),
	artifact		bytea NOT NULL,
	artifact_sha256	bytea NOT NULL,
	image			bytea NOT NULL,
	image_sha256	bytea NOT NULL,
	metadata		jsonb NOT NULL,
	feature_names	text[],
	categories		jsonb NOT NULL DEFAULT '{}',
	card			jsonb,
	note			text,
	registered_by	text NOT NULL DEFAULT session_user,
	registered_at	timestamptz NOT NULL DEFAULT now(),
	UNIQUE (model, version)
);
-- Neither compresses well, and an image is read on the way to a first score.
ALTER TABLE risk.model_versions
	ALTER artifact SET STORAGE EXTERNAL, ALTER image SET STORAGE EXTERNAL;
COMMENT ON TABLE risk.model_versions IS
	'Versions: immutable trained artifacts and their forest images. Written by risk.register_model(); read risk.model_versions_info.';
COMMENT ON COLUMN risk.model_versions.artifact IS
	'The model file as it was registered, byte for byte';
COMMENT ON COLUMN risk.model_versions.image IS
	'The forest image: what shared memory holds and what scoring walks';
COMMENT ON COLUMN risk.model_versions.metadata IS
	'What the importer found in the artifact, with the certificate';
COMMENT ON COLUMN risk.model_versions.feature_names IS
	'Names in the model''s order; NULL when neither the artifact nor the registration has any';
COMMENT ON COLUMN risk.model_versions.categories IS
	'Category names in code order, by feature name (or by position where there are no names)';
COMMENT ON COLUMN risk.model_versions.card IS
	'Model card: who, when, data, metrics; free form';

CREATE TABLE risk.model_roles (
	model		text NOT NULL,
	role		text NOT NULL CHECK (role IN ('champion')),
	version_id	bigint NOT NULL,
	since		timestamptz NOT NULL DEFAULT now(),
	granted_by	text NOT NULL DEFAULT session_user,
	PRIMARY KEY (model, role)
);
COMMENT ON TABLE risk.model_roles IS
	'The route: which version of a model does what on live traffic. Written by risk.promote().';

COMMENT ON SEQUENCE risk.model_versions_version_id_seq IS 'Numbers of versions';

SELECT pg_catalog.pg_extension_config_dump('risk.model_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_versions', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_versions_version_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_roles', '');

-- What backends remember about versions is forgotten, and the worker is woken,
-- when these tables change and the change commits; whoever changes them.  For
-- rows that logical replication applies, only row triggers fire.

CREATE FUNCTION risk.catalog_changed() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'risk_catalog_changed';
COMMENT ON FUNCTION risk.catalog_changed() IS
	'Trigger of the catalog tables: invalidates what backends remember and wakes the worker at COMMIT';

CREATE TRIGGER catalog_changed AFTER UPDATE OR DELETE ON risk.model_versions
	FOR EACH ROW EXECUTE FUNCTION risk.catalog_changed();
CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE ON risk.model_roles
	FOR EACH ROW EXECUTE FUNCTION risk.catalog_changed();
CREATE TRIGGER catalog_truncated AFTER TRUNCATE ON risk.model_versions
	FOR EACH STATEMENT EXECUTE FUNCTION risk.catalog_changed();
ALTER TABLE risk.model_versions ENABLE ALWAYS TRIGGER catalog_changed;
ALTER TABLE risk.model_versions ENABLE ALWAYS TRIGGER catalog_truncated;
ALTER TABLE risk.model_roles ENABLE ALWAYS TRIGGER catalog_changed;
COMMENT ON TRIGGER catalog_changed ON risk.model_versions IS
	'Has all processes forget what they remember about versions';
COMMENT ON TRIGGER catalog_truncated ON risk.model_versions IS
	'Has all processes forget what they remember about versions';
COMMENT ON TRIGGER catalog_changed ON risk.model_roles IS
	'Wakes the worker at COMMIT';

CREATE FUNCTION risk.refuse_update() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'a registered version is immutable'
		USING ERRCODE = 'object_not_in_prerequisite_state',
			  HINT = 'Register the changed model under a new version name with risk.register_model().';
END $$;
COMMENT ON FUNCTION risk.refuse_update() IS
	'Trigger that keeps registered versions immutable';

CREATE TRIGGER immutable BEFORE UPDATE ON risk.model_versions
	FOR EACH STATEMENT EXECUTE FUNCTION risk.refuse_update();
COMMENT ON TRIGGER immutable ON risk.model_versions IS 'Keeps registered versions immutable';

CREATE FUNCTION risk.require_writes() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF current_setting('transaction_read_only')::boolean THEN
		RAISE EXCEPTION 'models and roles cannot be changed in a read-only transaction'
			USING ERRCODE = 'read_only_sql_transaction',
				  HINT = 'On a standby, do it on the primary: the standby follows.';
	END IF;
END $$;
COMMENT ON FUNCTION risk.require_writes() IS
	'Raise an error in a read-only transaction, as on a standby. Errors: 25006.';

-- ---------------------------------------------------------------------------
-- Models and versions.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.create_model(
	model text,
	entity_id text DEFAULT NULL,
	event_time text DEFAULT NULL,
	cohorts text[] DEFAULT '{}',
	positive_class integer DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM risk.require_writes();
	IF coalesce(model, '') = '' THEN
		RAISE EXCEPTION 'model name must not be null or empty'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Name the scoring task, for example ''card_fraud''.';
	END IF;
	IF positive_class < 0 THEN
		RAISE EXCEPTION 'positive_class must not be negative'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Outputs are counted from 0.';
	END IF;
	INSERT INTO risk.model_definitions (model, entity_id, event_time, cohorts, positive_class)
	VALUES (model, entity_id, event_time, coalesce(cohorts, '{}'), positive_class)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'model "%" already exists', model
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Register further versions of it with risk.register_model(), or choose another name.';
	END IF;
END $$;
COMMENT ON FUNCTION risk.create_model(text, text, text, text[], integer) IS
	'Create a model: a named scoring task whose versions are registered next. Errors: 42710 exists, 22023 bad argument.';

CREATE FUNCTION risk.require_model(model text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	IF NOT EXISTS (SELECT FROM risk.model_definitions AS d WHERE d.model = model) THEN
		RAISE EXCEPTION 'model "%" does not exist', model
			USING ERRCODE = 'undefined_object',
				  HINT = 'Create it with risk.create_model(). SELECT model FROM risk.models lists those that exist.';
	END IF;
END $$;
COMMENT ON FUNCTION risk.require_model(text) IS
	'Raise an error unless the model exists. Errors: 42704 no such model.';

CREATE FUNCTION risk.alter_model(
	model text,
	entity_id text DEFAULT NULL,
	event_time text DEFAULT NULL,
	cohorts text[] DEFAULT NULL,
	positive_class integer DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM risk.require_writes();
	IF positive_class < 0 THEN
		RAISE EXCEPTION 'positive_class must not be negative'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Outputs are counted from 0.';
	END IF;
	PERFORM risk.require_model(model);
	UPDATE risk.model_definitions AS d
	SET entity_id = coalesce(entity_id, d.entity_id),
		event_time = coalesce(event_time, d.event_time),
		cohorts = coalesce(cohorts, d.cohorts),
		positive_class = coalesce(positive_class, d.positive_class)
	WHERE d.model = model;
END $$;
COMMENT ON FUNCTION risk.alter_model(text, text, text, text[], integer) IS
	'Change what a model knows about its transactions; NULL leaves a property as it is. Errors: 42704 no such model, 22023 bad argument.';

-- The importer program as a function: artifact in, {metadata, image} out.
CREATE FUNCTION risk.import_artifact(
	artifact bytea, missing float4, use_best_iteration boolean,
	OUT metadata jsonb, OUT image bytea)
	LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'risk_import_artifact';
COMMENT ON FUNCTION risk.import_artifact(bytea, float4, boolean) IS
	'Run the importer program on a model file: what it found, and the forest image. Registers nothing.';

-- The names that arrays, rows and errors use for the features of an import:
-- those given, else those of the artifact, else NULL.
CREATE FUNCTION risk.checked_feature_names(metadata jsonb, given text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	num_features CONSTANT integer := metadata ->> 'num_features';
	names text[];
	duplicate text;
BEGIN
	IF given IS NULL AND jsonb_typeof(metadata -> 'feature_names') IS DISTINCT FROM 'array' THEN
		RETURN NULL;
	END IF;
	names := coalesce(given, ARRAY(SELECT n FROM jsonb_array_elements_text(metadata -> 'feature_names')
								   WITH ORDINALITY AS e (n, i) ORDER BY i));
	IF array_ndims(names) IS DISTINCT FROM 1 OR cardinality(names) <> num_features
	   OR array_position(names, NULL) IS NOT NULL OR '' = ANY (names) THEN
		RAISE EXCEPTION 'feature_names must be % names, as many as the model has features', num_features
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Give one name for each feature, in the order in which the model was trained.';
	END IF;
	SELECT n INTO duplicate FROM unnest(names) AS n GROUP BY n HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'feature name "%" is there more than once', duplicate
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Each feature needs a name of its own: give them with feature_names => ARRAY[...].';
	END IF;
	RETURN names[:];
END $$;
COMMENT ON FUNCTION risk.checked_feature_names(jsonb, text[]) IS
	'Feature names of an import: those given, checked, else those of the artifact, else NULL';

-- Category names by feature name (position where there are no names): those
-- given, else those of the artifact.
CREATE FUNCTION risk.checked_categories(metadata jsonb, names text[], given jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result jsonb := '{}';
	feature text;
	list jsonb;
	kinds text[];
BEGIN
	IF jsonb_typeof(metadata -> 'categories') = 'object' THEN
		SELECT coalesce(jsonb_object_agg(coalesce(names[key::integer + 1], key), value), '{}')
		INTO result FROM jsonb_each(metadata -> 'categories');
	END IF;
	IF given IS NULL THEN
		RETURN result;
	END IF;
	IF jsonb_typeof(given) <> 'object' THEN
		RAISE EXCEPTION 'categories must be a JSON object'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'For example {"country": ["DE", "FR"]}: for each categorical feature its categories in code order.';
	END IF;
	FOR feature, list IN SELECT * FROM jsonb_each(given) LOOP
		IF NOT EXISTS (SELECT FROM jsonb_array_elements_text(metadata -> 'categorical_features') AS c (i)
					   WHERE coalesce(names[i::integer + 1], i) = feature) THEN
			RAISE EXCEPTION 'categories given for "%", which is not a categorical feature of the model', feature
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = format('Categorical features are: %s.',
						coalesce((SELECT string_agg(format('"%s"', coalesce(names[i::integer + 1], i)), ', ')
								  FROM jsonb_array_elements_text(metadata -> 'categorical_features') AS c (i)), 'none'));
		END IF;
		IF jsonb_typeof(list) = 'array' THEN
			SELECT array_agg(DISTINCT jsonb_typeof(c)) INTO kinds FROM jsonb_array_elements(list) AS c;
		ELSE
			kinds := NULL;
		END IF;
		IF kinds IS DISTINCT FROM '{string}' AND kinds IS DISTINCT FROM '{number}' THEN
			RAISE EXCEPTION 'categories of "%" must be an array of strings, or one of integers', feature
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'List the categories in code order: the first has code 0.';
		END IF;
		IF kinds = '{number}' AND EXISTS (SELECT FROM jsonb_array_elements_text(list) AS c
										  WHERE c !~ '^-?[0-9]{1,18}$') THEN
			RAISE EXCEPTION 'categories of "%" must be integers of at most 18 digits, or strings', feature
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'Write other numbers as strings.';
		END IF;
		IF (SELECT count(*) <> count(DISTINCT c) FROM jsonb_array_elements(list) AS c) THEN
			RAISE EXCEPTION 'categories of "%" contain a duplicate', feature
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'Each category has one code.';
		END IF;
		result := result || jsonb_build_object(feature, list);
	END LOOP;
	RETURN result;
END $$;
COMMENT ON FUNCTION risk.checked_categories(jsonb, text[], jsonb) IS
	'Category names of an import by feature: those given, checked, else those of the artifact';

CREATE FUNCTION risk.register_model(
	model text,
	version text,
	artifact bytea,
	missing float4 DEFAULT NULL,
	feature_names text[] DEFAULT NULL,
	categories jsonb DEFAULT NULL,
	use_best_iteration boolean DEFAULT false,
	card jsonb DEFAULT NULL,
	note text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	imported record;
	names text[];
	category_names jsonb;
BEGIN
	PERFORM risk.require_writes();
	IF model IS NULL OR coalesce(version, '') = '' OR artifact IS NULL THEN
		RAISE EXCEPTION 'model, version and artifact must not be null or empty'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Call risk.register_model(''card_fraud'', ''v1'', artifact) with the bytes of the model file.';
	END IF;
	PERFORM risk.require_model(model);
	IF NOT EXISTS (SELECT FROM risk.model_versions AS v WHERE v.model = model AND v.version = version) THEN
		SELECT * INTO imported
		FROM risk.import_artifact(artifact, missing, coalesce(use_best_iteration, false));
		names := risk.checked_feature_names(imported.metadata, feature_names);
		category_names := risk.checked_categories(imported.metadata, names, categories);
		-- The import took its time: the model may be gone.  A registration of
		-- the same version that runs at this moment is waited for.
		PERFORM FROM risk.model_definitions AS d WHERE d.model = model FOR KEY SHARE;
		PERFORM risk.require_model(model);
		INSERT INTO risk.model_versions
			(model, version, artifact, artifact_sha256, image, image_sha256,
			 metadata, feature_names, categories, card, note)
		VALUES
			(model, version, artifact, sha256(artifact), imported.image, sha256(imported.image),
			 imported.metadata, names, category_names, card, note)
		ON CONFLICT DO NOTHING;
		IF FOUND THEN
			RETURN imported.metadata -> 'certificate';
		END IF;
	END IF;
	RAISE EXCEPTION 'version "%" of model "%" is already registered', version, model
		USING ERRCODE = 'duplicate_object',
			  HINT = 'A registered version is immutable. Register the artifact under a new version name.';
END $$;
COMMENT ON FUNCTION risk.register_model(text, text, bytea, float4, text[], jsonb, boolean, jsonb, text) IS
	'Import, certify and store a trained XGBoost model as a version; returns its certificate. The artifact is JSON, UBJSON or the old binary. Errors: 42704 no such model, 42710 version exists, 22P03 not a sound model file, 0A000 a kind that cannot be certified, 22000 readings disagree, 54000 over a limit, 22023 bad argument.';

CREATE FUNCTION risk.version_id(model text, version text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	id bigint;
BEGIN
	IF model IS NULL OR version IS NULL THEN
		RAISE EXCEPTION 'model and version must not be null'
			USING ERRCODE = 'null_value_not_allowed',
				  HINT = 'SELECT model, version FROM risk.model_versions_info lists the registered versions.';
	END IF;
	SELECT v.version_id INTO id FROM risk.model_versions AS v
	WHERE v.model = model AND v.version = version;
	IF FOUND THEN
		RETURN id;
	END IF;
	PERFORM risk.require_model(model);
	RAISE EXCEPTION 'version "%" of model "%" does not exist', version, model
		USING ERRCODE = 'undefined_object',
			  HINT = format('Registered versions: %s.',
				coalesce((SELECT string_agg(format('"%s"', v.version), ', ' ORDER BY v.version_id)
						  FROM risk.model_versions AS v WHERE v.model = model), 'none'));
END $$;
COMMENT ON FUNCTION risk.version_id(text, text) IS
	'Number of a registered version. Errors: 42704 no such model or version, 22004 null.';

CREATE FUNCTION risk.promote(model text, version text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	promoted bigint;
	previous text;
BEGIN
	PERFORM risk.require_writes();
	-- One move of a model at a time: a second one waits for the first, and one
	-- that cannot see the first (REPEATABLE READ) fails with 40001.
	UPDATE risk.model_definitions AS d SET moved_at = now() WHERE d.model = model;
	promoted := risk.version_id(model, version);
	SELECT v.version INTO previous
	FROM risk.model_roles AS r JOIN risk.model_versions AS v USING (version_id)
	WHERE r.model = model AND r.role = 'champion';
	INSERT INTO risk.model_roles (model, role, version_id)
	VALUES (model, 'champion', promoted)
	ON CONFLICT ON CONSTRAINT model_roles_pkey DO UPDATE
		SET version_id = excluded.version_id, since = now(), granted_by = session_user;
	RETURN previous;
END $$;
COMMENT ON FUNCTION risk.promote(text, text) IS
	'Make a version the champion of its model, for everybody at COMMIT; returns the champion before it, or NULL. Errors: 42704 no such model or version.';

CREATE FUNCTION risk.drop_version(model text, version text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	dropped bigint;
	held text;
BEGIN
	PERFORM risk.require_writes();
	UPDATE risk.model_definitions AS d SET moved_at = now() WHERE d.model = model;
	dropped := risk.version_id(model, version);
	SELECT r.role INTO held FROM risk.model_roles AS r WHERE r.version_id = dropped;
	IF FOUND THEN
		RAISE EXCEPTION 'version "%" is % of model "%"', version, held, model
			USING ERRCODE = 'object_in_use',
				  HINT = 'Promote another version first, or drop the whole model with risk.drop_model().';
	END IF;
	DELETE FROM risk.model_versions AS v WHERE v.version_id = dropped;
END $$;
COMMENT ON FUNCTION risk.drop_version(text, text) IS
	'Remove a version that has no role. Errors: 42704 no such model or version, 55006 it has a role.';

CREATE FUNCTION risk.drop_model(model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM risk.require_writes();
	-- All versions must be seen, those registered a moment ago included.
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION 'a model cannot be dropped in a % transaction', upper(current_setting('transaction_isolation'))
			USING ERRCODE = 'active_sql_transaction',
				  HINT = 'Drop it in a READ COMMITTED transaction.';
	END IF;
	PERFORM FROM risk.model_definitions AS d WHERE d.model = model FOR UPDATE;
	PERFORM risk.require_model(model);
	DELETE FROM risk.model_roles AS r WHERE r.model = model;
	DELETE FROM risk.model_versions AS v WHERE v.model = model;
	DELETE FROM risk.model_definitions AS d WHERE d.model = model;
END $$;
COMMENT ON FUNCTION risk.drop_model(text) IS
	'Remove a model with all its versions. Errors: 42704 no such model.';

-- ---------------------------------------------------------------------------
-- Scoring.  STABLE: the champion is the one that the statement's snapshot
-- sees.  Not STRICT: a NULL feature is a missing value.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.score_transaction(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8 LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_transaction';
COMMENT ON FUNCTION risk.score_transaction(text, anyelement, text) IS
	'Score of a transaction (high = risky) by the model''s champion, or by the version named. The transaction is a row, a record, jsonb, or an array in feature order; NULL and NaN are missing values. NULL transaction: NULL. Errors: 42704 no such model or version, 55000 no champion, 42703 features without a column, 42804 wrong type, 22023 bad value, 53400 cache too small.';

CREATE FUNCTION risk.score_margin(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8[] LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_margin';
COMMENT ON FUNCTION risk.score_margin(text, anyelement, text) IS
	'Margins before the objective''s transformation, one per output; arguments and errors as risk.score_transaction()';

CREATE FUNCTION risk.score_vector(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8[] LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_vector';
COMMENT ON FUNCTION risk.score_vector(text, anyelement, text) IS
	'All predictions after the objective''s transformation, as XGBoost returns them; arguments and errors as risk.score_transaction()';

CREATE FUNCTION risk.score_on_insert() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'risk_score_on_insert';
COMMENT ON FUNCTION risk.score_on_insert() IS
	'Trigger function: BEFORE INSERT [OR UPDATE] FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert(model, score_column [, version_column]) fills the named columns of the new row from the row itself';

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

-- Nothing here is for everybody: docs/reference.md has the GRANTs for the
-- analyst, service and admin roles.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA risk FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA risk FROM PUBLIC;

-- Tell the worker that this database has the extension now.
CREATE FUNCTION risk.wake_worker() RETURNS void
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'risk_wake_worker';
COMMENT ON FUNCTION risk.wake_worker() IS
	'Have the background worker look at this database when the transaction commits: it loads the versions that have a role';
REVOKE ALL ON FUNCTION risk.wake_worker() FROM PUBLIC;
SELECT risk.wake_worker();
