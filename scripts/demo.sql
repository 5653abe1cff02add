-- demo.sql: the tour of scripts/demo.sh, from CREATE EXTENSION on.  Expects the
-- tables transactions and incoming of demo_load.sql and the psql variables
-- models (folder of the example models) and steps.

\pset footer off
\pset null '-'
SET client_min_messages = warning;
CREATE TABLE timings (place serial, what text, rows bigint, took interval);

\echo
\echo [3/:steps] Registering two trained XGBoost models: card_fraud v1 (JSON) and v2 (UBJSON)
CREATE EXTENSION pg_risk;
SELECT risk.create_model('card_fraud', entity_id => 'transaction_id',
						 event_time => 'tx_datetime', cohorts => '{country}') \g /dev/null

-- The client reads the files; the server needs no access to them.
\set artifact `base64 < :'models'/card_fraud_v1.json`
\set card `cat :'models'/card_fraud_v1.card.json`
SELECT clock_timestamp() AS begun \gset
SELECT risk.register_model('card_fraud', 'v1', decode(:'artifact', 'base64'), card => :'card',
						   note => 'numeric features') \g /dev/null
INSERT INTO timings (what, took) VALUES ('register v1: import, certify, store', clock_timestamp() - :'begun');

\set artifact `base64 < :'models'/card_fraud_v2.ubj`
\set card `cat :'models'/card_fraud_v2.card.json`
\set categories `cat :'models'/card_fraud_v2.categories.json`
SELECT clock_timestamp() AS begun \gset
SELECT risk.register_model('card_fraud', 'v2', decode(:'artifact', 'base64'), card => :'card',
						   categories => :'categories', note => 'country and category too') \g /dev/null
INSERT INTO timings (what, took) VALUES ('register v2: import, certify, store', clock_timestamp() - :'begun');
\unset artifact

\set ECHO queries
SELECT version, format, xgboost_version, trees, features,
	   certificate ->> 'margins_equal' AS margins_equal,
	   certificate ->> 'margins_compared' AS of_compared,
	   card -> 'metrics' ->> 'average_precision' AS avg_precision
FROM risk.model_versions_info ORDER BY version;
\set ECHO none

\echo
\echo [4/:steps] Promoting v1 and scoring every row with it
SELECT risk.promote('card_fraud', 'v1') \g /dev/null
SELECT count(*) AS num_rows FROM transactions \gset
SET max_parallel_workers_per_gather = 0;
SELECT clock_timestamp() AS begun \gset
SELECT risk.score_transaction('card_fraud', t) FROM transactions AS t LIMIT 1 \g /dev/null
INSERT INTO timings (what, rows, took) VALUES ('first score of this connection', 1, clock_timestamp() - :'begun');
SELECT clock_timestamp() AS begun \gset
SELECT avg(amount) FROM transactions AS t \g /dev/null
INSERT INTO timings (what, rows, took) VALUES ('for comparison: avg(amount)', :num_rows, clock_timestamp() - :'begun');
SELECT clock_timestamp() AS begun \gset
\set ECHO queries
SELECT avg(risk.score_transaction('card_fraud', t)) FROM transactions AS t;
\set ECHO none
INSERT INTO timings (what, rows, took) VALUES ('score all, v1, one process', :num_rows, clock_timestamp() - :'begun');
RESET max_parallel_workers_per_gather;
SELECT clock_timestamp() AS begun \gset
SELECT avg(risk.score_transaction('card_fraud', t)) FROM transactions AS t \g /dev/null
INSERT INTO timings (what, rows, took) VALUES ('score all, v1, parallel query', :num_rows, clock_timestamp() - :'begun');

CREATE TABLE scores AS
	SELECT 'v1' AS version, transaction_id, risk.score_transaction('card_fraud', t) AS score
	FROM transactions AS t;

\echo
\echo [5/:steps] The riskiest payments, and a what-if
\set ECHO queries
SELECT round(s.score::numeric, 4) AS score, transaction_id, tx_datetime, amount, country,
	   merchant_category, CASE WHEN is_fraud THEN coalesce(fraud_pattern, 'fraud') END AS truth
FROM scores AS s JOIN transactions USING (transaction_id)
ORDER BY s.score DESC, transaction_id LIMIT 8;

SELECT change, round(risk.score_transaction('card_fraud', to_jsonb(t) || patch::jsonb)::numeric, 4) AS score
FROM (SELECT transactions.* FROM transactions JOIN scores USING (transaction_id)
	  WHERE is_new_device IS NOT FALSE AND amount > 100 ORDER BY scores.score DESC, transaction_id LIMIT 1) AS t,
	 (VALUES (1, 'as it was', '{}'),
			 (2, 'if from a known device', '{"is_new_device": false}'),
			 (3, '... as the first of the day', '{"is_new_device": false,
				"customer_tx_count_1h": 0, "customer_tx_count_24h": 0, "customer_amount_sum_24h": 0,
				"seconds_since_last_tx": 90000}'),
			 (4, '... of the usual amount', '{"is_new_device": false,
				"customer_tx_count_1h": 0, "customer_tx_count_24h": 0, "customer_amount_sum_24h": 0,
				"seconds_since_last_tx": 90000,
				"amount_ratio_to_customer_mean": 1, "amount_ratio_to_merchant_mean": 1}')) AS v (n, change, patch)
ORDER BY n;
\set ECHO none

\echo
\echo [6/:steps] An analyst looks at it: scores against the truth (decile 1: the riskiest tenth)
CREATE VIEW by_decile AS
	SELECT version, decile, round(min(score)::numeric, 5) AS lowest, round(max(score)::numeric, 5) AS highest,
		   count(*) AS payments, count(*) FILTER (WHERE is_fraud) AS frauds,
		   round(100.0 * count(*) FILTER (WHERE is_fraud) / count(*), 2) AS fraud_percent,
		   round(100 * sum(count(*) FILTER (WHERE is_fraud)) OVER so_far
				 / nullif(sum(count(*) FILTER (WHERE is_fraud)) OVER (PARTITION BY version), 0), 1) AS caught_percent
	FROM (SELECT version, score, is_fraud,
				 ntile(10) OVER (PARTITION BY version ORDER BY score DESC, transaction_id) AS decile
		  FROM scores JOIN transactions USING (transaction_id)) AS ranked
	GROUP BY version, decile
	WINDOW so_far AS (PARTITION BY version ORDER BY decile);
CREATE VIEW by_threshold AS
	WITH judged AS (
		SELECT version, score, is_fraud, amount FROM scores JOIN transactions USING (transaction_id)
	), totals AS (
		SELECT version, count(*) AS payments, count(*) FILTER (WHERE is_fraud) AS frauds
		FROM judged GROUP BY version
	)
	SELECT threshold, version, count(*) AS alerts, round(1000.0 * count(*) / payments, 2) AS alerts_per_1000,
		   round(100.0 * count(*) FILTER (WHERE is_fraud) / count(*), 1) AS precision_percent,
		   round(100.0 * count(*) FILTER (WHERE is_fraud) / nullif(frauds, 0), 1) AS recall_percent,
		   sum(amount) FILTER (WHERE is_fraud) AS fraud_amount_caught
	FROM unnest('{0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9}'::numeric[]) AS threshold,
		 judged JOIN totals USING (version)
	WHERE score >= threshold
	GROUP BY threshold, version, payments, frauds;
\set ECHO queries
SELECT * FROM by_decile ORDER BY version, decile;
SELECT * FROM by_threshold ORDER BY threshold, version;
\set ECHO none

\echo
\echo [7/:steps] Payments arrive: a trigger scores each row in its own INSERT
\set ECHO queries
ALTER TABLE transactions ADD score float8, ADD score_version text;
CREATE TRIGGER score BEFORE INSERT ON transactions
	FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('card_fraud', 'score', 'score_version');
\set ECHO none
SELECT clock_timestamp() AS begun \gset
INSERT INTO transactions SELECT * FROM incoming ORDER BY tx_datetime, transaction_id LIMIT 500;
INSERT INTO timings (what, rows, took) VALUES ('insert with trigger', 500, clock_timestamp() - :'begun');
\set ECHO queries
SELECT round(score::numeric, 4) AS score, score_version, transaction_id, amount, merchant_category,
	   CASE WHEN is_fraud THEN coalesce(fraud_pattern, 'fraud') END AS truth
FROM transactions WHERE score IS NOT NULL ORDER BY transactions.score DESC, transaction_id LIMIT 5;
\set ECHO none

\echo
\echo [8/:steps] Promoting v2 by hand: a promotion is part of its transaction, and there is a way back
SELECT transaction_id AS id FROM scores ORDER BY score DESC, transaction_id LIMIT 1 \gset
\set ECHO queries
BEGIN;
SELECT risk.promote('card_fraud', 'v2') AS champion_before;
SELECT champion, risk.score_transaction('card_fraud', t) AS score
FROM risk.models, transactions AS t WHERE transaction_id = :id;
ROLLBACK;
SELECT champion, risk.score_transaction('card_fraud', t) AS score
FROM risk.models, transactions AS t WHERE transaction_id = :id;
BEGIN;
SELECT risk.promote('card_fraud', 'v2') AS champion_before;
COMMIT;
SELECT champion, risk.score_transaction('card_fraud', t) AS score
FROM risk.models, transactions AS t WHERE transaction_id = :id;
\set ECHO none

SET max_parallel_workers_per_gather = 0;
SELECT clock_timestamp() AS begun \gset
SELECT avg(risk.score_transaction('card_fraud', t)) FROM transactions AS t \g /dev/null
INSERT INTO timings (what, rows, took) VALUES ('score all, v2, one process', :num_rows + 500, clock_timestamp() - :'begun');
RESET max_parallel_workers_per_gather;
INSERT INTO scores
	SELECT 'v2', transaction_id, risk.score_transaction('card_fraud', t)
	FROM transactions AS t WHERE score IS NULL;
INSERT INTO transactions SELECT * FROM incoming
WHERE tx_datetime < (SELECT date_trunc('day', min(tx_datetime)) + interval '1 day' FROM incoming)
ORDER BY tx_datetime, transaction_id OFFSET 500;
\echo The same rows by both versions, and who scored the live ones:
\set ECHO queries
SELECT * FROM by_threshold WHERE threshold IN (0.1, 0.3, 0.5) ORDER BY threshold, version;
SELECT score_version, count(*), round(avg(score)::numeric, 5) AS mean_score
FROM transactions WHERE score_version IS NOT NULL GROUP BY score_version ORDER BY score_version;
SELECT risk.rollback('card_fraud', reason => 'nobody has judged it on live payments yet') AS champion_again;
\set ECHO none

\echo
\echo [9/:steps] What the server holds, and what it took
\set ECHO queries
SELECT model, champion, champion_since::timestamptz(0), versions, entity_id, cohorts FROM risk.models;
SELECT model, version, role, format, trees, pg_size_pretty(artifact_bytes::bigint) AS artifact,
	   pg_size_pretty(image_bytes::bigint) AS image
FROM risk.model_versions_info ORDER BY version;
SELECT model, version, role, pg_size_pretty(image_bytes) AS image, loaded_at::timestamptz(0)
FROM risk.cached_models ORDER BY version;
\set ECHO none
SELECT what, rows, round(1000 * extract(epoch FROM took), 2) AS ms,
	   to_char(rows / extract(epoch FROM took), 'FM999,999,999') AS rows_per_second,
	   round(extract(epoch FROM took) * 1e9 / rows) AS ns_per_row
FROM timings ORDER BY place;
