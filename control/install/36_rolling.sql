-- ---------------------------------------------------------------------------
-- Rolling features: names.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.window_name("window" interval) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_window_name';
COMMENT ON FUNCTION risk.window_name(interval) IS
	'A window as names of features have it: 10m, 1h, 24h, 7d, 1mo, 1y, 1d12h. Different intervals have different names: a day is not 24 hours. Errors: 22023 not longer than zero.';

CREATE FUNCTION risk.rolling_feature_name(key text, aggregate text, value text, "window" interval, delay interval DEFAULT '0') RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_rolling_feature_name';
COMMENT ON FUNCTION risk.rolling_feature_name(text, text, text, interval, interval) IS
	'The name of a rolling feature: {key}_cnt_prev_{w}, {key}_since_last_prev_{w}, {key}_change_cnt_prev_{w}, {key}_{aggregate}_{value}_prev_{w}, with a delay and _delay_{d}; NULL if a part is. Errors: 22023 unknown aggregate, window not longer than zero, delay negative.';

-- ---------------------------------------------------------------------------
-- Rolling features: window functions.
-- ---------------------------------------------------------------------------

CREATE TYPE risk.rolling_statistics AS (
	counts	bigint[],
	sums	float8[],
	avgs	float8[],
	mins	float8[],
	maxs	float8[],
	stddevs	float8[],
	lasts	float8[]
);
COMMENT ON TYPE risk.rolling_statistics IS 'What risk.rolling_stats() returns: a statistic of all its windows in each column';

-- Each function for each type of time: no cast may change what t - interval is.
DO $$
DECLARE
	name text;
	symbol text;
	arguments text;
	result text;
	comment text;
	ts regtype;
BEGIN
	FOR name, symbol, arguments, result, comment IN VALUES
		('rolling_count', 'risk_rolling_count', 'ts %s, "window" interval, delay interval DEFAULT ''0''', 'bigint',
		 'Number of the events with times in [ts - delay - window, ts - delay)'),
		('rolling_since_last', 'risk_rolling_since_last', 'ts %s, "window" interval', 'float8',
		 'Seconds since the latest event in [ts - window, ts), NULL if there is none'),
		('rolling_change', 'risk_rolling_change_count', 'ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Rate of change of the number of events against the window before: (current - previous) / previous, NULL if previous is 0'),
		('rolling_change', 'risk_rolling_change', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Rate of change of the sum of the values against the window before: (current - previous) / previous, NULL if previous is 0'),
		('rolling_sum', 'risk_rolling_sum', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Sum of the values with times in [ts - delay - window, ts - delay), exact and rounded once; of none: 0'),
		('rolling_sum', 'risk_rolling_sum_decimal', 'value numeric, ts %s, "window" interval, delay interval DEFAULT ''0''', 'numeric',
		 'Sum of the values with times in [ts - delay - window, ts - delay), every digit of it, without zeros at the end; of none: 0'),
		('rolling_avg', 'risk_rolling_avg', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Average of the values with times in [ts - delay - window, ts - delay), exact and rounded once; NULL if there are none'),
		('rolling_avg', 'risk_rolling_avg_decimal', 'value numeric, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Average of the values with times in [ts - delay - window, ts - delay): their exact sum, without zeros at the end, divided as numeric, then rounded; NULL if there are none'),
		('rolling_min', 'risk_rolling_min', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Least of the values with times in [ts - delay - window, ts - delay); NULL if there are none'),
		('rolling_max', 'risk_rolling_max', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Greatest of the values with times in [ts - delay - window, ts - delay); NULL if there are none'),
		('rolling_stddev', 'risk_rolling_stddev', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Sample standard deviation of the values with times in [ts - delay - window, ts - delay), exact and rounded once; NULL of less than two'),
		('rolling_last', 'risk_rolling_last', 'value float8, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Latest of the values with times in [ts - delay - window, ts - delay), the greatest of one instant; NULL if there are none'),
		('rolling_share', 'risk_rolling_avg', 'condition boolean, ts %s, "window" interval, delay interval DEFAULT ''0''', 'float8',
		 'Share of true among the conditions that are not NULL with times in [ts - delay - window, ts - delay); NULL if there are none'),
		('rolling_distinct', 'risk_rolling_distinct', 'value anyelement, ts %s, "window" interval, delay interval DEFAULT ''0''', 'bigint',
		 'Number of different values with times in [ts - delay - window, ts - delay), NULL not counted'),
		('decayed_distinct', 'risk_decayed_distinct', 'counterparty anyelement, ts %s, "window" interval, tau interval', 'float8',
		 'Sum over the counterparties c in [ts - window, ts) of exp(-(ts - last seen c) / tau), and 1 for the event''s own; those last seen more than 64 tau ago count as not in the window'),
		('rolling_stats', 'risk_rolling_stats',
		 'value float8, ts %s, windows interval[], aggregates text[] DEFAULT ''{count,sum,avg,min,max,stddev}''', 'risk.rolling_statistics',
		 'Statistics of several windows [ts - window, ts) in one pass: arrays in the order of the windows, NULL for what aggregates leaves out. aggregates are count, sum, avg, min, max, stddev, last'),
		('rolling_array', 'risk_rolling_array',
		 'value float8, ts %s, windows interval[], aggregates text[]', 'float8[]',
		 'The same as risk.rolling_stats() in one flat array, which is faster to take apart: all windows of the first aggregate, then of the second, ...')
	LOOP
		FOREACH ts IN ARRAY '{timestamptz,timestamp,date}'::regtype[] LOOP
			EXECUTE format('CREATE FUNCTION risk.%I(%s) RETURNS %s LANGUAGE C WINDOW %s PARALLEL SAFE AS ''MODULE_PATHNAME'', %L',
				name, format(arguments, ts), result,
				CASE ts WHEN 'timestamptz'::regtype THEN 'STABLE' ELSE 'IMMUTABLE' END, symbol);
			EXECUTE format('COMMENT ON FUNCTION risk.%I(%s) IS %L', name,
				regexp_replace(format(arguments, ts), ' DEFAULT ''[^'']*''', ''),
				comment || '. A window function: OVER (PARTITION BY key ORDER BY ts). Errors: 42P20 not in that order, 22023 window not longer than zero, delay negative, or they change between rows, 22004 they are NULL.');
		END LOOP;
	END LOOP;
END $$;

-- ---------------------------------------------------------------------------
-- Rolling features of a whole table.
-- ---------------------------------------------------------------------------

-- SECURITY INVOKER: the caller must be allowed to read the source.
CREATE FUNCTION risk.rolling_table(
	source text,
	key text,
	event_time text,
	value text,
	windows interval[],
	aggregates text[] DEFAULT '{count,sum}',
	delay interval DEFAULT '0')
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000000 ROWS 100000 AS 'MODULE_PATHNAME', 'risk_rolling_table';
COMMENT ON FUNCTION risk.rolling_table(text, text, text, text, interval[], text[], interval) IS
	'Rolling features of all rows of a table or query, in one pass over it. key: a column, or several with commas; value: the column of aggregates that name none, or NULL; aggregates: as in risk.create_rolling_features(), each over each window [t - delay - w, t - delay). The column definition list says what is wanted: features by their names (risk.rolling_feature_name()), other columns are passed on from the source. Runs with the caller''s rights, and only reads. Errors: 42703 a column is neither, 42702 it is two features, 42804 it has another type, 42602 a key, event_time or value is no column, 22004 an argument is NULL, 22023 unknown aggregate, window not longer than zero, delay negative.';
