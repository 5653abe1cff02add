-- ---------------------------------------------------------------------------
-- Models and versions.
-- ---------------------------------------------------------------------------

-- Settings are checked where they are stored, with more to say than a CHECK.
CREATE FUNCTION risk.check_settings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	complaint text;
	hint text;
BEGIN
	SELECT c.complaint, c.hint INTO complaint, hint
	FROM (VALUES
		(1, coalesce(NEW.model, '') = '',
		 'model name must not be null or empty',
		 'Name the scoring task, for example ''card_fraud''.'),
		(2, NEW.positive_class < 0,
		 'positive_class must not be negative',
		 'Outputs are counted from 0.'),
		(3, array_position(NEW.cohorts, NULL) IS NOT NULL OR array_ndims(NEW.cohorts) > 1,
		 'cohorts must be a list of column names',
		 'For example ''{country,asset}''.'),
		(4, NEW.log NOT IN ('transactional', 'queued', 'off'),
		 format('log must not be "%s"', NEW.log),
		 'It is transactional, queued, or off.'),
		(5, NEW.log_percent NOT BETWEEN 0 AND 100,
		 'log_percent must be between 0 and 100',
		 'It is a percentage of the entities.'),
		(6, NEW.log_features NOT IN ('none', 'hash', 'full'),
		 format('log_features must not be "%s"', NEW.log_features),
		 'It is none, hash, or full.'),
		(7, NEW.on_missing NOT IN ('error', 'fallback'),
		 format('on_missing must not be "%s"', NEW.on_missing),
		 'It is error or fallback.'),
		(8, NEW.on_missing = 'fallback' AND NEW.fallback_score IS NULL,
		 'on_missing => ''fallback'' needs a fallback_score',
		 'Give both in one call, for example on_missing => ''fallback'', fallback_score => 0.5.'),
		(9, NEW.fallback_score = 'NaN' OR NEW.decision_threshold = 'NaN',
		 'fallback_score and decision_threshold must not be NaN',
		 'They are scores: high is risky.'),
		(10, NEW.review_capacity <= 0 OR NEW.review_capacity > 1000,
		 'review_capacity must be above 0, and 1000 at most',
		 'It says how many of 1000 transactions can be reviewed.'),
		(11, NOT (NEW.review_cost >= 0 AND NEW.review_cost < 'Infinity'),
		 'review_cost must be a number of at least 0',
		 'It is the cost of one false alarm, in the unit of the labels'' amount.'),
		(12, NEW.label_maturity < '0',
		 'label_maturity must not be negative',
		 'It is the age from which on a transaction is judged by its label, for example ''7 days''.'),
		(13, NEW.unlabeled NOT IN ('unknown', 'negative'),
		 format('unlabeled must not be "%s"', NEW.unlabeled),
		 'It is unknown or negative.'),
		(14, NOT risk.valid_bands(NEW.bands),
		 'bands must name actions and the lowest score of each, no two the same',
		 'For example {"approve": 0, "review": 0.4, "decline": 0.9}.')
	) AS c (number, wrong, complaint, hint)
	WHERE c.wrong ORDER BY c.number LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION '%', complaint USING ERRCODE = 'invalid_parameter_value', HINT = hint;
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION risk.check_settings() IS
	'Trigger that refuses settings of models that make no sense. Errors: 22023.';

CREATE FUNCTION risk.valid_bands(bands jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	IF bands IS NULL THEN
		RETURN true;
	END IF;
	IF jsonb_typeof(bands) <> 'object' THEN
		RETURN false;
	END IF;
	RETURN (SELECT count(*) > 0 AND count(*) = count(DISTINCT b.value)
				   AND bool_and(jsonb_typeof(b.value) = 'number' AND b.key <> '')
			FROM jsonb_each(bands) AS b);
END $$;
COMMENT ON FUNCTION risk.valid_bands(jsonb) IS
	'Are these bands: an object of actions and their lowest scores, all different? NULL is no bands, and valid';

CREATE TRIGGER settings BEFORE INSERT OR UPDATE ON risk.model_definitions
	FOR EACH ROW EXECUTE FUNCTION risk.check_settings();
COMMENT ON TRIGGER settings ON risk.model_definitions IS 'Refuses settings that make no sense';

CREATE FUNCTION risk.create_model(
	model text,
	entity_id text DEFAULT NULL,
	event_time text DEFAULT NULL,
	cohorts text[] DEFAULT '{}',
	positive_class integer DEFAULT NULL,
	log text DEFAULT 'off')
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	PERFORM risk.require_writes();
	INSERT INTO risk.model_definitions (model, entity_id, event_time, cohorts, positive_class, log)
	VALUES (model, entity_id, event_time, coalesce(cohorts, '{}'), positive_class, coalesce(log, 'off'))
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'model "%" already exists', model
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Register further versions of it with risk.register_model(), or choose another name.';
	END IF;
	IF log <> 'off' THEN
		PERFORM risk.maintain_predictions();
	END IF;
END $$;
COMMENT ON FUNCTION risk.create_model(text, text, text, text[], integer, text) IS
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

CREATE FUNCTION risk.check_model() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- pg_restore fills the tables in any order, each at once: no model at all
	-- means that they are still to come.
	IF EXISTS (SELECT FROM risk.model_definitions) THEN
		PERFORM risk.require_model(NEW.model);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION risk.check_model() IS
	'Trigger that refuses rows of models that do not exist. Errors: 42704.';

CREATE FUNCTION risk.alter_model(
	model text,
	entity_id text DEFAULT NULL,
	event_time text DEFAULT NULL,
	cohorts text[] DEFAULT NULL,
	positive_class integer DEFAULT NULL,
	log text DEFAULT NULL,
	log_percent float8 DEFAULT NULL,
	log_features text DEFAULT NULL,
	on_missing text DEFAULT NULL,
	fallback_score float8 DEFAULT NULL,
	bands jsonb DEFAULT NULL,
	decision_threshold float8 DEFAULT NULL,
	review_capacity float8 DEFAULT NULL,
	review_cost float8 DEFAULT NULL,
	label_maturity interval DEFAULT NULL,
	unlabeled text DEFAULT NULL,
	reset text[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	settings CONSTANT text[] := ARRAY(
		SELECT a.attname FROM pg_attribute AS a
		WHERE a.attrelid = 'risk.model_definitions'::regclass AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attname NOT IN ('model', 'created_by', 'created_at', 'moved_at') ORDER BY a.attnum);
BEGIN
	PERFORM risk.require_writes();
	IF NOT coalesce(reset, '{}') <@ settings THEN
		RAISE EXCEPTION 'reset must name properties of a model'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = format('They are: %s.', array_to_string(settings, ', '));
	END IF;
	UPDATE risk.model_definitions AS d
	SET entity_id = coalesce(entity_id, d.entity_id),
		event_time = coalesce(event_time, d.event_time),
		cohorts = coalesce(cohorts, d.cohorts),
		positive_class = coalesce(positive_class, d.positive_class),
		log = coalesce(log, d.log),
		log_percent = coalesce(log_percent, d.log_percent),
		log_features = coalesce(log_features, d.log_features),
		on_missing = coalesce(on_missing, d.on_missing),
		fallback_score = coalesce(fallback_score, d.fallback_score),
		bands = coalesce(bands, d.bands),
		decision_threshold = coalesce(decision_threshold, d.decision_threshold),
		review_capacity = coalesce(review_capacity, d.review_capacity),
		review_cost = coalesce(review_cost, d.review_cost),
		label_maturity = coalesce(label_maturity, d.label_maturity),
		unlabeled = coalesce(unlabeled, d.unlabeled)
	WHERE d.model = model;
	IF NOT FOUND THEN
		PERFORM risk.require_model(model);
	END IF;
	IF cardinality(reset) > 0 THEN
		EXECUTE format('UPDATE risk.model_definitions SET %s WHERE model = $1',
					   (SELECT string_agg(DISTINCT format('%I = DEFAULT', r), ', ') FROM unnest(reset) AS r))
		USING model;
	END IF;
	PERFORM risk.require_settings(model, r.role) FROM risk.model_roles AS r WHERE r.model = model;
	IF log <> 'off' THEN
		PERFORM risk.maintain_predictions();
	END IF;
END $$;
COMMENT ON FUNCTION risk.alter_model(text, text, text, text[], integer, text, float8, text, text, float8, jsonb, float8, float8, float8, interval, text, text[]) IS
	'Change settings of a model. NULL leaves a setting as it is; those named in reset go back to their defaults. Errors: 42704 no such model, 22023 bad argument, 55000 its canary or shadow needs the setting.';

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
			 metadata, feature_names, categories, card, note, registered_at)
		VALUES
			(model, version, artifact, sha256(artifact), imported.image, sha256(imported.image),
			 imported.metadata, names, category_names, card, note, risk.clock())
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
BEGIN
	PERFORM risk.begin_move(model);
	dropped := risk.version_id(model, version);
	PERFORM risk.require_no_role(model, dropped);
	DELETE FROM risk.model_versions AS v WHERE v.version_id = dropped;
END $$;
COMMENT ON FUNCTION risk.drop_version(text, text) IS
	'Remove a version that has no role; its history and predictions stay. Errors: 42704 no such model or version, 55006 it has a role.';

CREATE FUNCTION risk.drop_model(model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	at timestamptz;
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
	at := risk.clock();
	PERFORM risk.change_role(risk.role_event(model, r.version_id, 'drop_model', at))
	FROM risk.model_roles AS r WHERE r.model = model;
	DELETE FROM risk.gates AS g WHERE g.model = model;
	DELETE FROM risk.reason_codes AS c WHERE c.model = model;
	DELETE FROM risk.model_versions AS v WHERE v.model = model;
	DELETE FROM risk.model_definitions AS d WHERE d.model = model;
END $$;
COMMENT ON FUNCTION risk.drop_model(text) IS
	'Remove a model with its versions, gates and reason codes; history and predictions stay. Errors: 42704 no such model.';

-- ---------------------------------------------------------------------------
-- Retired versions: kept, and out of the way.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.evict_image(image_sha256 bytea) RETURNS boolean
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'risk_evict_image';
COMMENT ON FUNCTION risk.evict_image(bytea) IS
	'Free the shared memory of a forest image. False: it is not there, or in use, and goes when the room is needed.';

CREATE FUNCTION risk.retire(model text, version text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	at timestamptz := risk.begin_move(model);
	retired bigint := risk.version_id(model, version);
BEGIN
	PERFORM risk.require_no_role(model, retired);
	UPDATE risk.model_versions AS v SET retired_at = at WHERE v.version_id = retired AND v.retired_at IS NULL;
	IF NOT FOUND THEN
		PERFORM risk.refuse_move(model, version);
	END IF;
	PERFORM risk.change_role(risk.role_event(model, retired, 'retire', at));
	PERFORM risk.evict_image(v.image_sha256) FROM risk.model_versions AS v
	WHERE v.version_id = retired
	AND NOT EXISTS (SELECT FROM risk.model_versions AS o
					WHERE o.image_sha256 = v.image_sha256 AND o.retired_at IS NULL);
END $$;
COMMENT ON FUNCTION risk.retire(text, text) IS
	'Bar a version from all roles and free its shared memory; its history stays, and it can be scored by name. Errors: 42704 no such model or version, 55006 it has a role, 55000 it is retired.';

CREATE FUNCTION risk.unretire(model text, version text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	at timestamptz := risk.begin_move(model);
	recalled bigint := risk.version_id(model, version);
BEGIN
	UPDATE risk.model_versions AS v SET retired_at = NULL WHERE v.version_id = recalled AND v.retired_at IS NOT NULL;
	IF NOT FOUND THEN
		PERFORM risk.refuse_move(model, version);
	END IF;
	PERFORM risk.change_role(risk.role_event(model, recalled, 'unretire', at));
END $$;
COMMENT ON FUNCTION risk.unretire(text, text) IS
	'Let a retired version have roles again. Errors: 42704 no such model or version, 55000 it is not retired.';
