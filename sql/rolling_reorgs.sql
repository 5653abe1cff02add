-- Late data and reorgs: the recipe of docs/rolling-features.md, word by word.  Features follow, by tiles and by rows.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE transfers (chain_id int, tx_hash text, log_index int, block_hash text NOT NULL, from_addr text, to_addr text,
	happened_at timestamptz NOT NULL, value numeric, arrived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	PRIMARY KEY (chain_id, tx_hash, log_index));
CREATE TABLE orphaned (chain_id int, block_hash text, PRIMARY KEY (chain_id, block_hash));
CREATE INDEX ON transfers (from_addr, happened_at);
CREATE INDEX ON transfers (chain_id, block_hash);

CREATE FUNCTION load_blocks(batch transfers[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO transfers AS t
	SELECT DISTINCT ON (chain_id, tx_hash, log_index) b.* FROM unnest(batch) AS b
	WHERE NOT EXISTS (SELECT FROM orphaned AS o WHERE (o.chain_id, o.block_hash) = (b.chain_id, b.block_hash))
	ORDER BY chain_id, tx_hash, log_index
	ON CONFLICT (chain_id, tx_hash, log_index) DO UPDATE
	SET (block_hash, from_addr, to_addr, happened_at, value, arrived_at)
	  = (excluded.block_hash, excluded.from_addr, excluded.to_addr, excluded.happened_at, excluded.value, excluded.arrived_at)
	WHERE (t.block_hash, t.from_addr, t.to_addr, t.happened_at, t.value)
	  IS DISTINCT FROM (excluded.block_hash, excluded.from_addr, excluded.to_addr, excluded.happened_at, excluded.value)
$$;

CREATE FUNCTION reorg(chain int, orphans text[], batch transfers[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO orphaned SELECT chain, unnest(orphans) ON CONFLICT DO NOTHING;
	SELECT load_blocks(batch);
	DELETE FROM transfers WHERE chain_id = chain AND block_hash = ANY (orphans)
$$;

-- 400 blocks of three transfers, a block a minute; some transfers of a block are one sender's
CREATE FUNCTION block(height int, hash text, factor int) RETURNS SETOF transfers LANGUAGE sql AS $$
	SELECT 1, format('tx%s', height * 3 + i), 0, hash, format('0x%s', (height * i) % 4), format('0x%s', height % 5), '2026-01-01'::timestamptz + height * interval '1 minute',
		   1000000000000000000::numeric * factor * height + i, clock_timestamp() FROM generate_series(0, 2) AS i
$$;
SELECT cardinality(risk.create_rolling_features('transfers', 'from_addr', 'happened_at', 'value', '{1 hour,4 hours}', '{count,sum,avg,last}', known_time => 'arrived_at'));
SELECT load_blocks(ARRAY(SELECT t FROM generate_series(1, 400) AS h, block(h, 'a' || h, 1) AS t));
CALL risk.refresh_rolling_features('transfers');
SELECT tiles > 0 AS tiled FROM risk.rolling_tiles_info WHERE source = 'transfers'::regclass;

-- What is wrong with the features of each sender around the reorg: a self-join says what they are.
CREATE FUNCTION look() RETURNS TABLE (transfers bigint, total numeric, lookups bigint, wrong bigint, wrong_in_training bigint, wrong_in_table bigint) LANGUAGE sql AS $$
	WITH want AS (
		SELECT k, at, count(t.value) AS n, coalesce(sum(t.value), 0)::float8 AS sum
		FROM unnest('{0x0,0x1,0x2,0x3}'::text[]) AS k (k) CROSS JOIN generate_series('2026-01-01 00:30'::timestamptz, '2026-01-01 09:00', '10 minutes') AS at (at)
		LEFT JOIN transfers AS t ON t.from_addr = k AND t.happened_at >= at - interval '4 hours' AND t.happened_at < at GROUP BY k, at),
	history AS (
		SELECT e.tx_hash, count(t.value) AS n, coalesce(sum(t.value), 0)::float8 AS sum
		FROM transfers AS e LEFT JOIN transfers AS t ON t.from_addr = e.from_addr AND t.happened_at >= e.happened_at - interval '4 hours' AND t.happened_at < e.happened_at
		GROUP BY e.tx_hash)
	SELECT (SELECT count(*) FROM transfers), (SELECT sum(value) FROM transfers), count(*),
		   count(*) FILTER (WHERE ((f ->> 'from_addr_cnt_prev_4h')::bigint, (f ->> 'from_addr_sum_value_prev_4h')::float8) IS DISTINCT FROM (n, sum)),
		   (SELECT count(*) FROM risk.training_set('transfers') AS s FULL JOIN history AS h ON h.tx_hash = s.event ->> 'tx_hash'
			WHERE ((s.features ->> 'from_addr_cnt_prev_4h')::bigint, (s.features ->> 'from_addr_sum_value_prev_4h')::float8) IS DISTINCT FROM (h.n, h.sum)),
		   (SELECT count(*) FROM risk.rolling_table('transfers', 'from_addr', 'happened_at', 'value', '{4 hours}')
			AS s (tx_hash text, from_addr_cnt_prev_4h bigint, from_addr_sum_value_prev_4h float8) FULL JOIN history AS h USING (tx_hash)
			WHERE (from_addr_cnt_prev_4h, from_addr_sum_value_prev_4h) IS DISTINCT FROM (h.n, h.sum))
	FROM want, risk.rolling_features('transfers', k, at) AS f
$$;
SELECT * FROM look();

-- A late row, and a correction by its natural key
INSERT INTO transfers (chain_id, tx_hash, log_index, block_hash, from_addr, happened_at, value) VALUES (1, 'late', 0, 'a10', '0x1', '2026-01-01 00:10', 1e30);
UPDATE transfers SET value = 7 WHERE (chain_id, tx_hash, log_index) = (1, 'tx30', 0);
SELECT * FROM look();

-- Blocks 200 to 202 are orphaned.  Of their transfers, those of b200 come again with other values, those of b201 a
-- minute later than they were, and those of a202 not at all.
CREATE TABLE batches AS SELECT ARRAY(SELECT t FROM generate_series(200, 202) AS h, block(h, 'a' || h, 1) AS t) AS old,
	ARRAY(SELECT t FROM block(200, 'b200', 2) AS t
		  UNION ALL SELECT (t.chain_id, t.tx_hash, t.log_index, t.block_hash, t.from_addr, t.to_addr, t.happened_at + interval '1 minute', t.value, t.arrived_at)::transfers FROM block(201, 'b201', 1) AS t) AS new;
SELECT xmin AS before, arrived_at AS arrived FROM transfers WHERE tx_hash = 'tx601' \gset
SELECT reorg(1, '{a200,a201,a202}', new) FROM batches;
SELECT * FROM look();
CREATE TABLE once AS SELECT xmin::text AS written, t.* FROM transfers AS t;
SELECT count(*), min(written) <> :'before' AS rewritten, min(arrived_at) > :'arrived' AS arrived_later FROM once WHERE block_hash LIKE 'b%';
-- any number of times, with the old blocks after the new, in whatever order: nothing is written
SELECT reorg(1, '{a200,a201,a202}', new) FROM batches;
SELECT load_blocks(old || new) FROM batches;
SELECT load_blocks(old) FROM batches;
SELECT reorg(1, '{a202,a200,a201}', new || old) FROM batches;
SELECT count(*) AS changed FROM once FULL JOIN (SELECT xmin::text AS written, t.* FROM transfers AS t) AS again USING (chain_id, tx_hash, log_index)
	WHERE once IS DISTINCT FROM again;
SELECT * FROM look();
-- and back: the chain returns to the old blocks
DELETE FROM orphaned WHERE chain_id = 1 AND block_hash IN ('a200', 'a201', 'a202');
SELECT reorg(1, '{b200,b201}', old) FROM batches;
SELECT * FROM look();
SELECT count(*) AS wrong FROM transfers WHERE block_hash LIKE 'b%';
CALL risk.refresh_rolling_features('transfers');
SELECT lookups_by_tiles > 0 AS by_tiles FROM risk.rolling_tiles_info WHERE source = 'transfers'::regclass;
SELECT * FROM look();

DROP FUNCTION look, block, reorg, load_blocks;
DROP TABLE batches, once, transfers, orphaned;
RESET TimeZone;
