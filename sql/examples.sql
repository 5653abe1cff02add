-- The example models give the scores that libxgboost gave them when they were trained (models/expected.csv)
\set SHOW_CONTEXT never
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set models :abs_srcdir '/models/'
\set expected :models 'expected.csv'
\set v1 :models 'card_fraud_v1.json'
\set v2 :models 'card_fraud_v2.ubj'
\set categories :models 'card_fraud_v2.categories.json'
\set ECHO all
CREATE EXTENSION IF NOT EXISTS pg_risk;
CREATE TABLE expected ("row" int, amount real, hour real, is_weekend real, customer_tx_count_1h real, customer_tx_count_24h real,
	customer_amount_sum_24h real, seconds_since_last_tx real, amount_ratio_to_customer_mean real, amount_ratio_to_merchant_mean real,
	merchant_tx_count_1h real, is_new_device real, is_new_country real, is_new_merchant real, km_from_last_tx real,
	country text, merchant_category text, v1_margin real, v1_prediction real, v2_margin real, v2_prediction real);
COPY expected FROM :'expected' (FORMAT csv, HEADER);
SELECT risk.create_model('card_fraud');
SELECT 1 FROM risk.register_model('card_fraud', 'v1', pg_read_binary_file(:'v1'));
SELECT 1 FROM risk.register_model('card_fraud', 'v2', pg_read_binary_file(:'v2'), categories => pg_read_file(:'categories')::jsonb);
-- margins to the bit; predictions as near as two C libraries' expf() are
SELECT count(*) AS rows,
	   count(*) FILTER (WHERE risk.score_margin('card_fraud', e, 'v1') = ARRAY[v1_margin]::float8[]) AS v1_margins,
	   count(*) FILTER (WHERE risk.score_margin('card_fraud', e, 'v2') = ARRAY[v2_margin]::float8[]) AS v2_margins,
	   count(*) FILTER (WHERE risk.score_margin('card_fraud', to_jsonb(e), 'v2') = ARRAY[v2_margin]::float8[]) AS v2_jsonb,
	   count(*) FILTER (WHERE abs(risk.score_transaction('card_fraud', e, 'v1') / v1_prediction - 1) < 2e-7) AS v1_predictions,
	   count(*) FILTER (WHERE abs(risk.score_transaction('card_fraud', e, 'v2') / v2_prediction - 1) < 2e-7) AS v2_predictions
FROM expected AS e;
SELECT risk.drop_model('card_fraud');
DROP TABLE expected;
DROP EXTENSION pg_risk;
