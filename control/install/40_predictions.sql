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
-- Each partition has indexes of its own: a dump has them with the partition,
-- and could not be restored if attaching it made them.
CREATE TABLE risk.predictions_default PARTITION OF risk.predictions DEFAULT;
CREATE INDEX predictions_default_entity_idx ON risk.predictions_default (model, entity_id, scored_at);
CREATE INDEX predictions_default_version_idx ON risk.predictions_default (model, version, scored_at);
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
	amount		numeric CHECK (amount >= 0 AND amount <= 1e15),
	model		text
);
CREATE INDEX labels_entity_idx ON risk.labels (entity_id, label_time);
COMMENT ON TABLE risk.labels IS
	'What transactions turned out to be. Append to it, by INSERT, COPY or risk.load_labels(); of several labels of an entity the latest holds, and true of equally late ones.';
COMMENT ON COLUMN risk.labels.entity_id IS 'The entity that was scored, as text';
COMMENT ON COLUMN risk.labels.label IS 'true: fraud';
COMMENT ON COLUMN risk.labels.label_time IS 'When it was learned';
COMMENT ON COLUMN risk.labels.source IS 'Who said so: chargeback, manual_review, ...';
COMMENT ON COLUMN risk.labels.amount IS
	'What the transaction costs if it is fraud and nobody stops it: at most 1e15, up to which double precision tells amounts apart that differ by 1, and sums of them stay finite';
COMMENT ON COLUMN risk.labels.model IS 'NULL: for all models; otherwise for this one only, before those for all';
SELECT pg_catalog.pg_extension_config_dump('risk.labels', '');

-- ---------------------------------------------------------------------------
-- The queue, by way of which queries log.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.queue_sessions (
	started_at		timestamptz PRIMARY KEY,
	flushed_until	timestamptz NOT NULL,
	open			boolean NOT NULL
);
COMMENT ON TABLE risk.queue_sessions IS
	'One row for each start of shared memory in which the worker wrote predictions from the queue: one that is still open when another begins was ended by a crash';

CREATE FUNCTION risk.queue_counters(
	model text,
	OUT queued bigint, OUT logged bigint, OUT dropped bigint, OUT failed bigint,
	OUT rolled_back bigint, OUT not_logged bigint, OUT fallbacks bigint)
	LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_queue_counters';
COMMENT ON FUNCTION risk.queue_counters(text) IS
	'What became of a model''s transactions that were to be logged by way of the queue, since the server started; read risk.queue_status';

CREATE FUNCTION risk.queue_unreported(
	model text, OUT dropped bigint, OUT failed bigint, OUT fallbacks bigint)
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'risk_queue_unreported';
COMMENT ON FUNCTION risk.queue_unreported(text) IS
	'By how much these counters have grown since this was last called; for the worker''s alerts';

CREATE FUNCTION risk.queue_fill() RETURNS float8
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_queue_fill';
COMMENT ON FUNCTION risk.queue_fill() IS
	'How full the queue of this database is, 0 to 1; NULL: it has none';

CREATE FUNCTION risk.queue_started_at() RETURNS timestamptz
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_queue_started_at';
COMMENT ON FUNCTION risk.queue_started_at() IS
	'When shared memory, and with it the queue and its counters, was made: at the server''s start, or its restart after a crash';

CREATE VIEW risk.queue_status AS
	SELECT d.model, c.queued, c.queued - c.logged - c.failed - c.rolled_back - c.not_logged AS waiting,
		   c.logged, c.dropped, c.failed, c.rolled_back, c.not_logged, c.fallbacks,
		   risk.queue_fill() AS queue_fill, risk.queue_started_at() AS since
	FROM risk.model_definitions AS d, LATERAL risk.queue_counters(d.model) AS c;
COMMENT ON VIEW risk.queue_status IS
	'What became of the transactions that were to be logged by way of the queue, by model, since the server started';
COMMENT ON COLUMN risk.queue_status.queued IS 'Were put into the queue';
COMMENT ON COLUMN risk.queue_status.waiting IS 'Are in it, or wait for an open transaction';
COMMENT ON COLUMN risk.queue_status.logged IS 'Were written';
COMMENT ON COLUMN risk.queue_status.dropped IS 'Were not: the queue was full, or the database has none';
COMMENT ON COLUMN risk.queue_status.failed IS 'Were not: an error, which is in the server''s log';
COMMENT ON COLUMN risk.queue_status.rolled_back IS 'Were left out with their transaction';
COMMENT ON COLUMN risk.queue_status.not_logged IS 'Were left out on a standby';
COMMENT ON COLUMN risk.queue_status.fallbacks IS 'Decisions of the fallback score, logged or not';
COMMENT ON COLUMN risk.queue_status.queue_fill IS 'How full the queue of this database is, 0 to 1';
COMMENT ON COLUMN risk.queue_status.since IS 'The server''s start, or its restart after a crash';

CREATE FUNCTION risk.queue_flushed(until timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE risk.queue_sessions AS s SET flushed_until = greatest(s.flushed_until, until), open = true
	WHERE s.started_at = risk.queue_started_at();
	IF NOT FOUND THEN
		INSERT INTO risk.queue_sessions
		VALUES (risk.queue_started_at(), greatest(risk.queue_started_at(), until), true);
	END IF;
END $$;
COMMENT ON FUNCTION risk.queue_flushed(timestamptz) IS
	'For the worker: notes with each batch of predictions that what was put into the queue before that time is written';

CREATE FUNCTION risk.queue_left() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	UPDATE risk.queue_sessions AS s SET flushed_until = clock_timestamp(), open = false
	WHERE s.started_at = risk.queue_started_at() AND s.open;
END $$;
COMMENT ON FUNCTION risk.queue_left() IS
	'For the worker: notes that the queue is empty and nothing would be lost now';

-- From a standby to its primary, by dblink: a connection and a transaction there
-- for each batch.  An array of rows travels as text, which loses nothing in the
-- modes that are set here.
CREATE FUNCTION risk.dblink(function text, VARIADIC arguments text[] DEFAULT '{}') RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'dblink') THEN
		RAISE EXCEPTION 'the extension dblink is not installed (on the primary: CREATE EXTENSION dblink)'
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	EXECUTE (SELECT format('SELECT %s.%I(%s)', e.extnamespace::regnamespace, function,
						   (SELECT string_agg(quote_literal(a), ', ' ORDER BY n) FROM unnest(arguments) WITH ORDINALITY AS u (a, n)))
			 FROM pg_extension AS e WHERE e.extname = 'dblink') INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN		-- its context would put the rows into the server's log
	RAISE EXCEPTION 'predictions could not be forwarded to the primary: %', SQLERRM USING ERRCODE = SQLSTATE;
END $$;
COMMENT ON FUNCTION risk.dblink(text, text[]) IS
	'Call a function of the extension dblink, in whichever schema it is';

CREATE FUNCTION risk.begin_forwarding() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF risk.dblink('dblink_get_connections') LIKE '%pg_risk%' THEN
		PERFORM risk.dblink('dblink_disconnect', 'pg_risk');	-- a batch has failed
	END IF;
	PERFORM risk.dblink('dblink_connect', 'pg_risk', format('%s dbname=''%s''', current_setting('pg_risk.forward_to'),
				regexp_replace(current_database(), '([\\''])', '\\\1', 'g'))),
			risk.dblink('dblink_exec', 'pg_risk', 'BEGIN');
END $$;
COMMENT ON FUNCTION risk.begin_forwarding() IS
	'For the worker of a standby: begins a transaction on the primary, see pg_risk.forward_to';

CREATE FUNCTION risk.forward_predictions(predictions risk.predictions[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp SET extra_float_digits = 3 SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
	SELECT risk.dblink('dblink_exec', 'pg_risk', format(
		'INSERT INTO risk.predictions SELECT p.* FROM unnest(%L::risk.predictions[]) AS p', predictions))
$$;
COMMENT ON FUNCTION risk.forward_predictions(risk.predictions[]) IS
	'For the worker of a standby: inserts predictions on the primary';

CREATE FUNCTION risk.end_forwarding() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT risk.dblink('dblink_exec', 'pg_risk', 'COMMIT');
	SELECT risk.dblink('dblink_disconnect', 'pg_risk')
$$;
COMMENT ON FUNCTION risk.end_forwarding() IS
	'For the worker of a standby: commits what was inserted on the primary';

-- Alerts on what the counters and the sessions say.
CREATE FUNCTION risk.check_queue() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	lost record;
BEGIN
	FOR lost IN UPDATE risk.queue_sessions AS s SET open = false
				WHERE s.open AND s.started_at <> risk.queue_started_at() RETURNING * LOOP
		PERFORM risk.raise_alert('queue_lost', 'warning',
			format('The server ended by a crash: predictions that were put into the queue after %s may be lost',
				   lost.flushed_until),
			details => jsonb_build_object('flushed_until', lost.flushed_until,
				'at_most_seconds', extract(epoch FROM risk.queue_started_at() - lost.flushed_until)));
	END LOOP;
	DELETE FROM risk.queue_sessions AS s
	WHERE NOT s.open AND s.started_at <> risk.queue_started_at();
	PERFORM risk.raise_alert(a.kind, a.severity, a.message, model => d.model, occurrences => a.occurrences)
	FROM risk.model_definitions AS d, LATERAL risk.queue_unreported(d.model) AS u, LATERAL (VALUES
		('queue_full', 'warning', u.dropped,
		 format('%s predictions of model "%s" were not logged: the queue was full', u.dropped, d.model)),
		('log_failed', 'critical', u.failed,
		 format('%s predictions of model "%s" could not be written: see the server''s log', u.failed, d.model)),
		('fallback', 'critical', u.fallbacks,
		 format('No version of model "%s" could score: its fallback score decided %s transactions', d.model, u.fallbacks))
		) AS a (kind, severity, occurrences, message)
	WHERE a.occurrences > 0;
END $$;
COMMENT ON FUNCTION risk.check_queue() IS
	'For the worker: raises alerts where predictions were lost since it last looked';

-- ---------------------------------------------------------------------------
-- Partitions of the prediction log: a day each, made ahead, dropped by age.
-- A partition is made beside its table and attached then, which waits for
-- nobody who writes; what needs a stronger lock is given up when it cannot be
-- had at once, and tried again in the next round.  Its bounds go through text,
-- which means the same to whoever reads it in this time zone and style only.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.partition_name(day date) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'predictions_' || to_char(day, 'YYYYMMDD')
$$;
COMMENT ON FUNCTION risk.partition_name(date) IS 'Name of the partition of a day (UTC)';

CREATE FUNCTION risk.create_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
DECLARE
	name CONSTANT text := risk.partition_name(day);
	low CONSTANT timestamptz := day::timestamp AT TIME ZONE 'UTC';
	high CONSTANT timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
	moved bigint;
BEGIN
	EXECUTE format('CREATE TABLE risk.%I (LIKE risk.predictions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name);
	EXECUTE format('ALTER TABLE risk.%I OWNER TO %I', name,
		(SELECT r.rolname FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
		 WHERE c.oid = 'risk.predictions'::regclass));
	-- What came before the partition was there; nobody may add to it meanwhile.
	IF EXISTS (SELECT FROM risk.predictions_default AS p WHERE p.scored_at >= low AND p.scored_at < high) THEN
		LOCK TABLE risk.predictions_default IN ACCESS EXCLUSIVE MODE;
		EXECUTE format('WITH moved AS (DELETE FROM risk.predictions_default AS p
			WHERE p.scored_at >= %L AND p.scored_at < %L RETURNING *)
			INSERT INTO risk.%I SELECT * FROM moved', low, high, name);
		GET DIAGNOSTICS moved = ROW_COUNT;
		PERFORM risk.raise_alert('late_partition', 'warning',
			format('%s predictions of %s were logged before their partition was there; they have been moved', moved, day),
			occurrences => moved);
	END IF;
	EXECUTE format('CREATE INDEX %I ON risk.%I (model, entity_id, scored_at)', name || '_entity_idx', name);
	EXECUTE format('CREATE INDEX %I ON risk.%I (model, version, scored_at)', name || '_version_idx', name);
	EXECUTE format('ALTER TABLE risk.predictions ATTACH PARTITION risk.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
	EXECUTE format('COMMENT ON TABLE risk.%I IS %L', name, format('Predictions of %s (UTC)', day));
END $$;
COMMENT ON FUNCTION risk.create_partition(date) IS
	'Make the partition of a day (UTC) and move to it what is in the default partition';

CREATE FUNCTION risk.prediction_partitions(
	OUT partition regclass, OUT day date, OUT bytes bigint, OUT estimated_rows bigint)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid::regclass, to_date(substring(c.relname FROM '^predictions_([0-9]{8})$'), 'YYYYMMDD'),
		   pg_total_relation_size(c.oid), greatest(c.reltuples::bigint, 0)
	FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'risk.predictions'::regclass
	ORDER BY c.relname
$$;
COMMENT ON FUNCTION risk.prediction_partitions() IS
	'Partitions of risk.predictions with their days (UTC; NULL: the default partition), sizes and estimated rows';

-- Days for which there is a partition at any time: today and the week ahead,
-- from the moment on in which a model begins to log: a row on its way to the
-- default partition would be refused if its own partition came meanwhile.
CREATE FUNCTION risk.maintain_predictions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
	today CONSTANT date := (risk.clock() AT TIME ZONE 'UTC')::date;
	missing date;
	stray date;
BEGIN
	-- Who else does this at the moment does it for all.
	IF NOT pg_try_advisory_xact_lock('risk.predictions'::regclass::oid::bigint) THEN
		RETURN;
	END IF;
	FOR missing IN SELECT d::date FROM generate_series(today, today + 7, interval '1 day') AS d
				   WHERE to_regclass('risk.' || risk.partition_name(d::date)) IS NULL LOOP
		BEGIN
			PERFORM risk.create_partition(missing);
		EXCEPTION WHEN lock_not_available THEN
			RAISE LOG 'pg_risk: the partition of % has to wait: %', missing, SQLERRM;
		END;
	END LOOP;
	SELECT min(p.scored_at AT TIME ZONE 'UTC')::date INTO stray FROM risk.predictions_default AS p;
	IF stray IS NOT NULL THEN
		PERFORM risk.raise_alert('default_partition', 'warning',
			format('risk.predictions_default holds predictions, the oldest of %s: no partition was foreseen for them', stray),
			occurrences => 0);
	END IF;
END $$;
COMMENT ON FUNCTION risk.maintain_predictions() IS
	'Partitions of risk.predictions for today and the next seven days; called by the worker, and where a model begins to log';

-- A partition's end locks out who inserts: in a transaction of its own, soon over.
CREATE FUNCTION risk.expire_predictions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
	today CONSTANT date := (risk.clock() AT TIME ZONE 'UTC')::date;
	retention CONSTANT integer := current_setting('pg_risk.prediction_retention');
	old record;
BEGIN
	IF retention > 0 THEN
		FOR old IN SELECT p.partition FROM risk.prediction_partitions() AS p WHERE p.day < today - retention LOOP
			BEGIN
				EXECUTE format('DROP TABLE %s', old.partition);
			EXCEPTION WHEN lock_not_available THEN
				RAISE LOG 'pg_risk: % has to wait to be dropped: %', old.partition, SQLERRM;
			END;
		END LOOP;
		DELETE FROM risk.predictions_default AS p WHERE p.scored_at < (today - retention)::timestamp AT TIME ZONE 'UTC';
		DELETE FROM risk.gate_results AS g WHERE g.evaluated_at < (today - retention)::timestamp AT TIME ZONE 'UTC';
	END IF;
END $$;
COMMENT ON FUNCTION risk.expire_predictions() IS
	'Drop partitions of risk.predictions, and results of gates, that are older than pg_risk.prediction_retention; called by the worker';
