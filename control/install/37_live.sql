-- ---------------------------------------------------------------------------
-- Declared, live rolling features.  A declaration is a row here, by names, so
-- PostgreSQL knows of no dependency: an event trigger sees to those.  What is
-- missing all the same (a renamed column) is an error where it is used, and shown
-- by risk.rolling_features_info.
-- Sources of other clusters mean nothing, so rows of dropped ones are not dumped.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.rolling_sets (
	source			regclass NOT NULL,
	name			text NOT NULL CHECK (name <> ''),
	key				text[] NOT NULL CHECK (cardinality(key) > 0),
	event_time		text NOT NULL,
	value			text,
	windows			interval[] NOT NULL,
	aggregates		text[] NOT NULL,
	known_time		text,
	delay			interval NOT NULL DEFAULT '0',
	time_zone		text NOT NULL DEFAULT current_setting('TimeZone'),
	created_by		text NOT NULL DEFAULT session_user,
	created_at		timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (source, name)
);
COMMENT ON TABLE risk.rolling_sets IS
	'Sets of rolling features, as they were declared. Written by risk.create_rolling_features() and its kin; read risk.rolling_features_info.';
COMMENT ON COLUMN risk.rolling_sets.source IS 'The table of events; a partitioned one stands for all its partitions';
COMMENT ON COLUMN risk.rolling_sets.key IS 'Columns whose equal values make a history';
COMMENT ON COLUMN risk.rolling_sets.event_time IS 'Column that says when it happened';
COMMENT ON COLUMN risk.rolling_sets.value IS 'Column of the aggregates that name none';
COMMENT ON COLUMN risk.rolling_sets.known_time IS 'Column that says when this database learned of it';
COMMENT ON COLUMN risk.rolling_sets.delay IS 'Windows end so long before the event: [t - delay - w, t - delay)';
COMMENT ON COLUMN risk.rolling_sets.time_zone IS 'Where days and months of windows are counted, whatever the session''s time zone is';

CREATE TABLE risk.rolling_features (
	source			regclass NOT NULL,
	feature			text NOT NULL,
	set_name		text NOT NULL,
	aggregate		text NOT NULL CHECK (aggregate IN ('count', 'sum', 'avg', 'min', 'max', 'stddev', 'distinct',
						'last', 'since_last', 'change', 'share', 'decayed_distinct')),
	column_name		text,
	width			interval NOT NULL,
	delay			interval NOT NULL,
	tau				interval,
	condition		text,
	condition_columns	text[],
	condition_types	regtype[],
	PRIMARY KEY (source, feature)
);
COMMENT ON TABLE risk.rolling_features IS
	'Rolling features by name, made from risk.rolling_sets. Read risk.rolling_features_info.';
COMMENT ON COLUMN risk.rolling_features.width IS 'Length of the window';
COMMENT ON COLUMN risk.rolling_features.tau IS 'Of a decayed count: the time in which what was seen fades to 1/e';
COMMENT ON COLUMN risk.rolling_features.condition IS 'Of a share: the condition, if it is not a column';
COMMENT ON COLUMN risk.rolling_features.condition_columns IS 'Columns that it needs';
COMMENT ON COLUMN risk.rolling_features.condition_types IS 'Their types, if it only compares them, so that it cannot fail and tiles can know it; NULL: it does more';

SELECT pg_catalog.pg_extension_config_dump('risk.rolling_sets', 'WHERE source IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('risk.rolling_features', 'WHERE source IN (SELECT oid FROM pg_catalog.pg_class)');

-- A column as declarations name it, by its type's kind; NULL: there is none.
CREATE FUNCTION risk.rolling_column_kind(source oid, column_name text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH RECURSIVE base AS (
		SELECT a.atttypid AS type FROM pg_attribute AS a
		WHERE a.attrelid = rolling_column_kind.source AND a.attname = rolling_column_kind.column_name
		AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT t.typbasetype FROM base AS b JOIN pg_type AS t ON t.oid = b.type WHERE t.typtype = 'd'
	)
	SELECT CASE WHEN t.oid IN ('timestamp'::regtype, 'timestamptz'::regtype) THEN 'time'
				WHEN t.oid = 'date'::regtype THEN 'date'
				WHEN t.oid = 'boolean'::regtype THEN 'boolean'
				WHEN t.oid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'real'::regtype,
							   'double precision'::regtype, 'numeric'::regtype) THEN 'number'
				ELSE 'other' END
	FROM base AS b JOIN pg_type AS t ON t.oid = b.type WHERE t.typtype <> 'd'
$$;
COMMENT ON FUNCTION risk.rolling_column_kind(oid, text) IS
	'What a column can be in rolling features: time, date, number, boolean or other; NULL: there is no such column';

-- An index that leads from a key to its events in order of time.
CREATE FUNCTION risk.rolling_index(source oid, key text[], event_time text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT i.indexrelid FROM pg_index AS i
	JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam,
	LATERAL (SELECT array_agg(a.attname::text ORDER BY k.n) AS names
			 FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
			 LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND a.attcollation = i.indcollation[k.n - 1]
			 WHERE k.n <= cardinality(rolling_index.key) + 1) AS l
	WHERE i.indrelid = rolling_index.source AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
	AND i.indnkeyatts > cardinality(rolling_index.key)
	AND l.names[cardinality(rolling_index.key) + 1] = rolling_index.event_time
	AND l.names[:cardinality(rolling_index.key)] @> rolling_index.key
	ORDER BY i.indnatts, i.indexrelid LIMIT 1
$$;
COMMENT ON FUNCTION risk.rolling_index(oid, text[], text) IS
	'A btree index on the key''s columns, then event_time, that lookups can use; NULL: there is none';

-- A condition as it is stored, made from what was parsed; src/server/condition.c.
CREATE FUNCTION risk.rolling_condition(source oid, expression text, OUT condition text, OUT columns text[], OUT types regtype[])
	RETURNS record LANGUAGE C STABLE STRICT
	AS 'MODULE_PATHNAME', 'risk_rolling_condition';
COMMENT ON FUNCTION risk.rolling_condition(oid, text) IS
	'A condition over the columns of a table as risk.rolling_features has it, the columns that it needs, and their types, or NULL if it may fail. Errors: 42601 not one expression, 42703 no such column, 42804 not boolean, 42P10 of the whole row, 42P17 not immutable or not PostgreSQL''s own, 0A000 not of one row.';

-- The features of a set: each aggregate over each window.  What names columns is
-- read by the parser that risk.rolling_table() has, too.
CREATE FUNCTION risk.rolling_column_features(
	source regclass, name text, key text[], value text, windows interval[], aggregates text[], delay interval)
RETURNS SETOF risk.rolling_features
LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_rolling_column_features';
COMMENT ON FUNCTION risk.rolling_column_features(regclass, text, text[], text, interval[], text[], interval) IS
	'The features of a set whose aggregates are of columns. Errors: 22023 an aggregate that is none.';

CREATE FUNCTION risk.rolling_set_features(
	source regclass, name text, key text[], value text, windows interval[], aggregates text[], delay interval)
RETURNS SETOF risk.rolling_features
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	item text;
	named text[];
	result risk.rolling_features;
BEGIN
	FOREACH item IN ARRAY aggregates LOOP
		named := regexp_match(item, '^\s*share\s*\((.*)\)\s*(?:as|AS)\s+(?:"([^"]+)"|([[:alpha:]_][[:alnum:]_$]*))\s*$');
		IF named IS NULL AND item ~ '^\s*share\s*\(' AND risk.rolling_column_kind(source, substring(item, '\(\s*(.*?)\s*\)')) IS NULL
			AND item !~ '^\s*share\s*\(\s*("[^"]+"|[[:alpha:]_][[:alnum:]_$]*)\s*\)\s*$' THEN
			RAISE EXCEPTION 'the condition of % needs a name', item
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'share(amount > 100) AS large, for example, makes features such as card_share_large_prev_1h. A column needs no name.';
		ELSIF named IS NULL THEN
			RETURN QUERY SELECT * FROM risk.rolling_column_features(source, name, key, value, windows, ARRAY[item], delay);
			CONTINUE;
		END IF;
		FOR result IN SELECT * FROM risk.rolling_column_features(source, name, key, value, windows,
				ARRAY[format('share("%s")', coalesce(named[2], lower(named[3])))], delay) LOOP
			result.column_name := NULL;
			SELECT * INTO result.condition, result.condition_columns, result.condition_types FROM risk.rolling_condition(source, named[1]);
			RETURN NEXT result;
		END LOOP;
	END LOOP;
END $$;
COMMENT ON FUNCTION risk.rolling_set_features(regclass, text, text[], text, interval[], text[], interval) IS
	'The features of a set: each aggregate over each window. Errors: 22023 an aggregate that is none.';

-- Raise an error unless the set makes sense and the role may read its columns.
-- Whoever drops the table or a column has done so before, or finds the set.
CREATE FUNCTION risk.check_rolling_set(s risk.rolling_sets, role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	kind "char";
	persistence "char";
	columns text[];
	what text;
	twice text;
BEGIN
	SELECT c.relkind, c.relpersistence INTO kind, persistence FROM pg_class AS c WHERE c.oid = s.source;
	IF NOT FOUND OR kind NOT IN ('r', 'p') OR persistence = 't' THEN
		RAISE EXCEPTION 'rolling features cannot be declared on "%"', s.source
			USING ERRCODE = 'wrong_object_type',
				  HINT = 'The source is a table, plain or partitioned, that is not temporary.';
	END IF;
	EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', s.source);
	IF s.key IS NULL OR cardinality(s.key) = 0 OR array_position(s.key, NULL) IS NOT NULL OR s.event_time IS NULL THEN
		RAISE EXCEPTION 'key and event_time must name columns'
			USING ERRCODE = 'null_value_not_allowed',
				  HINT = 'For example key => ''account'', or ARRAY[''chain_id'', ''sender'']; event_time => ''happened_at''.';
	END IF;
	IF coalesce(cardinality(s.windows), 0) = 0 OR array_position(s.windows, NULL) IS NOT NULL
		OR coalesce(cardinality(s.aggregates), 0) = 0 OR array_position(s.aggregates, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'windows and aggregates must not be empty'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'For example windows => ''{1 hour,24 hours}'', aggregates => ''{count,sum}''.';
	END IF;
	-- An interval of mixed signs has windows that begin after they end.
	SELECT w INTO what FROM unnest(s.windows || coalesce(s.delay, '-1')) WITH ORDINALITY AS u (w, n)
	WHERE extract(year FROM w) * 12 + extract(month FROM w) < 0 OR extract(day FROM w) < 0
		OR w - date_trunc('day', w) < '0' OR (w <= '0' AND n <= cardinality(s.windows)) OR w > '1000 years' LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'windows must be longer than zero, delay not less than zero, and both at most 1000 years'
			USING ERRCODE = 'invalid_parameter_value', DETAIL = format('Found %s.', what),
				  HINT = 'For example windows => ''{10 minutes,1 hour,7 days}''.';
	END IF;
	IF octet_length(s.name) > 63 THEN
		RAISE EXCEPTION 'name "%" of rolling features is too long', s.name
			USING ERRCODE = 'name_too_long', HINT = 'It has 63 bytes at most.';
	END IF;
	IF EXISTS (SELECT FROM unnest(s.key || s.event_time) AS k GROUP BY k HAVING count(*) > 1) THEN
		RAISE EXCEPTION 'key and event_time name a column twice'
			USING ERRCODE = 'duplicate_column', HINT = 'Name each column once.';
	END IF;

	columns := s.key || s.event_time || s.known_time || ARRAY(
		SELECT DISTINCT c FROM risk.rolling_set_features(s.source, s.name, s.key, s.value, s.windows, s.aggregates, s.delay) AS f,
			   unnest(f.column_name || f.condition_columns) AS c
		WHERE c IS NOT NULL ORDER BY 1);
	SELECT string_agg(format('"%s"', c), ', ') INTO what FROM unnest(columns) AS c
	WHERE c IS NOT NULL AND risk.rolling_column_kind(s.source, c) IS NULL;
	IF what IS NOT NULL THEN
		RAISE EXCEPTION 'table "%" does not have all columns of the features', s.source
			USING ERRCODE = 'undefined_column', DETAIL = format('Missing: %s.', what),
				  HINT = 'Columns are named as they are stored, letter case included.';
	END IF;
	SELECT c INTO what FROM unnest(columns) AS c
	WHERE c IS NOT NULL AND NOT has_column_privilege(role, s.source, c, 'SELECT')
	AND NOT pg_has_role(role, (SELECT relowner FROM pg_class WHERE oid = s.source), 'USAGE') LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'permission denied for column "%" of table "%"', what, s.source
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'Rolling features are declared by the owner of the table, or by who may SELECT the columns that they use.';
	END IF;

	FOREACH what IN ARRAY ARRAY[s.event_time, s.known_time] LOOP
		IF what IS NOT NULL AND risk.rolling_column_kind(s.source, what) NOT IN ('time', 'date') THEN
			RAISE EXCEPTION 'column "%" is not a time', what
				USING ERRCODE = 'datatype_mismatch',
					  HINT = 'Times are timestamptz, timestamp or date; a generated column can hold the conversion.';
		END IF;
	END LOOP;
	SELECT format('%s(%s)', f.aggregate, f.column_name) INTO what
	FROM risk.rolling_set_features(s.source, s.name, s.key, s.value, s.windows, s.aggregates, s.delay) AS f,
		 risk.rolling_column_kind(s.source, f.column_name) AS k
	WHERE f.aggregate NOT IN ('count', 'since_last', 'distinct', 'decayed_distinct') AND f.column_name IS NOT NULL
	AND NOT (k = 'number' AND f.aggregate <> 'share' OR k = 'boolean') LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'wrong type of column in %', what
			USING ERRCODE = 'datatype_mismatch',
				  HINT = 'A share is of a boolean column, or of a condition with a name: share(amount > 100) AS large; the other aggregates of values are of numbers or booleans.';
	END IF;

	SELECT f.feature INTO twice FROM (
		SELECT n.feature FROM risk.rolling_set_features(s.source, s.name, s.key, s.value, s.windows, s.aggregates, s.delay) AS n
		UNION ALL
		SELECT o.feature FROM risk.rolling_features AS o WHERE o.source = s.source AND o.set_name <> s.name) AS f
	GROUP BY f.feature HAVING count(*) > 1 ORDER BY 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'rolling feature "%" would exist twice', twice
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Name each aggregate and window once. SELECT * FROM risk.rolling_features_info lists the features of the table.';
	ELSIF EXISTS (SELECT FROM risk.rolling_set_features(s.source, s.name, s.key, s.value, s.windows, s.aggregates, s.delay) AS n
				  WHERE risk.rolling_column_kind(s.source, n.feature) IS NOT NULL) THEN
		RAISE WARNING 'table "%" has columns named as features, which scoring takes first', s.source;
	END IF;
END $$;
COMMENT ON FUNCTION risk.check_rolling_set(risk.rolling_sets, name) IS
	'Raise an error unless a set of rolling features makes sense and the role may read its columns. Errors: 42809 no table, 42703 no such column, 42804 wrong type, 22023 bad window or aggregate, 42710 duplicate name, 42501 not allowed.';

-- Who called the function that runs as its owner.
CREATE FUNCTION risk.calling_role() RETURNS name
	LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'risk_calling_role';
COMMENT ON FUNCTION risk.calling_role() IS
	'The role of the session, as SET ROLE left it: who called, also in functions that run as their owner. Errors: 42501 within a security-restricted operation.';

-- Check a set and store it with its features.
CREATE FUNCTION risk.store_rolling_set(s risk.rolling_sets, create_index boolean) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	caller name := risk.calling_role();
	command text;
	features text[];
BEGIN
	PERFORM risk.check_rolling_set(s, caller);
	IF risk.rolling_index(s.source, s.key, s.event_time) IS NULL THEN
		command := format('CREATE INDEX ON %s (%s, %I)', s.source,
			(SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(s.key) WITH ORDINALITY AS u (k, n)), s.event_time);
		IF NOT coalesce(create_index, false) THEN
			RAISE EXCEPTION 'table "%" has no index that leads from the key to its events in order of time', s.source
				USING ERRCODE = 'object_not_in_prerequisite_state',
					  HINT = format('%s; or give create_index => true, which blocks writers while it is built.', command);
		ELSIF NOT pg_has_role(caller, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = s.source), 'USAGE') THEN
			RAISE EXCEPTION 'must be owner of table "%" to create an index on it', s.source
				USING ERRCODE = 'insufficient_privilege', HINT = format('Have its owner run: %s', command);
		END IF;
		EXECUTE command;
	END IF;
	DELETE FROM risk.rolling_features AS f WHERE f.source = s.source AND f.set_name = s.name;
	DELETE FROM risk.rolling_sets AS o WHERE o.source = s.source AND o.name = s.name;
	INSERT INTO risk.rolling_sets SELECT s.*;
	WITH new AS (
		INSERT INTO risk.rolling_features
		SELECT * FROM risk.rolling_set_features(s.source, s.name, s.key, s.value, s.windows, s.aggregates, s.delay)
		RETURNING feature
	)
	SELECT array_agg(n.feature) INTO features FROM new AS n;
	PERFORM risk.drop_late_triggers(s.source);
	IF has_table_privilege(caller, s.source, 'TRIGGER') AND NOT risk.make_late_triggers(s.source, s.event_time) THEN
		RAISE WARNING 'table "%" is locked: its rolling features have no tiles yet', s.source
			USING HINT = format('Lookups of keys with many events are slow until CALL risk.refresh_rolling_features(%L, %L).', s.source, s.name);
	END IF;
	RETURN features;
END $$;
COMMENT ON FUNCTION risk.store_rolling_set(risk.rolling_sets, boolean) IS
	'Check a set of rolling features and store it; called by risk.create_rolling_features() and risk.alter_rolling_features(), as their owner';

CREATE FUNCTION risk.create_rolling_features(
	source regclass,
	key name[],
	event_time name,
	value name DEFAULT NULL,
	windows interval[] DEFAULT '{1 hour,24 hours,7 days}',
	aggregates text[] DEFAULT '{count}',
	name text DEFAULT NULL,
	known_time name DEFAULT NULL,
	delay interval DEFAULT '0',
	create_index boolean DEFAULT false)
RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	s risk.rolling_sets;
BEGIN
	PERFORM risk.require_writes();
	IF source IS NULL THEN
		RAISE EXCEPTION 'source must not be null'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the table of events.';
	END IF;
	name := coalesce(nullif(name, ''), array_to_string(key, '_'));
	PERFORM pg_advisory_xact_lock(hashtextextended('pg_risk.rolling', source::oid::bigint));
	IF EXISTS (SELECT FROM risk.rolling_sets AS o WHERE o.source = source AND o.name = name) THEN
		RAISE EXCEPTION 'table "%" already has rolling features "%"', source, name
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Change them with risk.alter_rolling_features(), or give this set a name of its own: name => ''...''.';
	END IF;
	s := ROW(source, name, key::text[], event_time, value, windows, aggregates, known_time, coalesce(delay, '0'),
			 current_setting('TimeZone'), risk.calling_role(), now());
	RETURN risk.store_rolling_set(s, create_index);
END $$;
COMMENT ON FUNCTION risk.create_rolling_features(regclass, name[], name, name, interval[], text[], text, name, interval, boolean) IS
	'Declare rolling features of a table: each aggregate over each window [t - delay - w, t - delay) of events of one key, strictly earlier than t. Returns their names, which scoring then knows as if they were columns. Errors: 42710 exists, 42703 no such column, 42804 wrong type, 22023 bad window or aggregate, 55000 no index, 42501 not allowed; those of risk.rolling_condition().';

CREATE FUNCTION risk.create_rolling_features(
	source regclass,
	key name,
	event_time name,
	value name DEFAULT NULL,
	windows interval[] DEFAULT '{1 hour,24 hours,7 days}',
	aggregates text[] DEFAULT '{count}',
	name text DEFAULT NULL,
	known_time name DEFAULT NULL,
	delay interval DEFAULT '0',
	create_index boolean DEFAULT false)
RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	SELECT risk.create_rolling_features(source, ARRAY[key], event_time, value, windows, aggregates, name, known_time, delay, create_index)
$$;
COMMENT ON FUNCTION risk.create_rolling_features(regclass, name, name, name, interval[], text[], text, name, interval, boolean) IS
	'The same for a key of one column';

CREATE FUNCTION risk.require_rolling_set(source regclass, name text) RETURNS risk.rolling_sets
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	s risk.rolling_sets;
	caller name := risk.calling_role();
	owner oid;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('pg_risk.rolling', source::oid::bigint));
	SELECT * INTO s FROM risk.rolling_sets AS o WHERE o.source = source AND o.name = name;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'table "%" has no rolling features "%"', source, name
			USING ERRCODE = 'undefined_object',
				  HINT = 'SELECT * FROM risk.rolling_features_info lists those that exist.';
	END IF;
	SELECT c.relowner INTO owner FROM pg_class AS c WHERE c.oid = source;
	IF FOUND AND NOT pg_has_role(caller, owner, 'USAGE') AND s.created_by <> caller THEN
		RAISE EXCEPTION 'permission denied for rolling features "%" of table "%"', name, source
			USING ERRCODE = 'insufficient_privilege',
				  HINT = 'They are changed by who declared them, or by the owner of the table.';
	END IF;
	RETURN s;
END $$;
COMMENT ON FUNCTION risk.require_rolling_set(regclass, text) IS
	'A set of rolling features that the caller may change. Errors: 42704 no such set, 42501 not allowed.';

CREATE FUNCTION risk.alter_rolling_features(
	source regclass,
	name text,
	key name[] DEFAULT NULL,
	event_time name DEFAULT NULL,
	value name DEFAULT NULL,
	windows interval[] DEFAULT NULL,
	aggregates text[] DEFAULT NULL,
	known_time name DEFAULT NULL,
	delay interval DEFAULT NULL,
	time_zone text DEFAULT NULL,
	create_index boolean DEFAULT false)
RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' AS $$
#variable_conflict use_variable
DECLARE
	s risk.rolling_sets;
BEGIN
	PERFORM risk.require_writes();
	s := risk.require_rolling_set(source, name);
	IF time_zone IS NOT NULL THEN
		BEGIN
			PERFORM set_config('TimeZone', time_zone, true);	-- as long as this runs
		EXCEPTION WHEN invalid_parameter_value THEN
			RAISE EXCEPTION 'there is no time zone "%"', time_zone
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'SELECT name FROM pg_timezone_names lists those that exist; abbreviations, such as CEST, are none.';
		END;
	END IF;
	s.key := coalesce(key::text[], s.key);
	s.event_time := coalesce(event_time, s.event_time);
	s.value := coalesce(value, s.value);
	s.windows := coalesce(windows, s.windows);
	s.aggregates := coalesce(aggregates, s.aggregates);
	s.known_time := coalesce(known_time, s.known_time);
	s.delay := coalesce(delay, s.delay);
	s.time_zone := coalesce(time_zone, s.time_zone);
	RETURN risk.store_rolling_set(s, create_index);
END $$;
COMMENT ON FUNCTION risk.alter_rolling_features(regclass, text, name[], name, name, interval[], text[], name, interval, text, boolean) IS
	'Change a set of rolling features; NULL leaves a part as it is. Returns the names of its features. Errors as risk.create_rolling_features().';

CREATE FUNCTION risk.drop_rolling_features(source regclass, name text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	dropped text;
	count integer := 0;
BEGIN
	PERFORM risk.require_writes();
	FOR dropped IN SELECT o.name FROM risk.rolling_sets AS o WHERE o.source = source AND name IS NULL
				   UNION ALL SELECT name WHERE name IS NOT NULL ORDER BY 1 LOOP
		PERFORM risk.require_rolling_set(source, dropped);
		DELETE FROM risk.rolling_features AS f WHERE f.source = source AND f.set_name = dropped;
		DELETE FROM risk.rolling_sets AS o WHERE o.source = source AND o.name = dropped;
		count := count + 1;
	END LOOP;
	PERFORM risk.drop_late_triggers(source);
	RETURN count;
END $$;
COMMENT ON FUNCTION risk.drop_rolling_features(regclass, text) IS
	'Drop a set of rolling features, or all of a table; how many sets there were. Of a table that is gone, name its number as risk.rolling_features_info shows it. Errors: 42704 no such set, 42501 not allowed.';

-- The sets of a table go with it, as its indexes do; a column that they use
-- cannot go, not even with CASCADE.
CREATE FUNCTION risk.sources_dropped() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	used record;
BEGIN
	SELECT s.source, s.name, d.address_names[3] AS column_name INTO used
	FROM pg_event_trigger_dropped_objects() AS d
	JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND d.objsubid > 0
	JOIN risk.rolling_sets AS s ON s.source = c.oid
	WHERE d.address_names[3] = ANY (s.key || s.event_time || s.known_time || ARRAY(
		SELECT unnest(f.column_name || f.condition_columns) FROM risk.rolling_features AS f WHERE f.source = s.source AND f.set_name = s.name))
	ORDER BY 2, 3 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'cannot drop column "%" of table "%" because rolling features "%" need it',
			used.column_name, used.source, used.name
			USING ERRCODE = 'dependent_objects_still_exist',
				  HINT = 'Change the features with risk.alter_rolling_features(), or drop them with risk.drop_rolling_features().';
	END IF;
	DELETE FROM risk.rolling_features AS f USING pg_event_trigger_dropped_objects() AS d
	WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND f.source = d.objid;
	DELETE FROM risk.rolling_sets AS s USING pg_event_trigger_dropped_objects() AS d
	WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND s.source = d.objid;
END $$;
COMMENT ON FUNCTION risk.sources_dropped() IS
	'Event trigger: drops the rolling features of dropped tables. Errors: 2BP01 a dropped column is needed.';

CREATE EVENT TRIGGER pg_risk_sources_dropped ON sql_drop EXECUTE FUNCTION risk.sources_dropped();
ALTER EVENT TRIGGER pg_risk_sources_dropped ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pg_risk_sources_dropped IS
	'Rolling features of dropped tables go with them; columns that are needed are not dropped';

CREATE VIEW risk.rolling_features_info AS
	SELECT f.source, f.set_name, f.feature, f.aggregate, f.column_name, f.condition, f.width, f.delay, f.tau,
		   s.key, s.event_time, s.known_time, s.time_zone,
		   CASE WHEN c.oid IS NULL THEN 'the table is gone'
				WHEN m.names IS NOT NULL THEN format('the table has no column %s', m.names)
				WHEN i.index IS NULL THEN 'there is no index on the key, then event_time' END AS problem,
		   s.created_by, s.created_at
	FROM risk.rolling_features AS f
	JOIN risk.rolling_sets AS s ON s.source = f.source AND s.name = f.set_name
	LEFT JOIN pg_catalog.pg_class AS c ON c.oid = f.source
	CROSS JOIN LATERAL (SELECT pg_catalog.string_agg(u.name, ', ') AS names
			FROM pg_catalog.unnest(s.key || s.event_time || s.known_time || f.column_name || f.condition_columns) AS u (name)
			WHERE u.name IS NOT NULL AND risk.rolling_column_kind(f.source, u.name) IS NULL) AS m
	CROSS JOIN LATERAL risk.rolling_index(f.source, s.key, s.event_time) AS i (index);
COMMENT ON VIEW risk.rolling_features_info IS
	'Rolling features that are declared, with what is wrong with them, if anything is';
COMMENT ON COLUMN risk.rolling_features_info.problem IS 'What is wrong: a column or the index is gone, for example; NULL: nothing';

-- ---------------------------------------------------------------------------
-- Asking.  As the caller, under the statement's snapshot.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.rolling_features(source regclass, "row" anyelement) RETURNS jsonb
	LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000
	AS 'MODULE_PATHNAME', 'risk_rolling_features_row';
COMMENT ON FUNCTION risk.rolling_features(regclass, anyelement) IS
	'Rolling features of a row (or jsonb), which need not be in the table, as of its event time: name -> value. Read as the caller: rows and columns that it may not see do not count, or are an error. Errors: 42704 nothing is declared, 22004 no event time, 42703 the row lacks a column, 42501 not allowed.';

CREATE FUNCTION risk.rolling_features(source regclass, key anyelement, as_of timestamptz, name text DEFAULT NULL) RETURNS jsonb
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
	AS 'MODULE_PATHNAME', 'risk_rolling_features_key';
COMMENT ON FUNCTION risk.rolling_features(regclass, anyelement, timestamptz, text) IS
	'Rolling features of a key as of a moment: name -> value. A compound key is ROW(...) or an array; where sets have different keys, name says which is meant. Errors: 42704 nothing is declared, 42P08 different keys, 42501 not allowed.';

-- So that a quoted constant, which has no type, is a key, too.
CREATE FUNCTION risk.rolling_features(source regclass, key text, as_of timestamptz, name text DEFAULT NULL) RETURNS jsonb
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 10000
	AS 'MODULE_PATHNAME', 'risk_rolling_features_key';
COMMENT ON FUNCTION risk.rolling_features(regclass, text, timestamptz, text) IS
	'The same for a key that is text, or a quoted constant';

CREATE FUNCTION risk.rolling_history(
	source regclass, name text, "from" timestamptz, "to" timestamptz, known_as_of boolean,
	OUT row_table oid, OUT row_id tid, OUT features jsonb)
	RETURNS SETOF record LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000000 ROWS 100000
	AS 'MODULE_PATHNAME', 'risk_rolling_history';
COMMENT ON FUNCTION risk.rolling_history(regclass, text, timestamptz, timestamptz, boolean) IS
	'Rolling features of one set for each event of its table from one time to before another, by the row''s place; risk.training_set() asks it. Errors: 55000 no known time is declared, 42501 not allowed.';

CREATE FUNCTION risk.rolling_set_times(source regclass, OUT name text, OUT event_time text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT s.name, s.event_time FROM risk.rolling_sets AS s WHERE s.source = rolling_set_times.source ORDER BY s.name
$$;
COMMENT ON FUNCTION risk.rolling_set_times(regclass) IS
	'Sets of rolling features of a table and their columns of event time; risk.training_set() asks it';

CREATE FUNCTION risk.training_set(
	source regclass,
	"from" timestamptz DEFAULT '-infinity',
	"to" timestamptz DEFAULT 'infinity',
	known_as_of boolean DEFAULT false,
	model text DEFAULT NULL,
	labels_as_of timestamptz DEFAULT NULL,
	only_labelled boolean DEFAULT false)
RETURNS TABLE (event jsonb, event_time timestamptz, features jsonb, label boolean, label_time timestamptz, label_source text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	s record;
	query text := '';
	merged text := '';
	identity text;
	happened text;
	entity text;
	judged text;
	maturity interval;
	otherwise boolean;
BEGIN
	FOR s IN SELECT * FROM risk.rolling_set_times(source) LOOP
		happened := coalesce(happened, s.event_time);
		query := query || format(' JOIN risk.rolling_history(%L, %L, $1, $2, $3) AS h%s ON h%s.row_table = t.tableoid AND h%s.row_id = t.ctid',
			source::oid::regclass, s.name, md5(s.name), md5(s.name), md5(s.name));
		merged := merged || format('%sh%s.features', CASE WHEN merged <> '' THEN ' || ' ELSE '' END, md5(s.name));
	END LOOP;
	IF merged = '' THEN
		RAISE EXCEPTION 'table "%" has no rolling features', source
			USING ERRCODE = 'undefined_object',
				  HINT = 'Declare them with risk.create_rolling_features().';
	END IF;
	SELECT 'jsonb_build_object(' || string_agg(format('%L, t.%I', a.attname, a.attname), ', ' ORDER BY k.n) || ')' INTO identity
	FROM pg_index AS i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n), pg_attribute AS a
	WHERE i.indrelid = source AND i.indisprimary AND k.n <= i.indnkeyatts AND a.attrelid = source AND a.attnum = k.attnum;
	IF model IS NOT NULL THEN
		PERFORM risk.require_model(model);
		SELECT d.entity_id, d.label_maturity, CASE d.unlabeled WHEN 'negative' THEN false END
		INTO entity, maturity, otherwise FROM risk.model_definitions AS d WHERE d.model = model;
		IF entity IS NULL OR risk.rolling_column_kind(source, entity) IS NULL THEN
			RAISE EXCEPTION 'table "%" has no column of the entities of model "%"', source, model
				USING ERRCODE = 'undefined_column',
					  DETAIL = CASE WHEN entity IS NULL THEN 'The model has no entity_id.' ELSE format('Missing: "%s".', entity) END,
					  HINT = 'Labels are found by the column that is the model''s entity_id, see risk.alter_model().';
		END IF;
		query := query || format(' CROSS JOIN LATERAL (SELECT t.%I::timestamptz <= $5 - $6) AS e (mature)
			LEFT JOIN LATERAL risk.label_as_of($4, CASE WHEN e.mature THEN to_jsonb(t.%I) #>> ''{}'' END, $5) AS l ON true',
			happened, entity);
		judged := 'coalesce(l.label, CASE WHEN e.mature THEN $7 END)';
		IF only_labelled THEN
			query := query || format(' WHERE %s IS NOT NULL', judged);
		END IF;
	ELSIF labels_as_of IS NOT NULL OR only_labelled THEN
		RAISE EXCEPTION 'labels are those of a model'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Say whose: model => ''...''.';
	END IF;
	RETURN QUERY EXECUTE format('SELECT %s, t.%I::timestamptz, %s, %s FROM %s AS t%s',
		coalesce(identity, 'to_jsonb(t.*)'), happened, merged,
		coalesce(judged || ', l.label_time, l.source', 'NULL::boolean, NULL::timestamptz, NULL::text'),
		source, query)
		USING coalesce("from", '-infinity'), coalesce("to", 'infinity'), coalesce(known_as_of, false),
			  model, coalesce(labels_as_of, risk.clock()), maturity, otherwise;
END $$;
COMMENT ON FUNCTION risk.training_set(regclass, timestamptz, timestamptz, boolean, text, timestamptz, boolean) IS
	'For training: each event from one time to before another (its primary key, or where there is none the row) with its rolling features as of its event time, bit for bit what a lookup says; known_as_of: without events that arrived later than it did. With a model: its label as it was known at labels_as_of (NULL: now), where the event was mature then (label_maturity of the model); only_labelled: no events without one. Errors: 42704 nothing is declared, no such model, 42703 no column of the model''s entities, 55000 no known time is declared, 42501 not allowed.';
