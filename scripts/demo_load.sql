-- demo_load.sql: from the table staging (all text, any of the known columns)
-- to the table transactions, typed and in time order.
--
-- A known column that staging lacks is computed by a window over strictly
-- earlier payments, as models/simulate.py defines it, or is NULL.

SET client_min_messages = warning;

CREATE TABLE transactions (
	transaction_id					bigint NOT NULL,
	tx_datetime						timestamptz NOT NULL,
	customer_id						bigint NOT NULL,
	device_id						bigint,
	merchant_id						bigint,
	country							text,
	merchant_category				text,
	currency						text,
	amount							numeric(12,2) NOT NULL,
	hour							integer,
	is_weekend						boolean,
	customer_tx_count_1h			integer,
	customer_tx_count_24h			integer,
	customer_amount_sum_24h			numeric(14,2),
	seconds_since_last_tx			integer,
	amount_ratio_to_customer_mean	float8,
	amount_ratio_to_merchant_mean	float8,
	merchant_tx_count_1h			integer,
	is_new_device					boolean,
	is_new_country					boolean,
	is_new_merchant					boolean,
	km_from_last_tx					integer,
	is_fraud						boolean,
	fraud_pattern					text
);

-- Windows end just before the payment itself; a time has microseconds.
CREATE TABLE formulas (column_name text PRIMARY KEY, formula text NOT NULL);
INSERT INTO formulas VALUES
	('hour', 'extract(hour FROM tx_datetime)'),
	('is_weekend', 'extract(isodow FROM tx_datetime) > 5'),
	('customer_tx_count_1h', 'count(*) OVER customer_1h'),
	('customer_tx_count_24h', 'count(*) OVER customer_24h'),
	('customer_amount_sum_24h', 'coalesce(sum(amount) OVER customer_24h, 0)'),
	('seconds_since_last_tx', 'extract(epoch FROM tx_datetime - max(tx_datetime) OVER customer_before)'),
	('amount_ratio_to_customer_mean', 'round(amount / nullif(avg(amount) OVER customer_before, 0), 4)'),
	('amount_ratio_to_merchant_mean',
	 'CASE WHEN merchant_id IS NOT NULL THEN round(amount / nullif(avg(amount) OVER merchant_before, 0), 4) END'),
	('merchant_tx_count_1h', 'CASE WHEN merchant_id IS NOT NULL THEN count(*) OVER merchant_1h END'),
	('is_new_device',
	 'CASE WHEN device_id IS NOT NULL AND count(*) OVER customer_before > 0 THEN count(*) OVER device_before = 0 END'),
	('is_new_country',
	 'CASE WHEN country IS NOT NULL AND count(*) OVER customer_before > 0 THEN count(*) OVER country_before = 0 END'),
	('is_new_merchant',
	 'CASE WHEN merchant_id IS NOT NULL AND count(*) OVER customer_before > 0 THEN count(*) OVER pair_before = 0 END');

-- Where each column of transactions comes from.
CREATE TABLE column_sources AS
	SELECT t.attnum AS place, t.attname::text AS column_name, format_type(t.atttypid, t.atttypmod) AS type,
		   CASE WHEN s.attname IS NOT NULL THEN 'file'
				WHEN f.formula IS NOT NULL THEN 'SQL windows'
				ELSE 'NULL' END AS source,
		   f.formula
	FROM pg_attribute AS t
	LEFT JOIN pg_attribute AS s ON s.attrelid = 'staging'::regclass AND s.attnum > 0 AND s.attname = t.attname
	LEFT JOIN formulas AS f ON f.column_name = t.attname
	WHERE t.attrelid = 'transactions'::regclass AND t.attnum > 0;

SELECT format($insert$
INSERT INTO transactions
SELECT %s FROM (SELECT %s FROM staging) AS typed
WINDOW customer AS (PARTITION BY customer_id ORDER BY tx_datetime),
	customer_1h AS (customer RANGE BETWEEN '1 hour' PRECEDING AND '1 microsecond' PRECEDING),
	customer_24h AS (customer RANGE BETWEEN '24 hours' PRECEDING AND '1 microsecond' PRECEDING),
	customer_before AS (customer RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING),
	merchant AS (PARTITION BY merchant_id ORDER BY tx_datetime),
	merchant_1h AS (merchant RANGE BETWEEN '1 hour' PRECEDING AND '1 microsecond' PRECEDING),
	merchant_before AS (merchant RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING),
	pair_before AS (PARTITION BY customer_id, merchant_id ORDER BY tx_datetime
		RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING),
	device_before AS (PARTITION BY customer_id, device_id ORDER BY tx_datetime
		RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING),
	country_before AS (PARTITION BY customer_id, country ORDER BY tx_datetime
		RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING)
ORDER BY tx_datetime, transaction_id$insert$,
	string_agg(CASE source WHEN 'SQL windows' THEN formula ELSE column_name END, ', ' ORDER BY place),
	string_agg(format(CASE source WHEN 'file' THEN '%1$s::%2$s AS %1$s' ELSE 'NULL::%2$s AS %1$s' END,
					  column_name, type), ', ' ORDER BY place))
FROM column_sources \gexec

-- The last three weeks (of a short file: its last third) are held back: they
-- arrive live, later in the tour, and after now, lest the worker find a rollout
-- of theirs due.  Whole weeks are added, so the day of the week stays.
CREATE TABLE incoming AS
	WITH file AS (SELECT min(tx_datetime) AS first, max(tx_datetime) AS last FROM transactions),
	live AS (SELECT greatest(date_trunc('day', last) - interval '20 days', date_trunc('day', last - (last - first) / 3)) AS begin FROM file)
	SELECT t.* FROM transactions AS t JOIN live ON tx_datetime >= begin;
DELETE FROM transactions WHERE transaction_id IN (SELECT transaction_id FROM incoming);
UPDATE incoming SET tx_datetime = tx_datetime + weeks * interval '7 days'
FROM (SELECT greatest(1 + floor(extract(epoch FROM now() - date_trunc('day', min(tx_datetime))) / 604800), 0) AS weeks
	  FROM incoming) AS moved;
CREATE INDEX ON incoming (tx_datetime);
DROP TABLE staging, formulas;
VACUUM (FREEZE, ANALYZE) transactions, incoming;

SELECT format('      %s payments of %s customers, %s to %s; fraud %s',
	to_char(count(*), 'FM999,999,999'), to_char(count(DISTINCT customer_id), 'FM999,999,999'),
	min(tx_datetime)::date, max(tx_datetime)::date,
	coalesce(round(100 * avg(is_fraud::integer), 2) || ' %', 'not labelled'))
FROM transactions \g (tuples_only format=unaligned)
SELECT format('      %s more are held back: they arrive live, with dates from %s on', to_char(count(*), 'FM999,999,999'), min(tx_datetime)::date)
FROM incoming \g (tuples_only format=unaligned)
SELECT format('      %s: %s', CASE source WHEN 'NULL' THEN 'not in the file, NULL' ELSE 'computed by SQL windows' END,
	string_agg(column_name, ', ' ORDER BY place))
FROM column_sources WHERE source <> 'file' GROUP BY source \g (tuples_only format=unaligned)
