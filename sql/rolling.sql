-- Rolling features as window functions and of whole tables, against a self-join in plain SQL
\set SHOW_CONTEXT never
SET TIME ZONE 'Europe/Paris';

-- four transfers of one sender
CREATE TABLE transfers (id text, sender int, at timestamptz, value numeric);
INSERT INTO transfers VALUES
	('a', 1, '2026-01-01 00:00', 10), ('b', 1, '2026-01-01 00:30', 5), ('c', 1, '2026-01-01 01:00', 2), ('d', 1, '2026-01-01 01:00', 3);
SELECT id, risk.rolling_count(at, '1 hour') OVER w, risk.rolling_sum(value, at, '1 hour') OVER w,
	   risk.rolling_since_last(at, '1 hour') OVER w, risk.rolling_distinct(id, at, '1 hour') OVER w,
	   round(risk.decayed_distinct(id, at, '1 hour', '10 min') OVER w::numeric, 12) AS decayed_distinct,
	   risk.rolling_change(at, '30 min') OVER w, risk.rolling_share(value > 4, at, '1 hour') OVER w,
	   risk.rolling_stats(value, at, '{1 hour,10 min}', '{count,sum,last}') OVER w
FROM transfers WINDOW w AS (PARTITION BY sender ORDER BY at) ORDER BY id;
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour,1 day}')
	AS t (id text, sender_cnt_prev_1h bigint, sender_sum_value_prev_1h float8, sender_cnt_prev_1d bigint) ORDER BY id;

-- ---------------------------------------------------------------------------
-- Brute force.  A float8 as the number that it is: its bits, times powers of two
-- that repeated multiplication gives with every digit.
-- ---------------------------------------------------------------------------
CREATE TABLE power (e int PRIMARY KEY, two numeric);
INSERT INTO power
	WITH RECURSIVE p AS (SELECT 0 AS e, 1::numeric AS up, 1::numeric AS down
						 UNION ALL SELECT e + 1, up * 2, down * 0.5 FROM p WHERE e < 1074)
	SELECT e, up FROM p UNION SELECT -e, down FROM p;
CREATE FUNCTION exact(float8) RETURNS numeric LANGUAGE sql STABLE STRICT AS $$
	SELECT CASE WHEN b.e = 2047 THEN $1::numeric ELSE
		(CASE WHEN b.bits < 0 THEN -1 ELSE 1 END) * ((b.bits & 4503599627370495) + CASE WHEN b.e > 0 THEN 4503599627370496 ELSE 0 END)
		* (SELECT two FROM power WHERE power.e = greatest(b.e, 1) - 1075) END
	FROM (SELECT bits, (bits >> 52)::int & 2047 AS e FROM (SELECT ('x' || encode(float8send($1), 'hex'))::bit(64)::bigint AS bits) AS x) AS b
$$;
INSERT INTO power SELECT -1075, two * 0.5 FROM power WHERE e = -1074;
-- Rounded once: beyond the range to an infinity, and to 0 up to half of the least.
CREATE FUNCTION rounded(numeric) RETURNS float8 LANGUAGE sql STABLE STRICT AS $$
	SELECT CASE WHEN abs($1) <= (SELECT two FROM power WHERE e = -1075) THEN 0 WHEN abs($1) < 2 * (SELECT two FROM power WHERE e = 1023) - (SELECT two FROM power WHERE e = 970) OR abs($1) IN ('NaN', 'Infinity')
		THEN $1::float8 ELSE sign($1) * 'Infinity'::float8 END
$$;
-- A quotient before rounding: division stops at 1000 digits, so a digit tells of what is left.
CREATE FUNCTION quotient(numeric, bigint) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT AS $$
	SELECT CASE WHEN abs($1) IN ('NaN', 'Infinity') THEN $1 ELSE (div($1 * 1e1300, $2) + 0.1 * sign(mod($1 * 1e1300, $2))) * 1e-1300 END
$$;
SELECT x, rounded(exact(x)) IS NOT DISTINCT FROM x AS same FROM unnest('{0.1,-1e300,5e-324,2.2250738585072014e-308,1.7976931348623157e308,NaN,-Infinity}'::float8[]) AS x;
SELECT rounded(exact(1e308) * 2), exact(0.1) = 0.1 AS decimal;

-- Streams with ties: money; integers past 2^53; magnitudes far apart; with what is not finite.
SELECT setseed(0.25);
CREATE TABLE stream AS
	SELECT k, i AS id, CASE WHEN random() < 0.01 THEN NULL ELSE
			'2026-03-27 00:00'::timestamptz + floor(i * (1 + random() / 20)) * interval '1 hour' * (CASE k % 3 WHEN 0 THEN 1 WHEN 1 THEN 0.3 ELSE 0.001 END)
			+ CASE WHEN random() < 0.2 THEN interval '1 microsecond' ELSE interval '0' END END AS ts,
		CASE WHEN random() < 0.1 THEN NULL
			 WHEN k % 4 = 0 THEN floor(random() * 100000) / 100
			 WHEN k % 4 = 1 THEN floor(random() * 1e6) * 9007199254740993
			 WHEN k % 4 = 3 AND random() < 0.03 THEN (ARRAY['NaN', 'Infinity', '-Infinity'])[1 + floor(random() * 3)]::float8
			 ELSE (ARRAY[1e300, -1e300, 1e-300, 5e-324, -2e-310, '-0', 0.1, -0.3, 1.7e308, -1.7e308])[1 + floor(random() * 10)] * (CASE WHEN random() < 0.3 THEN 0.6 + random() * 0.4 ELSE 1 END) END AS v,
		CASE WHEN random() < 0.1 THEN NULL ELSE 'c' || floor(random() * 12) END AS c,
		CASE WHEN random() < 0.2 THEN NULL ELSE random() < 0.3 END AS fraud
	FROM generate_series(1, 8) AS k, generate_series(1, 120) AS i;
CREATE TABLE windows (w interval, delay interval);
INSERT INTO windows VALUES ('1 hour', '0'), ('1 day', '0'), ('7 days', '3 days'), ('1 mon', '0'), ('1 mon 2 days 00:00:00.000001', '1 hour'), ('3.6 s', '0');

CREATE TABLE want AS
	SELECT s.k, s.id, w.w, w.delay, s.ts, o.*,
		   CASE WHEN o.n > 0 THEN rounded(quotient(o.total, o.n)) END AS avg,
		   CASE WHEN o.n > 1 THEN CASE WHEN o.total IN ('NaN', 'Infinity', '-Infinity') THEN 'NaN'
				ELSE rounded(sqrt((o.n * o.squares - o.total * o.total) / (o.n * (o.n - 1)))) END END AS stddev
	FROM stream AS s, windows AS w, LATERAL (
		SELECT count(o.id) AS count, count(o.v) AS n, coalesce(sum(x.exact), 0) AS total, sum(x.exact * x.exact) AS squares,
			   min(o.v + 0.0::float8) AS min, max(o.v + 0.0::float8) AS max,
			   ((array_agg(o.v + 0.0::float8 ORDER BY o.ts DESC, o.v DESC) FILTER (WHERE o.v IS NOT NULL)))[1] AS last,
			   count(DISTINCT o.c) AS distinct, avg(o.fraud::int)::float8 AS share,
			   extract(epoch FROM s.ts - max(o.ts))::float8 AS since_last
		FROM stream AS o CROSS JOIN LATERAL (SELECT exact(o.v) AS exact) AS x
		WHERE o.k = s.k AND o.ts >= s.ts - w.delay - w.w AND o.ts < s.ts - w.delay) AS o
	WHERE s.ts IS NOT NULL;
ALTER TABLE want ADD PRIMARY KEY (k, id, w);

-- Bits: the shortest text of a float8 tells all of them apart, -0 included.
CREATE FUNCTION wrong(got float8, wanted float8) RETURNS int LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN got::text IS DISTINCT FROM wanted::text THEN 1 ELSE 0 END
$$;
CREATE FUNCTION compare(of interval, delayed interval) RETURNS TABLE (
	w interval, count bigint, sum bigint, avg bigint, min bigint, max bigint, stddev bigint, last bigint,
	"distinct" bigint, share bigint, since_last bigint, rows bigint)
LANGUAGE sql AS $$
	SELECT of, sum(wrong(g.count, o.count)), sum(wrong(g.sum, rounded(o.total))), sum(wrong(g.avg, o.avg)), sum(wrong(g.min, o.min)),
		   sum(wrong(g.max, o.max)), sum(wrong(g.stddev, o.stddev)), sum(wrong(g.last, o.last)), sum(wrong(g.distinct, o.distinct)),
		   sum(CASE WHEN g.share IS NULL AND o.share IS NULL OR abs(g.share - o.share) < 1e-12 THEN 0 ELSE 1 END),
		   CASE WHEN delayed = '0' THEN sum(wrong(g.since_last, o.since_last)) END, count(*)
	FROM (SELECT k, id, ts, risk.rolling_count(ts, of, delayed) OVER w, risk.rolling_sum(v, ts, of, delayed) OVER w AS sum,
				 risk.rolling_avg(v, ts, of, delayed) OVER w AS avg, risk.rolling_min(v, ts, of, delayed) OVER w AS min,
				 risk.rolling_max(v, ts, of, delayed) OVER w AS max, risk.rolling_stddev(v, ts, of, delayed) OVER w AS stddev,
				 risk.rolling_last(v, ts, of, delayed) OVER w AS last, risk.rolling_distinct(c, ts, of, delayed) OVER w AS distinct,
				 risk.rolling_share(fraud, ts, of, delayed) OVER w AS share, risk.rolling_since_last(ts, of) OVER w AS since_last
		  FROM stream WINDOW w AS (PARTITION BY k ORDER BY ts)) AS g (k, id, ts, count)
	FULL JOIN (SELECT * FROM want WHERE want.w = of) AS o USING (k, id)
	WHERE g.ts IS NOT NULL OR o.k IS NOT NULL
$$;
SELECT c.* FROM windows AS w, LATERAL compare(w.w, w.delay) AS c;
-- windows that another row brings
SELECT w.w, count(*) AS rows, count(*) FILTER (WHERE g.n IS DISTINCT FROM o.count) AS wrong
FROM windows AS w, LATERAL (SELECT k, id, risk.rolling_count(ts, w.w) OVER (PARTITION BY k ORDER BY ts) AS n FROM stream WHERE ts IS NOT NULL OFFSET 0) AS g
JOIN want AS o ON (o.k, o.id) = (g.k, g.id) WHERE o.w = w.w AND w.delay = '0' GROUP BY w.w ORDER BY w.w;
-- what the streams are good for
SELECT count(*) FILTER (WHERE s.ts - w.w < (s.before - w.w)) > 0 AS bounds_go_back, count(*) FILTER (WHERE s.ts = s.before) > 100 AS ties
FROM (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts) AS before FROM stream) AS s, windows AS w;
SELECT count(DISTINCT total) > 1000 AS sums, bool_or(rounded(total) = 'Infinity' AND total <> 'Infinity') AS beyond_float8 FROM want;

-- no time: no result, and no event
SELECT count(*) > 0 AS timeless, count(n) AS results
FROM (SELECT ts, risk.rolling_count(ts, '1 day') OVER (PARTITION BY k ORDER BY ts) AS n FROM stream) AS x WHERE ts IS NULL;
SELECT count(*) AS differ FROM (
	SELECT risk.rolling_count(ts, '1 day') OVER (PARTITION BY k ORDER BY ts) AS last, risk.rolling_count(ts, '1 day') OVER (PARTITION BY k ORDER BY ts NULLS FIRST) AS first
	FROM stream) AS x WHERE first IS DISTINCT FROM last;
-- whatever the frame
SELECT count(*) AS differ FROM (
	SELECT risk.rolling_sum(v, ts, '1 day') OVER (PARTITION BY k ORDER BY ts) AS a,
		   risk.rolling_sum(v, ts, '1 day') OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING EXCLUDE TIES) AS b,
		   risk.rolling_sum(v, ts, '1 day') OVER (PARTITION BY k ORDER BY ts, id) AS c
	FROM stream) AS x WHERE wrong(a, b) + wrong(a, c) > 0;
-- other functions over the same window keep theirs
SELECT count(rolling.count) > 0 AS peers, count(*) FILTER (WHERE rolling.n IS DISTINCT FROM plain.n) AS differ
FROM (SELECT id, k, count(*) OVER w AS n, risk.rolling_count(ts, '1 day') OVER w AS count FROM stream WINDOW w AS (PARTITION BY k ORDER BY ts)) AS rolling
JOIN (SELECT id, k, count(*) OVER w AS n, row_number() OVER w AS row FROM stream WINDOW w AS (PARTITION BY k ORDER BY ts)) AS plain USING (id, k)
WHERE plain.n <> plain.row;

-- several windows in one call, and the set form
SELECT count(*) AS rows, sum(wrong((g.s).counts[o.place], o.count)) AS count, sum(wrong((g.s).sums[o.place], o.sum)) AS sum, sum(wrong((g.s).avgs[o.place], o.avg)) AS avg,
	   sum(wrong((g.s).mins[o.place], o.min)) AS min, sum(wrong((g.s).maxs[o.place], o.max)) AS max, sum(wrong((g.s).stddevs[o.place], o.stddev)) AS stddev,
	   sum(wrong((g.s).lasts[o.place], o.last)) AS last, sum(wrong(g.a[o.place], o.sum)) AS array_sum, sum(wrong(g.a[4 + o.place], o.count)) AS array_count
FROM (SELECT k, id, risk.rolling_stats(v, ts, '{1 hour,1 day,1 mon,3.6 s}', '{count,sum,avg,min,max,stddev,last}') OVER w,
			 risk.rolling_array(v, ts, '{1 hour,1 day,1 mon,3.6 s}', '{sum,count}') OVER w
	  FROM stream WINDOW w AS (PARTITION BY k ORDER BY ts)) AS g (k, id, s, a)
JOIN (SELECT *, rounded(total) AS sum, array_position('{1 hour,1 day,1 mon,3.6 s}', w) AS place FROM want WHERE delay = '0') AS o USING (k, id);
SELECT count(*) AS rows, sum(wrong(k_cnt_prev_1d, d.count)) AS count, sum(wrong(k_sum_v_prev_1d, rounded(d.total))) AS sum, sum(wrong("k_sum_v_prev_1mo", rounded(m.total))) AS sum_month,
	   sum(wrong(k_stddev_v_prev_1mo, m.stddev)) AS stddev, sum(wrong(k_min_v_prev_1mo, m.min)) AS min, sum(wrong(k_last_v_prev_1mo, m.last)) AS last, sum(wrong(k_since_last_prev_1d, d.since_last)) AS since_last
FROM risk.rolling_table('SELECT * FROM stream WHERE ts IS NOT NULL', 'k', 'ts', 'v', '{1 day,1 mon}', '{count,sum,min,max,last,stddev,since_last}')
	AS t (k int, id int, k_cnt_prev_1d bigint, k_sum_v_prev_1d float8, k_sum_v_prev_1mo float8, k_stddev_v_prev_1mo float8, k_min_v_prev_1mo float8, k_last_v_prev_1mo float8, k_since_last_prev_1d float8)
JOIN want AS d ON (d.k, d.id, d.w) = (t.k, t.id, interval '1 day') JOIN want AS m ON (m.k, m.id, m.w) = (t.k, t.id, interval '1 mon');
SELECT count(*) AS rows, sum(wrong(k_distinct_c_prev_1mo, o.distinct)) AS distinct
FROM risk.rolling_table('stream', 'k', 'ts', 'c', '{1 mon}', '{distinct}') AS t (k int, id int, k_distinct_c_prev_1mo bigint) JOIN want AS o USING (k, id) WHERE w = '1 mon';

-- more events
CREATE TABLE many AS SELECT i AS id, floor(500 * random() ^ 2)::int AS k, '2026-03-01'::timestamptz + floor(random() * 60 * 24 * 60) * interval '1 min' AS ts, floor(random() * 10000)::int AS v
	FROM generate_series(1, 50000) AS i;
CREATE INDEX ON many (k, ts) INCLUDE (v);
ANALYZE many;
SELECT count(*) AS rows, count(*) FILTER (WHERE (t.k_cnt_prev_7d, t.k_sum_v_prev_7d) IS DISTINCT FROM (o.count, o.sum)) AS wrong_table, count(*) FILTER (WHERE a.f IS DISTINCT FROM ARRAY[o.count, o.sum]) AS wrong_array, max(o.count) > 100 AS long
FROM risk.rolling_table('many', 'k', 'ts', 'v', '{7 days}') AS t (id int, k int, ts timestamptz, k_cnt_prev_7d bigint, k_sum_v_prev_7d float8)
JOIN (SELECT id, risk.rolling_array(v, ts, '{7 days}', '{count,sum}') OVER (PARTITION BY k ORDER BY ts) AS f FROM many) AS a USING (id),
	LATERAL (SELECT count(*), coalesce(sum(v), 0)::float8 AS sum FROM many AS o WHERE o.k = t.k AND o.ts >= t.ts - interval '7 days' AND o.ts < t.ts) AS o;

-- rate of change, decay
SELECT count(*) AS rows, count(*) FILTER (WHERE change IS DISTINCT FROM wanted) AS wrong, count(change) > 100 AS known
FROM (SELECT risk.rolling_change(v, ts, '2 hours') OVER w AS change,
			 (risk.rolling_sum(v, ts, '2 hours') OVER w - risk.rolling_sum(v, ts, '2 hours', '2 hours') OVER w) / nullif(risk.rolling_sum(v, ts, '2 hours', '2 hours') OVER w, 0) AS wanted
	  FROM stream WHERE k IN (1, 4, 5, 8) WINDOW w AS (PARTITION BY k ORDER BY ts)) AS x;
SELECT count(*) AS rows, count(*) FILTER (WHERE abs(g.decayed - o.decayed) < 1e-9) AS right
FROM (SELECT k, id, risk.decayed_distinct(c, ts, '2 days', '5 hours') OVER (PARTITION BY k ORDER BY ts) AS decayed FROM stream WHERE ts IS NOT NULL) AS g
JOIN (SELECT s.k, s.id, CASE WHEN s.c IS NULL THEN 0 ELSE 1 END + coalesce((
		SELECT sum(exp(-seen / 18000)) FROM (SELECT extract(epoch FROM s.ts - max(o.ts))::float8 AS seen FROM stream AS o
			WHERE o.k = s.k AND o.ts >= s.ts - interval '2 days' AND o.ts < s.ts AND o.c IS DISTINCT FROM s.c AND o.c IS NOT NULL GROUP BY o.c) AS x), 0) AS decayed
	  FROM stream AS s) AS o USING (k, id);

-- the set form beside window functions: a delay, several columns, changes, decay
SELECT count(*) AS rows, sum(wrong(k_cnt_prev_7d_delay_3d, o.count)) AS count, sum(wrong(k_sum_v_prev_7d_delay_3d, rounded(o.total))) AS sum, sum(wrong(k_avg_v_prev_7d_delay_3d, o.avg)) AS avg,
	   sum(wrong(k_min_v_prev_7d_delay_3d, o.min)) AS min, sum(wrong(k_max_v_prev_7d_delay_3d, o.max)) AS max, sum(wrong(k_stddev_v_prev_7d_delay_3d, o.stddev)) AS stddev,
	   sum(wrong(k_last_v_prev_7d_delay_3d, o.last)) AS last, sum(wrong(k_distinct_c_prev_7d_delay_3d, o.distinct)) AS distinct, sum(wrong(k_since_last_prev_7d_delay_3d, o.since_last)) AS since_last
FROM risk.rolling_table('SELECT * FROM stream WHERE ts IS NOT NULL', 'k', 'ts', 'v', '{7 days}', '{count,sum,avg,min,max,stddev,last,distinct(c),since_last}', '3 days')
	AS t (k int, id int, k_cnt_prev_7d_delay_3d bigint, k_sum_v_prev_7d_delay_3d float8, k_avg_v_prev_7d_delay_3d float8, k_min_v_prev_7d_delay_3d float8, k_max_v_prev_7d_delay_3d float8,
		  k_stddev_v_prev_7d_delay_3d float8, k_last_v_prev_7d_delay_3d float8, k_distinct_c_prev_7d_delay_3d bigint, k_since_last_prev_7d_delay_3d float8)
JOIN (SELECT * FROM want WHERE w = '7 days') AS o USING (k, id);
SELECT count(*) AS rows, sum(wrong(t.k_share_fraud_prev_1d, f.share)) AS share, sum(wrong(t.k_change_cnt_prev_1mo, f.change)) AS change_count, sum(wrong(t.k_change_v_prev_1d, f.change_v)) AS change,
	   sum(wrong(t.k_decayed_distinct_c_prev_1d, f.decayed)) AS decayed, sum(wrong(t.k_distinct_id_prev_1d, f.ids)) AS ids, sum(wrong(t.k_sum_fraud_prev_1d, f.frauds)) AS frauds
FROM risk.rolling_table('stream', 'k', 'ts', 'v', '{1 day,1 mon}', '{share(fraud),change,change(v),"decayed_distinct( c , 5 hours )","distinct(\"id\")",sum(fraud)}')
	AS t (k int, id int, k_share_fraud_prev_1d float8, k_change_cnt_prev_1mo float8, k_change_v_prev_1d float8, k_decayed_distinct_c_prev_1d float8, k_distinct_id_prev_1d bigint, k_sum_fraud_prev_1d float8)
JOIN (SELECT k, id, risk.rolling_share(fraud, ts, '1 day') OVER w AS share, risk.rolling_change(ts, '1 mon') OVER w AS change, risk.rolling_change(v, ts, '1 day') OVER w AS change_v,
			 risk.decayed_distinct(c, ts, '1 day', '5 hours') OVER w AS decayed, risk.rolling_distinct(id, ts, '1 day') OVER w AS ids, risk.rolling_sum(fraud::int, ts, '1 day') OVER w::float8 AS frauds
	  FROM stream WINDOW w AS (PARTITION BY k ORDER BY ts)) AS f USING (k, id);

-- and beside declared features, all of them: in memory, through files, and where no scan stands in for the function
CREATE TABLE live AS SELECT k * 1000 + id AS id, k, id % 2 AS half, ts, v, c, fraud, CASE WHEN id % 40 = 0 THEN 'NaN' WHEN id % 9 > 0 THEN (floor(random() * 1e6) / 100) END::numeric(10,2) AS amount,
	floor(random() * 100)::bigint * 9007199254740993 AS big, CASE WHEN id % 50 = 0 THEN 'NaN' WHEN id % 8 > 0 THEN floor(random() * 1e6)::numeric * 1e16 + id END AS wei, ('2026-01-01'::date + id) AS day FROM stream WHERE ts IS NOT NULL ORDER BY random();
ALTER TABLE live ADD PRIMARY KEY (id);
SELECT cardinality(risk.create_rolling_features('live', ARRAY['k', 'half'], 'ts', 'v', '{1 hour,1 day,1 mon}',
	'{count,sum,avg,min,max,stddev,last,since_last,change,change(v),share(fraud),distinct(c),distinct(day),"decayed_distinct(c, 5 hours)",sum(amount),avg(amount),stddev(amount),change(amount),sum(big),max(fraud),sum(wei),avg(wei),min(wei)}',
	delay => '1 hour', create_index => true)) AS features;
SELECT string_agg(format('%I %s', feature, CASE WHEN aggregate IN ('count', 'distinct') THEN 'bigint' ELSE 'float8' END), ', ') AS features FROM risk.rolling_features_info WHERE source = 'live'::regclass \gset
CREATE VIEW by_scan AS SELECT * FROM risk.rolling_table('live', 'k, half', 'ts', 'v', '{1 hour,1 day,1 mon}',
	'{count,sum,avg,min,max,stddev,last,since_last,change,change(v),share(fraud),distinct(c),distinct(day),"decayed_distinct(c, 5 hours)",sum(amount),avg(amount),stddev(amount),change(amount),sum(big),max(fraud),sum(wei),avg(wei),min(wei)}',
	'1 hour') AS t (:features, id int, c text);
CREATE VIEW by_function AS SELECT * FROM ROWS FROM (risk.rolling_table('live', 'k, half', 'ts', 'v', '{1 hour,1 day,1 mon}',
	'{count,sum,avg,min,max,stddev,last,since_last,change,change(v),share(fraud),distinct(c),distinct(day),"decayed_distinct(c, 5 hours)",sum(amount),avg(amount),stddev(amount),change(amount),sum(big),max(fraud),sum(wei),avg(wei),min(wei)}',
	'1 hour') AS (:features, id int, c text)) WITH ORDINALITY;
CREATE VIEW by_declaration AS SELECT (t.event ->> 'id')::int AS id, t.features, l.c FROM risk.training_set('live') AS t JOIN live AS l ON l.id = (t.event ->> 'id')::int;
EXPLAIN (COSTS OFF) SELECT k_half_cnt_prev_1h_delay_1h FROM by_scan WHERE id > 7000;
EXPLAIN (COSTS OFF) SELECT k_half_cnt_prev_1h_delay_1h FROM by_function;
-- settings of the function hold: no scan stands in for it then
BEGIN;
ALTER FUNCTION risk.rolling_table SET work_mem = '64kB';
EXPLAIN (COSTS OFF) SELECT k_half_cnt_prev_1h_delay_1h FROM by_scan WHERE id > 7000;
ROLLBACK;
SELECT count(*) AS rows, count(*) FILTER (WHERE to_jsonb(s) - '{id,c}'::text[] IS DISTINCT FROM d.features OR s.c IS DISTINCT FROM d.c) AS different FROM (SELECT * FROM by_scan OFFSET 0) AS s FULL JOIN by_declaration AS d USING (id);
SET work_mem = '64kB';
SELECT count(*) AS rows, count(*) FILTER (WHERE to_jsonb(s) - '{id,c}'::text[] IS DISTINCT FROM d.features OR s.c IS DISTINCT FROM d.c) AS different FROM (SELECT * FROM by_scan OFFSET 0) AS s FULL JOIN by_declaration AS d USING (id);
RESET work_mem;
SELECT count(*) AS rows, count(*) FILTER (WHERE to_jsonb(s) - '{id,c,ordinality}'::text[] IS DISTINCT FROM d.features OR s.c IS DISTINCT FROM d.c) AS different FROM by_function AS s FULL JOIN by_declaration AS d USING (id);
-- what the features are good for
SELECT count(*) FILTER (WHERE value = 'null') > 1000 AS nulls, count(DISTINCT value) > 5000 AS values, count(*) FILTER (WHERE value IN ('"NaN"', '"Infinity"', '"-Infinity"')) > 100 AS special FROM by_declaration, jsonb_each_text(features) AS f (name, text), to_jsonb(text) AS t (quoted), LATERAL (SELECT features -> name) AS v (value);

-- the scan again and again: for each outer row, with the same or other arguments, backwards, not to its end
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT count(*), sum(n) FROM generate_series(1, 3) AS g JOIN risk.rolling_table('stream', 'k', 'ts', NULL, '{1 day}', '{count}') AS t (k int, k_cnt_prev_1d bigint) ON t.k > g, LATERAL (SELECT t.k_cnt_prev_1d) AS x (n);
SELECT sum(n) FROM generate_series(1, 3) AS g, LATERAL (SELECT sum(count) FROM want WHERE k > g AND w = '1 day') AS x (n);
SELECT g, t.* FROM generate_series(1, 3) AS g, LATERAL (SELECT count(*), sum(k_cnt_prev_1d) FROM risk.rolling_table('SELECT * FROM stream WHERE k = ' || g, 'k', 'ts', NULL, '{1 day}', '{count}') AS t (k_cnt_prev_1d bigint)) AS t;
SELECT k, sum(count) FROM want WHERE w = '1 day' AND k <= 3 GROUP BY k ORDER BY k;
-- a source that can be read once: a filter that changes is no reason to read again, an argument is
CREATE FUNCTION read_once(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'read %', $1; RETURN $1; END $$;
SELECT g, t.* FROM generate_series(1, 3) AS g, LATERAL (SELECT id, k_cnt_prev_1d FROM risk.rolling_table('SELECT 1 AS k, read_once(id) AS id, ''2026-01-01''::timestamptz + id * interval ''1 h'' AS ts FROM generate_series(1, 3) AS id', 'k', 'ts', NULL, '{1 day}', '{count}') AS t (id int, k_cnt_prev_1d bigint) WHERE id >= g OFFSET 0) AS t;
SELECT g, t.* FROM generate_series(1, 2) AS g, LATERAL (SELECT * FROM risk.rolling_table((SELECT 'SELECT 1 AS k, read_once(' || g || ') AS id, now() AS ts'), 'k', 'ts', NULL, '{1 day}', '{count}') AS t (id int, k_cnt_prev_1d bigint) WHERE id >= g OFFSET 0) AS t;
DROP FUNCTION read_once;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT k_cnt_prev_1d FROM risk.rolling_table('SELECT * FROM stream WHERE k = 1 AND ts IS NOT NULL', 'k', 'ts', NULL, '{1 day}', '{count}') AS t (k_cnt_prev_1d bigint);
FETCH 3 FROM c;
FETCH BACKWARD 2 FROM c;
COMMIT;
SELECT k_cnt_prev_1d FROM risk.rolling_table('SELECT * FROM stream WHERE k = 1 AND ts IS NOT NULL', 'k', 'ts', NULL, '{1 day}', '{count}') AS t (k_cnt_prev_1d bigint) LIMIT 2;
SELECT count(*) FROM risk.rolling_table('SELECT * FROM stream WHERE false', 'k', 'ts', 'v', '{1 day}') AS t (k_cnt_prev_1d bigint);
SELECT count(*), min(id) FROM risk.rolling_table('stream', 'k', 'ts', NULL, '{1 day}', '{count}') AS t (id int);

-- the grammar of aggregates, against a regular expression
CREATE FUNCTION read_aggregate(item text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT aggregate || coalesce('(' || column_name || ')', '') FROM risk.rolling_column_features(NULL, NULL, '{k}', 'value', '{1 h}', ARRAY[item], '0'));
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN sqlerrm LIKE 'there is no aggregate%' THEN 'none' ELSE 'wrong' END;
END $$;
SELECT setseed(0.5);
SELECT count(*) > 1000 AS some, count(*) FILTER (WHERE got NOT IN ('none', 'wrong')) > 300 AS good,
	   count(*) FILTER (WHERE (p IS NULL) <> (got = 'none')) AS refused_wrongly, count(*) FILTER (WHERE got NOT IN ('none', 'wrong') AND got <> p[1] || coalesce('(' || coalesce(trim('"' FROM p[2]), CASE WHEN p[1] NOT IN ('count', 'since_last', 'change') THEN 'value' END) || ')', '')) AS read_wrongly
FROM (SELECT string_agg((ARRAY['sum', 'count', 'change', 'decayed_distinct', 'share', 'med', '(', '(', ')', ')', 'a', 'b c', '"a)b"', '"', ',', ' ', '1 h'])[CASE WHEN n = 1 THEN 1 + floor(random() * 6) WHEN n = 2 AND random() < 0.8 THEN 7 ELSE 1 + floor(random() * 17) END], '' ORDER BY n) AS item
	  FROM generate_series(1, 6000) AS i, generate_series(1, 1 + i % 6) AS n GROUP BY i) AS x,
	LATERAL regexp_match(item, '^\s*(sum|count|change|decayed_distinct|share)\s*(?:\(\s*("[^"]+"|[^\s",()](?:[^",()]*[^\s",()])?)\s*(?:,\s*([^\s()](?:[^()]*[^\s()])?)\s*)?\))?\s*$') AS p, read_aggregate(item) AS got;
SELECT i, read_aggregate(i) FROM unnest('{sum,"sum(a)","  sum ( a )  ","sum(\"A b\")","sum(a","sum()","sum(a))","sum(a,b)","count(a)","decayed_distinct(a)","decayed_distinct(a, 1 day)",share,"change(a)",change,"SUM(a)","\"sum\"(a)",""}'::text[]) AS i;

-- numerics: every digit, with what left the window subtracted; types of time; types of ids
SELECT count(*) AS rows, count(*) FILTER (WHERE g.sum IS DISTINCT FROM o.sum) AS wrong, max(length(g.sum::text)) > 30 AS long
FROM (SELECT k, id, risk.rolling_sum(exact(v) * 1e18, ts, '1 mon', '1 hour') OVER (PARTITION BY k ORDER BY ts) FROM stream WHERE ts IS NOT NULL) AS g (k, id, sum)
JOIN (SELECT s.k, s.id, (SELECT coalesce(sum(exact(o.v) * 1e18), 0) FROM stream AS o
		WHERE o.k = s.k AND o.ts >= s.ts - interval '1 hour' - interval '1 mon' AND o.ts < s.ts - interval '1 hour') AS sum FROM stream AS s) AS o USING (k, id);
SELECT risk.rolling_sum(v, d, '3 days') OVER (ORDER BY d) FROM (VALUES (date '2026-01-01', 0.10), ('2026-01-02', 0.2), ('2026-01-05', 'NaN'), ('2026-01-09', 1)) AS x (d, v);
SELECT count(*) AS rows, sum(wrong(g.local, o.local)) AS local, sum(wrong(g.day, o.day)) AS day
FROM (SELECT k, id, risk.rolling_count(ts::timestamp, '1 mon 1 day') OVER (PARTITION BY k ORDER BY ts::timestamp) AS local,
			 risk.rolling_count(ts::date, '5 days') OVER (PARTITION BY k ORDER BY ts::date) AS day FROM stream WHERE ts IS NOT NULL) AS g
JOIN (SELECT s.k, s.id, (SELECT count(*) FROM stream AS o WHERE o.k = s.k AND o.ts::timestamp >= s.ts::timestamp - interval '1 mon 1 day' AND o.ts::timestamp < s.ts::timestamp) AS local,
			 (SELECT count(*) FROM stream AS o WHERE o.k = s.k AND o.ts::date >= s.ts::date - interval '5 days' AND o.ts::date < s.ts::date) AS day FROM stream AS s) AS o USING (k, id);
SELECT count(*) FILTER (WHERE (a, b, c, d) IS DISTINCT FROM (t, t, t, t)) AS wrong, max(t)
FROM (SELECT risk.rolling_distinct(x, at, '100 s') OVER w AS t, risk.rolling_distinct(x::bigint - 5, at, '100 s') OVER w AS a, risk.rolling_distinct(x::int, at, '100 s') OVER w AS b,
			 risk.rolling_distinct(ARRAY[x], at, '100 s') OVER w AS c, risk.rolling_distinct(x::float8, at, '100 s') OVER w AS d
	  FROM (SELECT (CASE WHEN i % 2 = 0 THEN i ELSE i - 89 END)::text AS x, '2026-01-01'::timestamp + i * interval '1 s' AS at FROM generate_series(1, 3000) AS i) AS x WINDOW w AS (ORDER BY at)) AS y;
-- -1 as an id
SELECT risk.rolling_distinct(x, at, '10 s') OVER (ORDER BY at) FROM (VALUES (-1::bigint, timestamp '2026-01-01 00:00:01'), (-1, '2026-01-01 00:00:02'), (7, '2026-01-01 00:00:03')) AS v (x, at);
-- extreme times
SELECT at, risk.rolling_count(at, '1 day') OVER (ORDER BY at) FROM unnest('{-infinity,-infinity,2026-01-01,2026-01-01 12:00,infinity,infinity}'::timestamp[]) AS at;

-- a time zone without 30 December 2011
SET TIME ZONE 'Pacific/Apia';
WITH quarter AS (SELECT '2011-12-27'::timestamptz + i * interval '15 min' AS ts FROM generate_series(1, 700) AS i)
SELECT count(*) AS rows, count(*) FILTER (WHERE g.day <> o.day OR g.delayed <> o.delayed) AS wrong
FROM (SELECT ts, risk.rolling_count(ts, '1 day') OVER w AS day, risk.rolling_count(ts, '1 day', '1 day 01:00') OVER w AS delayed
	  FROM quarter WINDOW w AS (ORDER BY ts)) AS g,
	LATERAL (SELECT count(*) FILTER (WHERE q.ts >= g.ts - interval '1 day' AND q.ts < g.ts) AS day,
					count(*) FILTER (WHERE q.ts >= g.ts - interval '1 day 01:00' - interval '1 day' AND q.ts < g.ts - interval '1 day 01:00') AS delayed FROM quarter AS q) AS o;
-- memory is that of the longest window, not of the partition
BEGIN;
DECLARE c CURSOR FOR SELECT risk.rolling_stddev(i, at, '1 min') OVER w, risk.rolling_distinct(i::text, at, '1 min') OVER w, risk.rolling_sum(i::numeric, at, '1 min') OVER w
	FROM (SELECT i, '2026-01-01'::timestamp + i * interval '1 s' AS at FROM generate_series(1, 40000) AS i) AS x WINDOW w AS (ORDER BY at);
MOVE 300 IN c;
CREATE TEMP TABLE before AS SELECT sum(total_bytes) AS bytes FROM pg_backend_memory_contexts WHERE name LIKE 'pg_risk%';
MOVE 39000 IN c;
SELECT count(*) AS contexts, sum(total_bytes) <= 2 * (SELECT bytes FROM before) AS bounded FROM pg_backend_memory_contexts WHERE name LIKE 'pg_risk%';
FETCH 1 IN c;
COMMIT;

-- ---------------------------------------------------------------------------
-- Wrong use says what to write.
-- ---------------------------------------------------------------------------
SELECT risk.rolling_count(at, '1 hour') OVER (PARTITION BY sender) FROM transfers;
SELECT risk.rolling_sum(value, at, '1 hour') OVER (PARTITION BY sender ORDER BY at DESC) FROM transfers;
SELECT risk.rolling_count(at, '1 hour') OVER (ORDER BY id DESC) FROM transfers;
SELECT risk.rolling_count(at, '1 hour') OVER (ORDER BY sender) FROM (SELECT * FROM transfers ORDER BY at) AS t;
SELECT risk.rolling_count(at, '1 hour') FROM transfers;
SELECT risk.rolling_count(at, '0') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, '-1 hour') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, '1 mon -1 day') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, NULL) OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, '1 hour', '-1 hour') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, '1 hour', NULL) OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, value * interval '1 hour') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, (SELECT interval '1 hour')) OVER (ORDER BY at) FROM transfers;
SELECT risk.decayed_distinct(id, at, '1 hour', '1 mon') OVER (ORDER BY at) FROM transfers;
SELECT risk.decayed_distinct(id, at, '1 hour', '0') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_distinct(point(1, 2), at, '1 hour') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_stats(value, at, '{}') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_stats(value, at, '{1 hour,NULL}') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_stats(value, at, '{1 hour}', '{median}') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_array(value, at, '{1 hour}', '{distinct}') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count('x'::text, '1 hour') OVER (ORDER BY at) FROM transfers;
SELECT risk.rolling_count(at, '100000000 days') OVER (ORDER BY at) FROM transfers;

-- names
SELECT w, risk.window_name(w) FROM unnest('{10m,1h,24h,1 day,7d,1 mon,1 year,18 months,1 day 12:00,90 min,0.5 s,1 us}'::interval[]) AS w;
SELECT risk.window_name('-1 h');
SELECT a, risk.rolling_feature_name('card', a, 'amount', '24 h') FROM unnest('{count,sum,since_last,distinct,share,change}'::text[]) AS a;
SELECT risk.rolling_feature_name('card', 'change', NULL, '1 h') AS change, risk.rolling_feature_name('card', 'share', 'fraud', '28 d', '7 d') AS delayed;
SELECT risk.rolling_feature_name('card', 'count', NULL, '24 h') AS count, risk.rolling_feature_name('card', 'sum', NULL, '24 h') AS sum;
SELECT risk.rolling_feature_name('card', 'mode', 'amount', '24 h');

-- the set form: NULL keys have no history, NULL times no result; compound keys; queries
INSERT INTO transfers VALUES ('e', NULL, '2026-01-01 01:00', 1), ('f', NULL, '2026-01-01 01:30', 1), ('g', 1, NULL, 1), ('h', 2, '2026-01-01 01:00', NULL), ('i', 2, '2026-01-01 01:01', 1);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}', '{count,sum,avg}')
	AS t (id text, sender_cnt_prev_1h bigint, sender_sum_value_prev_1h float8, sender_avg_value_prev_1h float8) ORDER BY id;
SELECT * FROM risk.rolling_table('SELECT *, id > ''b'' AS "Late" FROM public.transfers -- all', 'sender, "Late"', 'at', NULL, '{1 hour}', '{count}')
	AS t (id text, "sender_Late_cnt_prev_1h" bigint) ORDER BY id;
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}') AS t (id text, sender_cnt_prev_1h int);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}') AS t (id int, sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}') AS t (id text, sender_cnt_prev_2h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'id', 'value', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'no such', 'at', 'value', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', NULL, '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'id', '{1 hour}', '{sum,distinct}') AS t (sender_sum_id_prev_1h float8, sender_distinct_id_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'id', '{1 hour}', '{decayed_distinct}') AS t (id text);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}', '{share}') AS t (sender_share_value_prev_1h float8);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', NULL, '{1 hour}', '{sum(nothing)}') AS t (sender_sum_nothing_prev_1h float8);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', NULL, '{1 hour}', '{count}', '-1 hour') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', NULL, '{1 hour}', '{count}', NULL) AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('SELECT point(1, 2) AS place, * FROM transfers', 'place', 'at', NULL, '{1 hour}', '{count}') AS t (place_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{-1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at, id', 'value', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value, id', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
-- a name that would be two features': by its length, or for their tau
SELECT * FROM risk.rolling_table('SELECT *, sender AS account_that_sends_as_the_ledger_of_last_resort_has_it FROM transfers', 'account_that_sends_as_the_ledger_of_last_resort_has_it', 'at', 'value', '{1 hour,1 day}', '{sum}')
	AS t (account_that_sends_as_the_ledger_of_last_resort_has_it_sum_value float8);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'id', '{1 hour}', '{"decayed_distinct(id, 1 hour)","decayed_distinct(id, 1 day)"}') AS t (sender_decayed_distinct_id_prev_1h float8);
SELECT * FROM risk.rolling_table('transfers', 'sender', 'at', 'value', '{}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table(NULL, 'sender', 'at', 'value', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT * FROM risk.rolling_table('DELETE FROM transfers RETURNING *', 'sender', 'at', 'value', '{1 hour}') AS t (sender_cnt_prev_1h bigint);
SELECT risk.rolling_table('transfers', 'sender', 'at', 'value', '{1 hour}');

-- what would begin before all times begins with the first; dates that no timestamp reaches are infinity
SELECT at, risk.rolling_count(at, '1 month') OVER (ORDER BY at) FROM
	(VALUES (timestamp '4714-11-24 BC'), ('4714-11-24 01:00 BC'), ('4714-12-24 00:30 BC'), ('-infinity'), ('infinity')) AS t (at);
SELECT * FROM risk.rolling_table($$SELECT 1 AS k, at FROM (VALUES (timestamp '4714-11-24 01:00 BC'), ('4714-11-24 02:00 BC')) AS t (at)$$, 'k', 'at', NULL, '{1 day}', '{count}') AS t (k_cnt_prev_1d bigint);
SELECT at, risk.rolling_count(at, '1 month') OVER (ORDER BY at) FROM (VALUES (date '294276-12-30'), ('294276-12-31'), ('294277-01-01'), ('infinity')) AS t (at);

-- it reads what the caller may read
CREATE ROLE risk_test_rolling;
GRANT USAGE ON SCHEMA risk TO risk_test_rolling;
SET ROLE risk_test_rolling;
SELECT * FROM risk.rolling_table('public.transfers', 'sender', 'at', NULL, '{1 hour}', '{count}') AS t (id text, sender_cnt_prev_1h bigint);
RESET ROLE;
GRANT EXECUTE ON FUNCTION risk.rolling_table TO risk_test_rolling;
GRANT SELECT (id, sender, at) ON transfers TO risk_test_rolling;
ALTER TABLE transfers ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON transfers USING (id <> 'a');
SET ROLE risk_test_rolling;
SELECT * FROM risk.rolling_table('public.transfers', 'sender', 'at', NULL, '{1 hour}', '{count}') AS t (id text, sender_cnt_prev_1h bigint) ORDER BY id;
SELECT * FROM risk.rolling_table('public.transfers', 'sender', 'at', 'value', '{1 hour}', '{sum}') AS t (sender_sum_value_prev_1h float8);
SELECT risk.rolling_count(at, '1 hour') OVER (ORDER BY at) FROM transfers;
RESET ROLE;
DROP OWNED BY risk_test_rolling;
DROP ROLE risk_test_rolling;
DROP VIEW by_scan, by_function, by_declaration;
SELECT risk.drop_rolling_features('live');
DROP TABLE transfers, stream, want, windows, power, many, live;
DROP FUNCTION exact, rounded, quotient, wrong, compare, read_aggregate;
RESET TIME ZONE;
