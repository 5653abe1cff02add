-- Declared rolling features: declarations, lookups, scoring; and all of them equal to a plain self-join
\set SHOW_CONTEXT never
SET TimeZone = 'UTC';

-- the definition: strictly earlier, the lower bound included, ties never
CREATE TABLE transfers (id text PRIMARY KEY, from_addr text, at timestamptz, value_usd float8);
INSERT INTO transfers VALUES ('a', 's', '2026-01-01 00:00', 10), ('b', 's', '2026-01-01 00:30', 5),
	('c', 's', '2026-01-01 01:00', 2), ('d', 's', '2026-01-01 01:00', 3);
CREATE INDEX transfers_key ON transfers (from_addr, at);
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', 'value_usd', '{1 hour}', '{count,sum}');
SELECT id, risk.rolling_features('transfers', t) FROM transfers AS t ORDER BY id;
SELECT event, event_time, features FROM risk.training_set('transfers') ORDER BY 1;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00:00.000001'),
	   risk.rolling_features('transfers', 'unknown'::text, '2026-01-01 01:00'),
	   risk.rolling_features('transfers', NULL::text, '2026-01-01 01:00');
-- A quoted constant is a key, too; one of several columns has so many.
SELECT bool_and(f = risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00:00.000001')) FROM (VALUES
	(risk.rolling_features('transfers', 's', '2026-01-01 01:00:00.000001')),
	(risk.rolling_features('transfers', 's'::name, '2026-01-01 01:00:00.000001')),
	(risk.rolling_features('transfers', ROW('s'), '2026-01-01 01:00:00.000001')),
	(risk.rolling_features('transfers', '{s}'::text[], '2026-01-01 01:00:00.000001'))) AS t (f);
SELECT risk.rolling_features('transfers', ROW('s', 1), '2026-01-01 01:00');
SELECT risk.rolling_features('transfers', '{s,t}'::text[], '2026-01-01 01:00');
SELECT risk.rolling_features('transfers', '{"from_addr": "s", "at": "2026-01-01 00:45"}'::jsonb);
-- exact, whatever the order and the size
INSERT INTO transfers VALUES ('e', 'x', '2026-01-01 00:01', 1e300), ('f', 'x', '2026-01-01 00:02', 1),
	('g', 'x', '2026-01-01 00:03', -1e300), ('h', 'x', '2026-01-01 00:04', 5e-324), ('i', 'x', '2026-01-01 00:05', -0.0);
SELECT risk.rolling_features('transfers', 'x'::text, '2026-01-01 01:00');
INSERT INTO transfers VALUES ('j', 'x', '2026-01-01 00:04', 'Infinity');
SELECT risk.rolling_features('transfers', 'x'::text, '2026-01-01 01:00');
SELECT source, set_name, feature, aggregate, column_name, width, delay, key, event_time, problem FROM risk.rolling_features_info;

-- what cannot be declared
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at');
SELECT risk.create_rolling_features('transfers', 'sender', 'At', 'value', aggregates => '{count,sum,distinct(peer)}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'id', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', 'id', aggregates => '{sum}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', 'value_usd', aggregates => '{share}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{sum}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{median}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{count(id)}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{decayed_distinct(id)}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{"decayed_distinct(id, 1 month)"}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{0 hours}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{1 day -1 hour}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{2000 years}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', delay => '-1 day', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{1 hour}', name => 'n');
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', windows => '{2 hours,120 minutes}', name => 'n');
CREATE INDEX transfers_other ON transfers (id COLLATE "POSIX", at);		-- which sorts by another collation
SELECT risk.create_rolling_features('transfers', 'id', 'at');
DROP INDEX transfers_other;
SELECT risk.create_rolling_features('transfers', NULL::name, 'at');
BEGIN;
ALTER TABLE transfers ADD note json;
SELECT risk.create_rolling_features('transfers', 'from_addr', 'at', aggregates => '{distinct(note)}', name => 'n');
ROLLBACK;
SELECT risk.create_rolling_features(NULL, 'id', 'at');
SELECT risk.create_rolling_features('pg_stats', 'tablename', 'tablename');
CREATE TEMP TABLE passing (k int, at timestamptz);
SELECT risk.create_rolling_features('passing', 'k', 'at', create_index => true);
DROP TABLE passing;
BEGIN READ ONLY;
SELECT risk.create_rolling_features('transfers', 'id', 'at');
ROLLBACK;

-- asking for what is not there
SELECT risk.rolling_features('pg_class', 1, now());
SELECT risk.rolling_features('transfers', '{"at": "2026-01-01 00:45"}'::jsonb);
SELECT risk.rolling_features('transfers', '{"from_addr": "s", "at": null}'::jsonb);
SELECT risk.rolling_features('transfers', '[]'::jsonb);
SELECT risk.rolling_features('transfers', '{1,2}'::int[]);
SELECT risk.rolling_features('transfers', 1);
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01', 'n');
SELECT risk.rolling_features('transfers', 's'::text, NULL);
SELECT * FROM risk.training_set('pg_class');
SELECT * FROM risk.training_set('transfers', known_as_of => true);

-- altered and dropped; an index made on request; keys of several columns, of several sets
SELECT risk.alter_rolling_features('transfers', 'from_addr', windows => '{10 minutes,1 day}');
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
SELECT risk.alter_rolling_features('transfers', 'from_addr', aggregates => '{none}');
SELECT risk.alter_rolling_features('transfers', 'from_addr', time_zone => 'Moon/Crater');
SELECT risk.alter_rolling_features('transfers', 'from_addr', time_zone => 'CEST');
SELECT risk.alter_rolling_features('transfers', 'none');
BEGIN;
SELECT risk.create_rolling_features('transfers', ARRAY['from_addr','id'], 'at', windows => '{1 day}', create_index => true);
SELECT risk.rolling_features('transfers', ROW('s'::text, 'a'::text), '2026-01-01 01:00', 'from_addr_id'),
	   risk.rolling_features('transfers', '{s,a}'::text[], '2026-01-01 01:00', 'from_addr_id'),
	   risk.rolling_features('transfers', '{s,NULL}'::text[], '2026-01-01 01:00', 'from_addr_id');
SELECT features FROM risk.training_set('transfers', '2026-01-01 01:00') ORDER BY event;
SAVEPOINT s;
SELECT risk.rolling_features('transfers', ROW('s'::text), '2026-01-01 01:00', 'from_addr_id');
ROLLBACK TO s;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
ROLLBACK;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
-- a column, an index, a table gone
ALTER TABLE transfers RENAME value_usd TO value;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
SELECT DISTINCT problem FROM risk.rolling_features_info ORDER BY 1;
ALTER TABLE transfers RENAME value TO value_usd;
ALTER TABLE transfers ALTER value_usd TYPE text;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
ALTER TABLE transfers ALTER value_usd TYPE float8 USING value_usd::float8;
ALTER TABLE transfers ALTER at TYPE text;
DROP INDEX transfers_key;
SELECT DISTINCT problem FROM risk.rolling_features_info;
SELECT risk.rolling_features('transfers', 's'::text, '2026-01-01 01:00');
SELECT risk.create_rolling_features('transfers', 'id', 'at', windows => '{1 hour}', create_index => true);
SELECT 'transfers'::regclass::oid AS oid \gset
BEGIN;
ALTER EVENT TRIGGER pg_risk_sources_dropped DISABLE;
DROP TABLE transfers;
SELECT DISTINCT set_name, problem FROM risk.rolling_features_info ORDER BY 1;
SELECT risk.drop_rolling_features(:oid, 'id'), risk.drop_rolling_features(:oid);
SELECT count(*) FROM risk.rolling_features_info;
ROLLBACK;
-- with the event trigger: a needed column stays, the sets of a table go with it
ALTER TABLE transfers DROP COLUMN value_usd;
ALTER TABLE transfers DROP COLUMN at CASCADE;
ALTER TABLE transfers ADD COLUMN spare int;
ALTER TABLE transfers DROP COLUMN spare;
BEGIN;
DROP TABLE transfers;
SELECT count(*) FROM risk.rolling_features_info;
ROLLBACK;
SELECT count(*) FROM risk.rolling_features_info;
DROP TABLE transfers;
SELECT count(*) FROM risk.rolling_features_info;
-- in a schema, owned by a role that cannot see the declarations; a column whose type goes
CREATE ROLE risk_test_owner;
CREATE SCHEMA shop AUTHORIZATION risk_test_owner;
SET ROLE risk_test_owner;
CREATE DOMAIN shop.card AS int;
CREATE TABLE shop.own (card shop.card, at timestamptz, v int);
CREATE TABLE shop.parts (card int, at timestamptz, v int, known timestamp) PARTITION BY RANGE (at);
CREATE TABLE shop.part PARTITION OF shop.parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.rest PARTITION OF shop.parts DEFAULT;
RESET ROLE;
CREATE TABLE others (card shop.card, at timestamptz);
CREATE FUNCTION declared() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(source || '/' || name, ' ' ORDER BY source::text) FROM risk.rolling_sets $$;
SELECT count(risk.create_rolling_features(s::regclass, 'card', 'at', create_index => true)) FROM unnest('{shop.own,shop.parts,shop.part,others}'::text[]) AS s;
SELECT risk.alter_rolling_features('shop.parts', 'card', aggregates => '{"decayed_distinct(v, 1 day)"}', windows => '{1 day}', known_time => 'known');
SET ROLE risk_test_owner;
DROP DOMAIN shop.card CASCADE;
ALTER TABLE shop.parts DROP COLUMN v;
ALTER TABLE shop.parts DROP COLUMN known;
ALTER TABLE shop.own DROP COLUMN v;
DROP TABLE shop.part;
RESET ROLE;
SELECT declared();
BEGIN;
ALTER TABLE shop.parts DETACH PARTITION shop.rest;
ALTER TABLE shop.rest DROP COLUMN v;
DROP TABLE others;
DROP SCHEMA shop CASCADE;
SELECT declared();
ROLLBACK;
DROP SCHEMA shop CASCADE;
SELECT declared();
DROP TABLE others;
DROP OWNED BY risk_test_owner CASCADE;
SELECT declared();
DROP FUNCTION declared;
DROP ROLE risk_test_owner;

-- a random stream: every lookup equals the self-join and the training set, bit for bit
CREATE TABLE events (chain int, log int, k text, at timestamptz, known timestamptz,
	v float8, fee numeric, big bigint, flag boolean, peer text, PRIMARY KEY (chain, log));
CREATE INDEX ON events (k, at);
CREATE INDEX ON events (k, chain, at);
SELECT array_length(risk.create_rolling_features('events', 'k', 'at', 'v', '{1 hour,1 day,1 month}',
	'{count,sum,avg,min,max,stddev,last,since_last,distinct(peer),sum(fee),avg(fee),sum(big),share(flag),change,change(v),"decayed_distinct(peer, 6 hours)"}',
	known_time => 'known'), 1);
SELECT risk.create_rolling_features('events', '{chain,k}'::name[], 'at', 'v', '{1 day}', '{sum}', known_time => 'known', delay => '2 hours');

CREATE FUNCTION oracle(as_known boolean) RETURNS TABLE (chain int, log int, features jsonb) LANGUAGE sql STABLE AS $$
	SELECT e.chain, e.log, f.features || d.features
	FROM events AS e,
	LATERAL (
		SELECT jsonb_object_agg(name, value) AS features
		FROM (VALUES ('1h', interval '1 hour'), ('1d', '1 day'), ('1mo', '1 month')) AS w (w, width),
		LATERAL (
			SELECT count(*) AS cnt, coalesce(sum(v::numeric), 0) AS sum_v, count(v) AS n, avg(v::numeric(60,30)) AS avg_v, min(v), max(v),
				   CASE WHEN count(v) > 1 THEN sqrt((count(v) * sum((v::numeric)^2) - sum(v::numeric)^2)::numeric(100,50) / (count(v) * (count(v) - 1))) END AS stddev,
				   (array_agg(v ORDER BY at DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1] AS last,
				   extract(epoch FROM e.at - max(at)) AS since_last, count(DISTINCT peer) AS peers,
				   coalesce(sum(fee), 0) AS fee, sum(fee) / nullif(count(fee), 0) AS avg_fee, coalesce(sum(big), 0) AS big, avg(flag::int::numeric(40,30)) AS flags
			FROM events AS o WHERE o.k = e.k AND o.at >= e.at - w.width AND o.at < e.at
			AND NOT coalesce(as_known AND o.known > e.known, false)) AS a,
		LATERAL (
			SELECT count(*) AS cnt, coalesce(sum(v::numeric), 0) AS sum_v
			FROM events AS o WHERE o.k = e.k AND o.at >= e.at - w.width - w.width AND o.at < e.at - w.width
			AND NOT coalesce(as_known AND o.known > e.known, false)) AS p,
		LATERAL (VALUES
			('k_cnt_prev_', a.cnt::float8), ('k_sum_v_prev_', a.sum_v::float8), ('k_avg_v_prev_', a.avg_v::float8),
			('k_min_v_prev_', a.min), ('k_max_v_prev_', a.max), ('k_stddev_v_prev_', a.stddev::float8), ('k_last_v_prev_', a.last),
			('k_since_last_prev_', a.since_last::float8), ('k_distinct_peer_prev_', a.peers::float8),
			('k_sum_fee_prev_', a.fee::float8), ('k_avg_fee_prev_', a.avg_fee::float8), ('k_sum_big_prev_', a.big::float8), ('k_share_flag_prev_', a.flags::float8),
			('k_change_cnt_prev_', (a.cnt - p.cnt)::float8 / nullif(p.cnt, 0)),
			('k_change_v_prev_', (a.sum_v::float8 - p.sum_v::float8) / nullif(p.sum_v::float8, 0))) AS f (prefix, value),
		LATERAL (SELECT f.prefix || w.w) AS name (name)) AS f,
	LATERAL (
		SELECT jsonb_build_object('chain_k_sum_v_prev_1d_delay_2h', coalesce(sum(v::numeric), 0)::float8) AS features
		FROM events AS o WHERE o.k = e.k AND o.chain = e.chain AND o.at >= e.at - interval '2 hours' - interval '1 day' AND o.at < e.at - interval '2 hours'
		AND NOT coalesce(as_known AND o.known > e.known, false)) AS d
$$;
CREATE FUNCTION without_decayed(features jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT features - ARRAY(SELECT k FROM jsonb_object_keys(features) AS k WHERE k LIKE '%decayed%') $$;
-- the decayed counts as their definition says, to rounding
CREATE FUNCTION decayed(e events, width interval) RETURNS float8 LANGUAGE sql STABLE AS $$
	SELECT coalesce(sum(exp(-extract(epoch FROM (e).at - s.seen)::float8 / 21600)), 0) + ((e).peer IS NOT NULL)::int
	FROM (SELECT max(at) AS seen FROM events AS o WHERE o.k = (e).k AND o.peer IS NOT NULL AND o.peer IS DISTINCT FROM (e).peer
		  AND o.at >= (e).at - width AND o.at < (e).at GROUP BY o.peer) AS s
$$;

-- one random change of the table
CREATE FUNCTION change() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	kind int := random() * 9;
	n int := 1 + random() * 12;
BEGIN
	IF kind <= 4 THEN	-- in order or late, with ties; replayed, as blocks are that were orphaned
		INSERT INTO events
		SELECT 1 + random() * 2, random() * 60, nullif('k' || (random() * 3)::int, 'k3'),
			   timestamptz '2026-03-27' + (random() * 200)::int * interval '20 minutes', nullif(clock_timestamp(), 'epoch'),
			   nullif((random() * 2000 - 1000)::int / 8.0, 3), round((random() * 10)::numeric, 2), (random() * 1.4)::int * 4611686018427387905,
			   nullif((random() * 2)::int, 2)::boolean, nullif('p' || (random() * 5)::int, 'p5')
		FROM generate_series(1, n)
		ON CONFLICT (chain, log) DO NOTHING;
		INSERT INTO events SELECT chain, log, k, at + (random() * 2)::int * interval '20 minutes', known, v, fee, big, flag, peer
		FROM events WHERE random() < 0.1
		ON CONFLICT (chain, log) DO UPDATE SET at = excluded.at, v = events.v + 0.5, known = clock_timestamp();
	ELSIF kind = 5 THEN
		UPDATE events SET v = -v, fee = fee * 1.1, peer = 'p' || (random() * 5)::int WHERE random() < 0.2;
	ELSIF kind = 6 THEN
		UPDATE events SET at = at + (random() * 10 - 5)::int * interval '20 minutes', k = nullif('k' || (random() * 3)::int, 'k3') WHERE random() < 0.2;
	ELSIF kind = 7 THEN
		DELETE FROM events WHERE random() < 0.2;
	ELSIF kind = 8 THEN
		UPDATE events SET known = CASE WHEN random() < 0.2 THEN NULL ELSE timestamptz '2026-04-01' + random() * interval '2 days' END WHERE random() < 0.3;
	ELSE
		BEGIN
			DELETE FROM events WHERE random() < 0.5;
			RAISE EXCEPTION 'undone';
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END IF;
END $$;
-- compare everything: how many vectors, and what differs
CREATE FUNCTION compare(OUT vectors bigint, OUT different bigint) LANGUAGE sql AS $$
	SELECT count(*), count(*) FILTER (WHERE
		without_decayed(l.features) IS DISTINCT FROM o.features
		OR l.features IS DISTINCT FROM t.features
		OR without_decayed(k.features) IS DISTINCT FROM p.features
		OR abs((l.features ->> 'k_decayed_distinct_peer_prev_1d')::float8 - decayed(e, '1 day')) > 1e-12)
	FROM events AS e
	JOIN oracle(false) AS o USING (chain, log) JOIN oracle(true) AS p USING (chain, log),
	LATERAL risk.rolling_features('events', e) AS l (features),
	LATERAL (SELECT e.chain, e.log) AS i
	LEFT JOIN (SELECT (event ->> 'chain')::int AS chain, (event ->> 'log')::int AS log, features FROM risk.training_set('events')) AS t USING (chain, log)
	LEFT JOIN (SELECT (event ->> 'chain')::int AS chain, (event ->> 'log')::int AS log, features FROM risk.training_set('events', known_as_of => true)) AS k USING (chain, log)
$$;
CREATE FUNCTION stream(seed float8, steps int, OUT vectors bigint, OUT different bigint) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	vectors := 0;
	different := 0;
	PERFORM setseed(seed);
	FOR i IN 1 .. steps LOOP
		PERFORM change();
		SELECT * INTO c FROM compare();
		vectors := vectors + c.vectors;
		different := different + c.different;
	END LOOP;
	TRUNCATE events;
	PERFORM * FROM compare();
END $$;
SELECT vectors > 1000 AS many, different FROM stream(0.25, 40);
SET TimeZone = 'Europe/Berlin';		-- whose clocks change on 29 March; the sets keep their own time zone
SELECT risk.alter_rolling_features('events', 'k', time_zone => 'Europe/Berlin') IS NOT NULL, risk.alter_rolling_features('events', 'chain_k', time_zone => 'Europe/Berlin') IS NOT NULL;
SELECT vectors > 1000 AS many, different FROM stream(0.5, 40);
SELECT count(change()) FROM generate_series(1, 20);
CREATE TABLE here AS SELECT event, t.features, risk.rolling_features('events', e) AS live
	FROM risk.training_set('events') AS t JOIN events AS e ON e.chain = (event ->> 'chain')::int AND e.log = (event ->> 'log')::int;
SET TimeZone = 'America/New_York';
SELECT count(*) > 10 AS many, count(*) FILTER (WHERE h.features IS DISTINCT FROM t.features OR h.live IS DISTINCT FROM risk.rolling_features('events', e)) AS different
FROM here AS h JOIN events AS e ON e.chain = (event ->> 'chain')::int AND e.log = (event ->> 'log')::int LEFT JOIN risk.training_set('events') AS t USING (event);
DROP TABLE here;
SET TimeZone = 'UTC';
SELECT risk.drop_rolling_features('events');
DROP TABLE events CASCADE;
DROP FUNCTION change, stream, compare, without_decayed, oracle;

-- 50,000 events of all magnitudes: lookups, the training set and the set form give the same bits
SELECT setseed(0.75);
CREATE TABLE wild AS SELECT i AS id, 'k' || (random() ^ 2 * 50)::int AS k, timestamptz '2026-01-01' + (random() * 40000)::int * interval '1 minute' AS at,
	CASE WHEN random() < 0.02 THEN NULL WHEN random() < 0.01 THEN 1e300 * (random() - 0.5) WHEN random() < 0.01 THEN 5e-324 * (random() * 9)::int WHEN random() < 0.01 THEN -0.0
		WHEN random() < 0.0002 THEN 'NaN' WHEN random() < 0.0002 THEN '-Infinity' ELSE (random() - 0.5) * 10 ^ (random() * 30 - 15) END::float8 AS v
FROM generate_series(1, 50000) AS i;
ALTER TABLE wild ADD PRIMARY KEY (id);
SELECT array_length(risk.create_rolling_features('wild', 'k', 'at', 'v', '{1 hour,7 days}', '{count,sum,avg,min,max,stddev,last,since_last,change(v),"decayed_distinct(v, 1 hour)"}', create_index => true), 1);
SELECT count(*) AS vectors, count(*) FILTER (WHERE risk.rolling_features('wild', w) IS DISTINCT FROM t.features) AS different
FROM wild AS w LEFT JOIN risk.training_set('wild') AS t ON (t.event ->> 'id')::int = w.id WHERE w.id % 10 = 0;
SELECT count(*) AS vectors, count(*) FILTER (WHERE (to_jsonb(s) - 'id') IS DISTINCT FROM (SELECT jsonb_object_agg(name, t.features -> name) FROM jsonb_object_keys(to_jsonb(s) - 'id') AS name)) AS different
FROM risk.rolling_table('wild', 'k', 'at', 'v', '{1 hour,7 days}', '{count,sum,avg,min,max,stddev,last,since_last}')
	AS s (id int, k_cnt_prev_7d int8, k_sum_v_prev_1h float8, k_sum_v_prev_7d float8, k_avg_v_prev_7d float8, k_min_v_prev_7d float8, k_max_v_prev_7d float8,
		  k_stddev_v_prev_1h float8, k_stddev_v_prev_7d float8, k_last_v_prev_7d float8, k_since_last_prev_7d float8)
	LEFT JOIN risk.training_set('wild') AS t ON (t.event ->> 'id')::int = s.id;
SELECT risk.drop_rolling_features('wild');
DROP TABLE wild;

-- digits of an event outside of the window do not come into its average
CREATE TABLE digits (id int PRIMARY KEY, k int, at timestamptz, v numeric);
INSERT INTO digits SELECT i, 1, timestamptz '2026-01-01 12:00' + i * interval '1 minute', CASE i WHEN 1 THEN 13.87 ELSE 0 END FROM generate_series(1, 8) AS i;
INSERT INTO digits VALUES (0, 1, '2026-01-01 00:00', 1e-30);
SELECT risk.create_rolling_features('digits', 'k', 'at', 'v', '{1 hour}', '{avg}', create_index => true);
SELECT risk.rolling_features('digits', d) AS live, features, (features ->> 'k_avg_v_prev_1h')::float8 = (13.87 / 7)::float8 AS as_sql
FROM digits AS d JOIN risk.training_set('digits') AS t ON (event ->> 'id')::int = id WHERE id = 8;
INSERT INTO digits SELECT i, 1, timestamptz '2026-01-02 12:00' + i * interval '1 minute', (i * 7919 % 1000) / 7.0 FROM generate_series(9, 200) AS i;
SELECT count(*), count(*) FILTER (WHERE coalesce(to_jsonb(w.avg), 'null') <> t.features -> 'k_avg_v_prev_1h') AS different
FROM (SELECT id, risk.rolling_avg(v, at, '1 hour') OVER (PARTITION BY k ORDER BY at) AS avg FROM digits) AS w
JOIN risk.training_set('digits') AS t ON (event ->> 'id')::int = id;
SELECT risk.drop_rolling_features('digits');
DROP TABLE digits;

-- labels join when their events are mature, as they were known then: what is learned later does not leak
CREATE TABLE paid (id int PRIMARY KEY, card text, at timestamptz);
INSERT INTO paid SELECT i, 'x', timestamptz '2026-01-01' + (i - 1) * interval '1 hour' FROM generate_series(1, 5) AS i;
SELECT risk.create_rolling_features('paid', 'card', 'at', windows => '{1 day}', create_index => true);
SELECT risk.create_model('judged', entity_id => 'id', event_time => 'at'), risk.create_model('nobody');
INSERT INTO risk.labels (entity_id, label, label_time, source, model) VALUES
	('1', true, '2026-01-02', 'chargeback', NULL),			-- before the event is mature
	('2', false, '2026-01-09', 'review', NULL), ('2', true, '2026-01-20', 'chargeback', NULL),
	('3', true, '2026-01-08', 'chargeback', NULL), ('3', false, '2026-01-08', 'review', 'judged'),
	('4', true, '2026-01-08 03:00:00.000001', 'chargeback', NULL), ('5', true, '2026-01-08', 'chargeback', 'nobody');
CREATE FUNCTION judged(as_of timestamptz, only_labelled boolean DEFAULT false)
RETURNS TABLE (id text, features jsonb, label boolean, label_time timestamptz, source text) LANGUAGE sql AS $$
	SELECT event ->> 'id', features, label, label_time, label_source
	FROM risk.training_set('paid', model => 'judged', labels_as_of => as_of, only_labelled => only_labelled) ORDER BY 1 $$;
SELECT * FROM judged('2026-01-08 00:00');
SELECT id, label, source FROM judged('2026-01-08 03:00');
SELECT id, label, source FROM judged('2026-01-08 03:00:00.000001');
SELECT id, label, source FROM judged('2026-01-10');
SELECT id, label, source FROM judged('2026-01-20', true);
SELECT id, label, source FROM judged(NULL) EXCEPT SELECT id, label, source FROM judged('2026-01-20');
-- a label that comes later changes nothing about then
INSERT INTO risk.labels VALUES ('4', false, '2026-01-21', 'appeal');
SELECT id, label, source FROM judged('2026-01-20') WHERE id = '4';
SELECT id, label, source FROM judged('2026-01-21') WHERE id = '4';
SELECT risk.alter_model('judged', unlabeled => 'negative');
SELECT id, label, source FROM judged('2026-01-08 03:00', true);
SELECT risk.alter_model('judged', label_maturity => '3 days');
SELECT string_agg(id || coalesce(label::text, '-'), ' ' ORDER BY id) FROM judged('2026-01-04 02:00');
-- who may see the labels
CREATE ROLE risk_test_trainer;
GRANT USAGE ON SCHEMA risk TO risk_test_trainer;
GRANT EXECUTE ON FUNCTION risk.training_set, risk.rolling_history, risk.rolling_set_times, risk.rolling_column_kind, risk.label_as_of, risk.require_model, risk.clock TO risk_test_trainer;
GRANT SELECT ON risk.model_definitions, paid TO risk_test_trainer;
SET ROLE risk_test_trainer;
SELECT count(*) FROM risk.training_set('paid');
SELECT count(*) FROM risk.training_set('paid', model => 'judged');
RESET ROLE;
GRANT SELECT ON risk.labels TO risk_test_trainer;
SET ROLE risk_test_trainer;
SELECT count(label) FROM risk.training_set('paid', model => 'judged');
RESET ROLE;
DROP OWNED BY risk_test_trainer;
DROP ROLE risk_test_trainer;
SELECT risk.training_set('paid', model => 'none');
SELECT risk.training_set('paid', model => 'nobody');
SELECT risk.alter_model('judged', entity_id => 'tx');
SELECT risk.training_set('paid', model => 'judged');
SELECT risk.training_set('paid', labels_as_of => now());
SELECT risk.training_set('paid', only_labelled => true);
SELECT risk.drop_rolling_features('paid'), risk.drop_model('judged'), risk.drop_model('nobody');
TRUNCATE risk.labels;
DROP FUNCTION judged;
DROP TABLE paid;

-- event times that are dates: midnight; by the index; in the trigger, in parts, as known
CREATE TABLE daily (id int PRIMARY KEY, card text, day date, known date, amount int, score float8);
CREATE INDEX daily_index ON daily (card, day);
SELECT risk.create_rolling_features('daily', 'card', 'day', 'amount', '{1 day,7 days}', '{count,sum}', known_time => 'known');
SELECT risk.create_model('daily', entity_id => 'id', event_time => 'day', log => 'transactional');
SELECT FROM risk.register_model('daily', 'v1', toy_model('{card_sum_amount_prev_7d}', '[[0, 2, 1, 0, 1], [0, 5, 1, 0, 10]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('daily', 'v1');
CREATE TRIGGER score BEFORE INSERT ON daily FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('daily', 'score');
INSERT INTO daily VALUES (1, 'x', '2026-03-01', '2026-03-01', 1), (2, 'x', '2026-03-02', '2026-03-09', 2), (3, 'x', '2026-03-02', '2026-03-02', 4), (4, 'x', '2026-03-08', '2026-03-08', 8);
SELECT id, score, risk.score_transaction('daily', d) = score AS same, risk.rolling_features('daily', d) = t.features AS trained, risk.rolling_features('daily', to_jsonb(d)) = t.features AS jsonb, t.features
FROM daily AS d JOIN risk.training_set('daily') AS t ON (t.event ->> 'id')::int = id ORDER BY id;
SELECT event ->> 'id' AS id, event_time, features FROM risk.training_set('daily', '2026-03-02', '2026-03-08 12:00', known_as_of => true) ORDER BY 1;
SELECT risk.rolling_features('daily', 'x'::text, '2026-03-02'), risk.rolling_features('daily', 'x'::text, '2026-03-02 12:00');
INSERT INTO daily SELECT i, 'y', date '2000-01-01' + i, NULL, 1 FROM generate_series(1000, 9000) AS i;
INSERT INTO daily VALUES (9001, 'y', 'infinity', NULL, 1), (9002, 'y', '-infinity', NULL, 1);
BEGIN;
SELECT pg_stat_get_xact_tuples_returned('daily_index'::regclass) AS before \gset
SELECT risk.rolling_features('daily', 'y'::text, '2020-01-01');
SELECT pg_stat_get_xact_tuples_returned('daily_index'::regclass) - :before AS index_entries;
COMMIT;
SELECT risk.rolling_features('daily', d) FROM daily AS d WHERE id IN (9001, 9002) ORDER BY id;
-- tiles for them, too
CALL risk.refresh_rolling_features('daily');
SELECT keys, tiles FROM risk.rolling_tiles_info WHERE source = 'daily'::regclass;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'daily'::regclass AND tgfoid = 'risk.note_late()'::regprocedure;
SELECT risk.drop_rolling_features('daily'), risk.drop_model('daily');
DROP TABLE daily;

-- scoring: a feature that is no column is looked up, as of the row's event time
SELECT risk.create_model('rolling', entity_id => 'id', event_time => 'at', log => 'transactional'), risk.alter_model('rolling', log_features => 'full');
SELECT 1 FROM risk.register_model('rolling', 'v1', toy_model('{amount,card_cnt_prev_1h,card_sum_amount_prev_1h}',
	'[[0, 0, 1, 0, 0], [1, 2, 1, 1, 10], [2, 15, 1, 100, 200]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('rolling', 'v1');
CREATE TABLE tx (id int PRIMARY KEY, card text, at timestamp, amount numeric, score float8);
CREATE TRIGGER score BEFORE INSERT OR UPDATE OF at, amount ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('rolling', 'score');
INSERT INTO tx VALUES (1, 'x', '2026-01-01 00:00', 10);
CREATE INDEX ON tx (card, at) INCLUDE (amount);
SELECT risk.create_rolling_features('tx', 'card', 'at', 'amount', '{1 hour}', '{count,sum,max}');
CREATE VIEW seen AS SELECT entity_id AS id, features FROM risk.predictions WHERE model = 'rolling' AND source = 'trigger' ORDER BY scored_at;
-- a trigger sees the rows that its own statement has written before
INSERT INTO tx VALUES (1, 'x', '2026-01-01 00:00', 10), (2, 'x', '2026-01-01 00:30', 5.1), (3, 'x', '2026-01-01 01:00', 2), (4, 'x', '2026-01-01 01:00', 3);
COPY tx (id, card, at, amount) FROM stdin;
5	x	2026-01-01 01:10	1
6	\N	2026-01-01 01:10	1
7	x	2026-01-01 01:20	\N
\.
TABLE seen;
SELECT * FROM tx ORDER BY id;
SELECT id, risk.score_transaction('rolling', tx) = tx.score AS same, d.version, d.score FROM tx, risk.decide_transaction('rolling', tx) AS d ORDER BY id;
INSERT INTO tx VALUES (8, 'x', NULL, 1);
-- a row that is updated is not its own past; one that is replayed is not twice
TRUNCATE risk.predictions;
UPDATE tx SET at = at + interval '1 second' WHERE id = 2;
INSERT INTO tx VALUES (5, 'x', '2026-01-01 01:10', 7) ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, score = excluded.score;
TABLE seen;
-- in the snapshot of a statement, in a transaction that is rolled back
BEGIN;
DELETE FROM tx WHERE id < 4;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30');
ROLLBACK;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30');
WITH gone AS (DELETE FROM tx WHERE id < 4 RETURNING 1) SELECT count(*), risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30') FROM gone;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30');
-- a transaction that is not a row of the table brings its features along
SELECT risk.score_transaction('rolling', ROW(1, 2, 3));
SELECT risk.score_transaction('rolling', to_jsonb(tx) || risk.rolling_features('tx', tx)) = risk.score_transaction('rolling', tx) FROM tx WHERE id = 5;
-- a column of the name comes first; what is declared can change under a prepared statement
PREPARE scores AS SELECT id, risk.score_transaction('rolling', tx) FROM tx WHERE id = 5;
EXECUTE scores;
ALTER TABLE tx ADD COLUMN card_cnt_prev_1h int DEFAULT 100;
EXECUTE scores;
ALTER TABLE tx DROP COLUMN card_cnt_prev_1h;
EXECUTE scores;
SELECT risk.alter_rolling_features('tx', 'card', aggregates => '{count}');
EXECUTE scores;
SELECT risk.alter_rolling_features('tx', 'card', aggregates => '{count,sum}', windows => '{1 hour,1 day}');
EXECUTE scores;
DEALLOCATE scores;
-- in parallel workers
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT sum(risk.score_transaction('rolling', tx)) FROM tx;
SELECT sum(risk.score_transaction('rolling', tx)) = (SELECT sum(score) FROM (SELECT risk.score_transaction('rolling', tx) AS score FROM tx OFFSET 0) AS s) AS same FROM tx;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- who may not read the rows does not learn of them
CREATE ROLE risk_test_scorer;
GRANT USAGE ON SCHEMA risk TO risk_test_scorer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA risk TO risk_test_scorer;
GRANT INSERT ON tx TO risk_test_scorer;
SET ROLE risk_test_scorer;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30');
INSERT INTO tx VALUES (20, 'x', '2026-01-01 01:30', 1);
SELECT risk.training_set('tx');
SELECT risk.create_rolling_features('tx', 'card', 'at', windows => '{2 hours}', name => 'mine');
SELECT risk.alter_rolling_features('tx', 'card', windows => '{2 hours}');
SELECT risk.drop_rolling_features('tx');
RESET ROLE;
GRANT SELECT (card, at, score) ON tx TO risk_test_scorer;
SET ROLE risk_test_scorer;
SELECT risk.create_rolling_features('tx', 'card', 'at', 'amount', '{2 hours}', '{sum}', name => 'mine');
SELECT risk.create_rolling_features('tx', 'card', 'at', windows => '{2 hours}', name => 'mine');
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'mine');
SELECT risk.create_rolling_features('tx', 'at', 'at', windows => '{2 hours}', create_index => true);
SELECT risk.alter_rolling_features('tx', 'mine', '{score}'::name[], create_index => true);
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30');
RESET ROLE;
GRANT SELECT ON tx TO risk_test_scorer;
ALTER TABLE tx ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON tx FOR SELECT TO risk_test_scorer USING (id > 4);
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'card');
SET ROLE risk_test_scorer;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'card');
SELECT count(*) FROM risk.training_set('tx');
RESET ROLE;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'card');
-- within a lookup, even after another declaration
CREATE FUNCTION look_within() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF current_setting('test.declare')::boolean THEN
		PERFORM risk.alter_rolling_features('tx', 'mine', windows => '{3 hours}');
	END IF;
	RETURN (SELECT sum(v::int) = 3 FROM jsonb_each_text(risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'mine')) AS f (k, v));
END $$;
ALTER POLICY few ON tx USING (id > 4 AND look_within());
SET ROLE risk_test_scorer;
SET test.declare = off;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'mine');
SET test.declare = on;
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'mine');
SELECT risk.rolling_features('tx', 'x'::text, '2026-01-01 01:30', 'mine');
RESET ROLE;
-- a row that is updated is not its own past, even where the index has all of it
TRUNCATE risk.predictions;
VACUUM tx;
UPDATE tx SET at = at + interval '1 second' WHERE id = 5;
TABLE seen;
SELECT risk.drop_rolling_features('tx');
DROP VIEW seen;
DROP TABLE tx;
DROP FUNCTION look_within;

-- shares of conditions: parsed where they are declared, evaluated by whoever asks, never a part of a query
CREATE TABLE pays (id int, card text, at timestamptz, amount numeric, country text, "Odd" int, flag boolean) PARTITION BY RANGE (id);
CREATE TABLE pays_1 PARTITION OF pays FOR VALUES FROM (0) TO (3);
CREATE TABLE pays_2 (flag boolean, gone text, "Odd" int, id int, country text, card text, at timestamptz, amount numeric);
ALTER TABLE pays_2 DROP COLUMN gone;
ALTER TABLE pays ATTACH PARTITION pays_2 FOR VALUES FROM (3) TO (100);
CREATE INDEX ON pays (card, at);
INSERT INTO pays VALUES (1, 'x', '2026-01-01 00:00', 50, 'FR', 1, true), (2, 'x', '2026-01-01 00:10', 150, 'us', 2, true),
	(3, 'x', '2026-01-01 00:20', NULL, NULL, 3, NULL), (4, 'x', '2026-01-01 00:30', 200, E'a\\b''', 1, true);
SELECT risk.create_rolling_features('pays', 'card', 'at', 'amount', windows => '{1 hour}', aggregates => ARRAY['share(amount > 100) AS large',
	'share(lower(country) IN (''fr'', ''de'')) as Near', 'share(flag)', 'share("Odd" % 2 = 1 AND flag) AS "Odd one"', 'sum', 'distinct(country)',
	'share(at <> ''2026-01-01 00:10'' AND country = E''a\\b'''''' OR amount < 100) AS then']);
SELECT feature, column_name, condition, problem FROM risk.rolling_features_info;
SELECT id, risk.rolling_features('pays', p) = t.features AS trained, t.features - 'card_distinct_country_prev_1h' AS features
FROM pays AS p JOIN risk.training_set('pays') AS t ON event = to_jsonb(p) ORDER BY id;
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00') AS features \gset
SET standard_conforming_strings = off; SET escape_string_warning = off; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/New_York'; SET transform_null_equals = on;
CREATE SCHEMA mine;
CREATE FUNCTION mine.greater(numeric, numeric) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 1';
CREATE OPERATOR mine.> (FUNCTION = mine.greater, LEFTARG = numeric, RIGHTARG = numeric);
SET search_path = mine, pg_catalog;
SELECT risk.rolling_features('public.pays', 'x'::text, '2026-01-01 01:00+00') = :'features'::jsonb AS same, 2::numeric OPERATOR(pg_catalog.>) 1 AS fine;
RESET search_path; RESET transform_null_equals; RESET DateStyle; RESET escape_string_warning; RESET standard_conforming_strings;
SET TimeZone = 'UTC';
DROP SCHEMA mine CASCADE;
-- a column that they need: not to be dropped, nor unreadable
ALTER TABLE pays DROP COLUMN country;
ALTER TABLE pays RENAME COLUMN country TO land;
SELECT DISTINCT problem FROM risk.rolling_features_info ORDER BY 1;
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00');
ALTER TABLE pays RENAME COLUMN land TO country;
SELECT risk.alter_rolling_features('pays', 'card', aggregates => ARRAY['share(amount / "Odd" > 100) AS big']);
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00');
GRANT SELECT (card, at, amount) ON pays TO risk_test_scorer;
SET ROLE risk_test_scorer;
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00');
RESET ROLE;
GRANT SELECT ("Odd") ON pays TO risk_test_scorer;
SET ROLE risk_test_scorer;
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00');
RESET ROLE;
UPDATE pays SET "Odd" = 0 WHERE id = 4;
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00');
-- what is no condition
CREATE FUNCTION own(numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 1';
CREATE DOMAIN odd AS int CHECK (VALUE % 2 = 1);
CREATE FUNCTION share(condition text) RETURNS text[] LANGUAGE sql AS $$
	SELECT risk.create_rolling_features('pays', 'card', 'at', aggregates => ARRAY[format('share(%s) AS x', condition)], name => 'n') $$;
SELECT risk.create_rolling_features('pays', 'card', 'at', aggregates => '{share(amount > 100)}', name => 'n');
SELECT risk.create_rolling_features('pays', 'card', 'at', aggregates => '{"share(lower(country) = ''fr'')"}', name => 'n');
SELECT share('amount > 1) AS y, share(flag');
SELECT share('amount > 1, flag');
SELECT share('amount > 1 FROM pays');
SELECT share('amount > 1 AS y');
SELECT share('amount > 1; DROP TABLE pays');
SELECT share('amount > 1 /*');
SELECT share('');
SELECT share('amount > (SELECT 1)');
SELECT share('amount');
SELECT share('amnt > 1');
SELECT share('at < now()');
SELECT share('at::date = ''2026-01-01''');
SELECT share('public.own(amount)');
SELECT share('"Odd"::public.odd > 0');
SELECT share('pays IS NULL');
SELECT share('ctid IS NULL');
SELECT share('count(*) > 1');
SELECT share('sum(amount) OVER () > 1');
SELECT share('generate_series(1, 2) > 1');
SELECT share('amount > $1');
SELECT share('amount > 1 / 0');
-- what the parser would run to make a value of a literal, too, as whoever declares or looks up
CREATE FUNCTION tell(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'run by somebody else'; RETURN true; END $$;
CREATE DOMAIN told AS int CHECK (tell(VALUE));
CREATE TYPE pair AS (first told, second int);
CREATE TYPE state AS ENUM ('open', 'paid');
ALTER TABLE pays ADD path told[], ADD pair pair, ADD state state;
SELECT share('amount > 1 AND ''(1,2)''::public.pair IS NOT NULL');
SELECT share('path = ''{1}''');
SELECT share('ARRAY[pair] = ''{"(1,2)"}''');
SELECT share('state IN (''open'', ''paid'') AND NOT state = ANY (''{paid}'') AND num_nulls(''none'', state) = 0 AND coalesce(country, ''-'') = ''-''');
SELECT condition FROM risk.rolling_features_info WHERE set_name = 'n' AND width = '1 hour';
-- one that cannot be evaluated fails who declares or looks up, not who writes
ALTER TABLE pays ALTER country TYPE int USING 1;
INSERT INTO pays (id, card, at) VALUES (5, 'x', '2026-01-01 00:40');
SELECT risk.rolling_features('pays', 'x'::text, '2026-01-01 01:00', 'n');
SELECT risk.drop_rolling_features('pays');
DROP TABLE pays;
DROP TYPE pair, state;
DROP DOMAIN odd, told;
DROP FUNCTION own, share, tell;

-- tiles do not know a condition that may fail: they answer where it is not asked for, as in scoring
CREATE TABLE hot (id int, k text, at timestamptz, v float8, PRIMARY KEY (id));
CREATE INDEX ON hot (k, at);
INSERT INTO hot SELECT i, 'hot', timestamptz '2026-01-01' + i * interval '1 minute', i % 100 FROM generate_series(1, 3000) AS i;
SELECT risk.create_rolling_features('hot', 'k', 'at', 'v', windows => '{24 hours}', aggregates => ARRAY['sum', 'share(v + 0 > 50) AS big']);
CALL risk.refresh_rolling_features('hot');
INSERT INTO hot VALUES (0, 'hot', '2026-01-02 12:00', 1e9);
UPDATE hot SET v = v + 1 WHERE id = 1700;
SELECT risk.rolling_features('hot', 'hot'::text, '2026-01-03 01:00') = jsonb_build_object('k_sum_v_prev_24h', sum(v), 'k_share_big_prev_24h', (count(*) FILTER (WHERE v > 50))::float8 / count(*)) AS same
FROM hot WHERE at >= '2026-01-02 01:00' AND at < '2026-01-03 01:00';
SELECT by_tiles FROM risk.tile_counters('hot', 'k');
SELECT risk.create_model('hot', entity_id => 'id', event_time => 'at');
SELECT FROM risk.register_model('hot', 'v1', toy_model('{k_sum_v_prev_24h}', '[[0, 1000, 1, 0, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('hot', 'v1');
SELECT risk.score_transaction('hot', hot) FROM hot WHERE id = 2900;
SELECT by_tiles FROM risk.tile_counters('hot', 'k');
SELECT risk.drop_rolling_features('hot'), risk.drop_model('hot');
DROP TABLE hot;

-- a version that does not decide fails nobody's statement: its error is logged, foreseen or not
CREATE TABLE pay (id int PRIMARY KEY, card text, at timestamptz, amount float8, score float8);
CREATE INDEX ON pay (card, at);
SELECT risk.create_rolling_features('pay', 'card', 'at', windows => '{1 hour}');
SELECT risk.create_model('beside', entity_id => 'id', event_time => 'at', log => 'transactional');
SELECT count(*) FROM (VALUES ('v1', 'amount'), ('v2', 'card_cnt_prev_1h')) AS v (version, feature),
	LATERAL risk.register_model('beside', version, toy_model(ARRAY[feature], '[[0, 1, 1, 1, 2]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('beside', 'v1'), risk.start_shadow('beside', 'v2');
CREATE TRIGGER score BEFORE INSERT ON pay FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('beside', 'score');
GRANT INSERT ON pay TO risk_test_scorer;
CREATE VIEW told AS SELECT entity_id AS id, version, role, score, error FROM risk.predictions WHERE model = 'beside' ORDER BY scored_at, role;
-- no privilege at all; on other columns than those that are needed
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (1, 'x', '2026-01-01 00:00', 1);
RESET ROLE;
GRANT SELECT (card, amount) ON pay TO risk_test_scorer;
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (2, 'x', '2026-01-01 00:10', 1);
RESET ROLE;
GRANT SELECT (at) ON pay TO risk_test_scorer;
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (3, 'x', '2026-01-01 00:20', 1);
RESET ROLE;
TABLE told;
TRUNCATE risk.predictions;
-- a canary, for which the champion stands in, and beside which it is the reference
SELECT risk.start_canary('beside', 'v2', 100);
REVOKE SELECT (at) ON pay FROM risk_test_scorer;
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (4, 'x', '2026-01-01 00:30', 1);
RESET ROLE;
SELECT risk.promote('beside', 'v2'), risk.start_canary('beside', 'v1', 100);
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (5, 'x', '2026-01-01 00:40', 1);
RESET ROLE;
TABLE told;
TRUNCATE risk.predictions;
-- a policy that fails on a row; no policy is to apply
SELECT risk.promote('beside', 'v1'), risk.start_shadow('beside', 'v2');
GRANT SELECT ON pay TO risk_test_scorer;
ALTER TABLE pay ENABLE ROW LEVEL SECURITY;
CREATE POLICY writes ON pay FOR INSERT TO risk_test_scorer WITH CHECK (true);
CREATE POLICY fails ON pay FOR SELECT TO risk_test_scorer USING (1 / (id - 2) < 10);
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (6, 'x', '2026-01-01 00:50', 1), (7, 'y', '2026-01-01 00:50', 1);
RESET ROLE;
TABLE told;
TRUNCATE risk.predictions;
SELECT risk.promote('beside', 'v2'), risk.start_canary('beside', 'v1', 100);
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (8, 'x', '2026-01-01 00:50', 1);
RESET ROLE;
TABLE told;
TRUNCATE risk.predictions;
SELECT risk.abort('beside');
SET ROLE risk_test_scorer;
INSERT INTO pay VALUES (9, 'x', '2026-01-01 00:50', 1);
INSERT INTO pay VALUES (10, 'y', '2026-01-01 00:51', 1);
SET row_security = off;
SELECT risk.rolling_features('pay', 'y'::text, '2026-01-01 01:00');
RESET row_security;
RESET ROLE;
TABLE told;
SELECT risk.drop_rolling_features('pay');
DROP VIEW told;
DROP TABLE pay;
SELECT risk.drop_model('beside');
DROP OWNED BY risk_test_scorer;
DROP ROLE risk_test_scorer;

-- partitions, whose columns stand in another order; attached and detached; types of every kind
CREATE DOMAIN card_number AS varchar(10);
CREATE TABLE tx (id int, card card_number, at timestamptz, amount numeric, score float8, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE tx_1 PARTITION OF tx FOR VALUES FROM (MINVALUE) TO ('2026-01-01 01:00');
CREATE TABLE tx_2 (score float8, gone int, amount numeric, at timestamptz NOT NULL, card card_number, id int NOT NULL);
ALTER TABLE tx_2 DROP COLUMN gone;
ALTER TABLE tx ATTACH PARTITION tx_2 FOR VALUES FROM ('2026-01-01 01:00') TO (MAXVALUE);
CREATE INDEX ON tx (card, at);
CREATE TRIGGER score BEFORE INSERT OR UPDATE ON tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('rolling', 'score');
SELECT risk.create_rolling_features('tx', 'card', 'at', 'amount', '{1 hour}', '{count,sum}');
INSERT INTO tx VALUES (1, 'x', '2026-01-01 00:00', 10), (2, 'x', '2026-01-01 00:30', 5.1), (3, 'x', '2026-01-01 01:00', 2), (4, 'x', '2026-01-01 01:00', 3);
INSERT INTO tx_2 (id, card, at, amount) VALUES (5, 'x', '2026-01-01 01:10', 1);
SELECT tableoid::regclass, id, score, risk.score_transaction('rolling', tx) AS again, risk.rolling_features('tx', tx) FROM tx ORDER BY id;
SELECT id, risk.score_transaction('rolling', tx_2) AS score FROM tx_2 ORDER BY id;
UPDATE tx SET at = at + interval '31 minutes' WHERE id = 2;
SELECT tableoid::regclass, id, score FROM tx WHERE id = 2;
SELECT event ->> 'id' AS id, features FROM risk.training_set('tx') ORDER BY 1;
ALTER TABLE tx DETACH PARTITION tx_1;
SELECT id, risk.rolling_features('tx', tx) FROM tx ORDER BY id;
SELECT id, risk.score_transaction('rolling', tx_1) AS score FROM tx_1;
SELECT risk.drop_rolling_features('tx');
DROP TABLE tx, tx_1;
DROP DOMAIN card_number;
SELECT risk.drop_model('rolling');

-- an index in descending order, and one that a snapshot is too old for
CREATE TABLE ordered (k text, at timestamptz, v int);
CREATE INDEX ordered_desc ON ordered (k DESC, at DESC NULLS LAST);
INSERT INTO ordered SELECT 'a', '2026-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(0, 299) AS i;
SELECT risk.create_rolling_features('ordered', 'k', 'at', 'v', windows => '{2 hours}', aggregates => '{count,sum,last,min}');
SELECT risk.rolling_features('ordered', 'a'::text, '2026-01-01 03:00');
CALL risk.refresh_rolling_features('ordered');
SELECT risk.rolling_features('ordered', 'a'::text, '2026-01-01 03:00');
DROP INDEX ordered_desc;
BEGIN;
DECLARE before CURSOR FOR SELECT risk.rolling_features('ordered', 'a'::text, '2026-01-01 03:00');
UPDATE ordered SET k = 'b';		-- in place, as no index has the column
CREATE INDEX ON ordered (k, at);
FETCH before;
ROLLBACK;
DROP TABLE ordered;

-- from the index alone, of pages that all can see
CREATE TABLE covered (id int, k text, at timestamptz, v numeric, peer name);
CREATE INDEX covered_included ON covered (k, at) INCLUDE (v, peer);
INSERT INTO covered SELECT i, 'k' || i % 2, '2026-01-01'::timestamptz + i * interval '7 minutes', nullif(i % 5, 0) + 0.1, 'p' || i % 7 FROM generate_series(1, 60) AS i;
SELECT risk.create_rolling_features('covered', 'k', 'at', 'v', windows => '{2 hours}', aggregates => '{count,sum,distinct(peer),last}');
CREATE VIEW differing AS SELECT count(*), count(*) FILTER (WHERE risk.rolling_features('covered', c) <> t.features) AS differing
FROM covered AS c JOIN risk.training_set('covered') AS t ON event = to_jsonb(c);
ALTER TABLE covered RENAME id TO t;		-- a row is a row, whatever its columns are called
TABLE differing;
ALTER TABLE covered RENAME t TO id;
VACUUM covered;
TABLE differing;
BEGIN;
DELETE FROM covered WHERE id % 4 = 0;
UPDATE covered SET v = -v WHERE id % 4 = 1;
TABLE differing;
ROLLBACK;
TABLE differing;
DROP INDEX covered_included;
CREATE INDEX ON covered (k, at DESC, peer) INCLUDE (v);
VACUUM covered;
TABLE differing;
DROP VIEW differing;
DROP TABLE covered;

-- a condition that means nothing any more is of its own set alone
CREATE SCHEMA kinds;
CREATE TYPE kinds.kind AS ENUM ('card', 'wallet');
CREATE TABLE moves (id int, k text, at timestamptz, kind kinds.kind);
CREATE INDEX ON moves (k, at);
INSERT INTO moves SELECT i, 'k', '2026-01-01'::timestamptz + i * interval '1 minute', 'card' FROM generate_series(1, 3) AS i;
SELECT risk.create_rolling_features('moves', 'k', 'at', windows => '{1 hour}', aggregates => '{count}', name => 'counts');
SELECT risk.create_rolling_features('moves', 'k', 'at', windows => '{1 hour}', aggregates => ARRAY['share(kind = ''card'') AS cards'], name => 'shares');
SELECT risk.rolling_features('moves', 'k', '2026-01-01 00:03', name => 'shares');
ALTER TYPE kinds.kind SET SCHEMA public;
DROP SCHEMA kinds;
\c -
SET TimeZone = 'UTC';
SELECT risk.rolling_features('moves', 'k', '2026-01-01 00:03', name => 'shares');
SELECT risk.rolling_features('moves', 'k', '2026-01-01 00:03', name => 'counts');
CALL risk.refresh_rolling_features('moves', 'counts');
INSERT INTO moves VALUES (4, 'k', '2026-01-01 00:01', 'wallet');
DROP TABLE moves;
DROP TYPE kind;

-- events at both ends of time, and dates beyond them: no window fails, and training is as serving
SET TimeZone = 'UTC';
CREATE TABLE ends (id int PRIMARY KEY, k text, at timestamptz, day date);
INSERT INTO ends VALUES (1, 'a', '4714-11-24 BC', '4714-11-24 BC'), (2, 'a', '4714-11-24 01:00 BC', '4714-11-25 BC'),
	(3, 'a', '4714-12-23 BC', '4714-12-23 BC'), (4, 'a', '2026-01-01', '2026-01-01'), (5, 'a', '294276-12-31 23:59', '294276-12-31'),
	(6, 'a', '-infinity', '-infinity'), (7, 'a', 'infinity', '294277-01-01'), (8, 'a', 'infinity', 'infinity');
SELECT risk.create_rolling_features('ends', 'k', 'at', windows => '{1 day,1 month}', name => 'a', create_index => true),
	   risk.create_rolling_features('ends', 'k', 'day', windows => '{2 days,2 months}', name => 'd', create_index => true);
SELECT e.id, t.features, risk.rolling_features('ends', e) AS live FROM ends AS e LEFT JOIN risk.training_set('ends') AS t ON (t.event ->> 'id')::int = e.id ORDER BY e.id;
DROP TABLE ends;
