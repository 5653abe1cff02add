-- ---------------------------------------------------------------------------
-- Catalog.  Ordinary tables, ordinary data: dumped, replicated, rolled back.
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
	log				text NOT NULL DEFAULT 'off' CHECK (log IN ('transactional', 'queued', 'off')),
	log_percent		float8 NOT NULL DEFAULT 100 CHECK (log_percent BETWEEN 0 AND 100),
	log_features	text NOT NULL DEFAULT 'none' CHECK (log_features IN ('none', 'hash', 'full')),
	on_missing		text NOT NULL DEFAULT 'error' CHECK (on_missing IN ('error', 'fallback')),
	fallback_score	float8 CHECK (fallback_score <> 'NaN'),
	bands			jsonb,
	decision_threshold	float8 NOT NULL DEFAULT 0.5 CHECK (decision_threshold <> 'NaN'),
	review_capacity	float8 CHECK (review_capacity > 0 AND review_capacity <= 1000),
	review_cost		float8 NOT NULL DEFAULT 1 CHECK (review_cost >= 0 AND review_cost < 'Infinity'),
	label_maturity	interval NOT NULL DEFAULT '7 days' CHECK (label_maturity >= '0' AND label_maturity <= '100 years'),
	unlabeled		text NOT NULL DEFAULT 'unknown' CHECK (unlabeled IN ('unknown', 'negative')),
	created_by		text NOT NULL DEFAULT session_user,
	created_at		timestamptz NOT NULL DEFAULT now(),
	moved_at		timestamptz,
	CHECK (on_missing = 'error' OR fallback_score IS NOT NULL)
);
COMMENT ON TABLE risk.model_definitions IS
	'Models: named scoring tasks and their settings. Written by risk.create_model() and risk.alter_model(); read risk.models.';
COMMENT ON COLUMN risk.model_definitions.entity_id IS
	'Column that identifies the transaction (or account) that is scored; a canary chooses by it';
COMMENT ON COLUMN risk.model_definitions.event_time IS
	'Column that says when the transaction happened';
COMMENT ON COLUMN risk.model_definitions.cohorts IS
	'Columns whose values divide transactions into cohorts (country, asset, ...)';
COMMENT ON COLUMN risk.model_definitions.positive_class IS
	'Which output of a version of several outputs is the score; counted from 0';
COMMENT ON COLUMN risk.model_definitions.log IS
	'Predictions are logged: transactional, in triggers by the transaction itself and in queries by way of the queue; queued, always by way of the queue; or off';
COMMENT ON COLUMN risk.model_definitions.log_percent IS
	'Percentage of the entities whose predictions are logged, chosen by a stable hash';
COMMENT ON COLUMN risk.model_definitions.log_features IS
	'What a prediction keeps of its features: none, a 64-bit hash, or all values';
COMMENT ON COLUMN risk.model_definitions.on_missing IS
	'What happens if no version can score: an error, or fallback_score, flagged as such';
COMMENT ON COLUMN risk.model_definitions.fallback_score IS
	'Score where no version can score';
COMMENT ON COLUMN risk.model_definitions.bands IS
	'Actions by their lowest score: {"approve": 0, "review": 0.4, "decline": 0.9}';
COMMENT ON COLUMN risk.model_definitions.decision_threshold IS
	'Score from which on a transaction counts as flagged, in reports and gates';
COMMENT ON COLUMN risk.model_definitions.review_capacity IS
	'How many of 1000 transactions can be reviewed';
COMMENT ON COLUMN risk.model_definitions.review_cost IS
	'Cost of flagging an honest transaction, in the unit of the labels'' amount';
COMMENT ON COLUMN risk.model_definitions.label_maturity IS
	'Age from which on a transaction is judged by its label';
COMMENT ON COLUMN risk.model_definitions.unlabeled IS
	'What a mature transaction without a label is: unknown (not judged), or negative (honest)';
COMMENT ON COLUMN risk.model_definitions.moved_at IS
	'When a version was last moved or dropped; moves of one model conflict on this';

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
	retired_at		timestamptz,
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
COMMENT ON COLUMN risk.model_versions.registered_at IS
	'When it was registered; what was logged under its name before is no evidence about it';
COMMENT ON COLUMN risk.model_versions.retired_at IS
	'Since when the version can have no role any more; the only column that changes';

CREATE TABLE risk.model_roles (
	model		text NOT NULL,
	version_id	bigint NOT NULL,
	role		text NOT NULL CHECK (role IN ('champion', 'canary', 'shadow')),
	percent		float8 NOT NULL DEFAULT 100 CHECK (percent BETWEEN 0 AND 100),
	salt		bigint NOT NULL DEFAULT 0,
	paused		boolean NOT NULL DEFAULT false,
	since		timestamptz NOT NULL DEFAULT now(),
	granted_by	text NOT NULL DEFAULT session_user,
	PRIMARY KEY (model, version_id)
);
CREATE UNIQUE INDEX model_roles_one_key ON risk.model_roles (model, role) WHERE role IN ('champion', 'canary');
COMMENT ON INDEX risk.model_roles_one_key IS 'A model has one champion and one canary at most';
COMMENT ON TABLE risk.model_roles IS
	'The route: which version of a model does what on live traffic. Written by the moves (risk.promote() and so on); every score reads it.';
COMMENT ON COLUMN risk.model_roles.percent IS
	'Of the entities: those that a canary decides, those that a shadow scores';
COMMENT ON COLUMN risk.model_roles.since IS
	'Since when role, percentage and pause are as they are';
COMMENT ON COLUMN risk.model_roles.salt IS
	'Seed of the hash that chooses the entities: risk.entity_percent(entity_id, salt) < percent';
COMMENT ON COLUMN risk.model_roles.paused IS
	'A paused shadow does not score; a paused canary keeps its share, and its rollout stands still';

COMMENT ON SEQUENCE risk.model_versions_version_id_seq IS 'Numbers of versions';

SELECT pg_catalog.pg_extension_config_dump('risk.model_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_versions', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_versions_version_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('risk.model_roles', '');

CREATE FUNCTION risk.refuse_update() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'a registered version is immutable'
		USING ERRCODE = 'object_not_in_prerequisite_state',
			  HINT = 'Register the changed model under a new version name with risk.register_model().';
END $$;
COMMENT ON FUNCTION risk.refuse_update() IS
	'Trigger that keeps registered versions immutable';

CREATE TRIGGER immutable BEFORE UPDATE OF version_id, model, version, artifact, artifact_sha256, image, image_sha256,
		metadata, feature_names, categories, card, note, registered_by, registered_at ON risk.model_versions
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

CREATE FUNCTION risk.require_argument(valid boolean, message text, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF valid IS NOT TRUE THEN
		RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value', HINT = hint;
	END IF;
END $$;
COMMENT ON FUNCTION risk.require_argument(boolean, text, text) IS
	'Raise an error unless an argument is valid. Errors: 22023.';
