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

