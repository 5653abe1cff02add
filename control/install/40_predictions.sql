-- ---------------------------------------------------------------------------
-- The prediction log.  A row is one version's score of one transaction, beside
-- the champion's: (model, entity_id, scored_at) is the transaction.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.predictions (
	model				text NOT NULL,
	entity_id			text,
	event_time			timestamptz,
	scored_at			timestamptz NOT NULL,
	version				text,
	role				text NOT NULL CHECK (role IN ('champion', 'canary', 'shadow', 'external', 'fallback')),
	score				float8,
	champion_version	text,
	champion_score		float8,
	latency_us			float4,
	champion_latency_us	float4,
	missing_share		float4,
	cohort				jsonb,
	features_hash		bigint,
	features			real[],
	source				text NOT NULL CHECK (source IN ('trigger', 'query', 'external')),
	error				text
) PARTITION BY RANGE (scored_at);
CREATE INDEX predictions_entity_idx ON risk.predictions (model, entity_id, scored_at);
CREATE INDEX predictions_version_idx ON risk.predictions (model, version, scored_at);
CREATE TABLE risk.predictions_default PARTITION OF risk.predictions DEFAULT;
COMMENT ON TABLE risk.predictions IS
	'Logged predictions: one row for each version that scored a transaction, with the champion''s score beside it. Written by scoring; partitioned by day of scored_at.';
COMMENT ON TABLE risk.predictions_default IS
	'Predictions of days for which there was no partition; the worker moves them to where they belong';
COMMENT ON COLUMN risk.predictions.entity_id IS 'Value of the model''s entity_id column, as text';
COMMENT ON COLUMN risk.predictions.event_time IS 'Value of the model''s event_time column';
COMMENT ON COLUMN risk.predictions.scored_at IS 'When it was scored; the same in all rows of one transaction';
COMMENT ON COLUMN risk.predictions.version IS 'Version that scored; NULL where role is fallback';
COMMENT ON COLUMN risk.predictions.role IS
	'What the version did: champion or canary, it decided; shadow, it only scored; external, somebody else''s score; fallback, no version could score and the model''s fallback score decided';
COMMENT ON COLUMN risk.predictions.score IS 'The version''s score (high = risky); NULL if it could not score: see error';
COMMENT ON COLUMN risk.predictions.champion_score IS 'The champion''s score of the same transaction';
COMMENT ON COLUMN risk.predictions.latency_us IS 'Microseconds that the version took to score the features';
COMMENT ON COLUMN risk.predictions.champion_latency_us IS 'Microseconds that the champion took to score the features';
COMMENT ON COLUMN risk.predictions.missing_share IS 'Share of the version''s features that were missing, 0 to 1';
COMMENT ON COLUMN risk.predictions.cohort IS 'Values of the model''s cohort columns: {"country": "FR"}';
COMMENT ON COLUMN risk.predictions.features_hash IS 'Hash of the features, where the model''s log_features is hash';
COMMENT ON COLUMN risk.predictions.features IS 'Features in the version''s order, where the model''s log_features is full';
COMMENT ON COLUMN risk.predictions.source IS 'What scored: a trigger, a query, or somebody else (external)';
COMMENT ON COLUMN risk.predictions.error IS 'Why the version could not score';
SELECT pg_catalog.pg_extension_config_dump('risk.predictions', '');
SELECT pg_catalog.pg_extension_config_dump('risk.predictions_default', '');

-- ---------------------------------------------------------------------------
-- Labels: what transactions turned out to be, learned later.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.labels (
	entity_id	text NOT NULL,
	label		boolean NOT NULL,
	label_time	timestamptz NOT NULL DEFAULT now(),
	source		text NOT NULL DEFAULT '',
	amount		numeric,
	model		text
);
CREATE INDEX labels_entity_idx ON risk.labels (entity_id, label_time);
COMMENT ON TABLE risk.labels IS
	'What transactions turned out to be. Append to it, by INSERT, COPY or risk.load_labels(); of several labels of an entity the latest holds, and true of equally late ones.';
COMMENT ON COLUMN risk.labels.entity_id IS 'The entity that was scored, as text';
COMMENT ON COLUMN risk.labels.label IS 'true: fraud';
COMMENT ON COLUMN risk.labels.label_time IS 'When it was learned';
COMMENT ON COLUMN risk.labels.source IS 'Who said so: chargeback, manual_review, ...';
COMMENT ON COLUMN risk.labels.amount IS 'What the transaction costs if it is fraud and nobody stops it';
COMMENT ON COLUMN risk.labels.model IS 'NULL: for all models; otherwise for this one only, before those for all';
SELECT pg_catalog.pg_extension_config_dump('risk.labels', '');
