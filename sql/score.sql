-- Scoring: every shape of input, every type, missing values, categories, several outputs
\set SHOW_CONTEXT never
SET extra_float_digits = 0;

-- margins of two stumps: amount < 100 ? -1 : 2, plus hour < 6 ? 0.5 : -0.5; missing goes left, right
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{amount,hour}', '[[0, 100, 1, -1, 2], [1, 6, 0, 0.5, -0.5]]'));
SELECT risk.promote('m', 'v1');

CREATE TABLE tx (id int, note text, amount numeric(12,2), hour int, gone int);
ALTER TABLE tx DROP COLUMN gone;
INSERT INTO tx VALUES (1, 'small', 50, 3), (2, 'at the threshold', 100, 12), (3, 'no amount', NULL, 3), (4, 'no hour', 500, NULL), (5, 'nothing', NULL, NULL);

-- rows, records, subqueries, jsonb, arrays: one answer
SELECT id, risk.score_margin('m', t) AS of_row,
	   risk.score_margin('m', r) AS of_record,
	   risk.score_margin('m', to_jsonb(t)) AS of_jsonb,
	   risk.score_margin('m', ARRAY[t.amount, t.hour]::real[]) AS of_real,
	   risk.score_margin('m', ARRAY[t.amount, t.hour]::float8[]) AS of_float8,
	   risk.score_margin('m', ARRAY[t.amount, t.hour]) AS of_numeric,
	   round(risk.score_transaction('m', t)::numeric, 6) AS score
FROM tx t, LATERAL (SELECT t.hour, t.amount) r ORDER BY id;
SELECT id, risk.score_vector('m', t) = ARRAY[risk.score_transaction('m', t)] AS same FROM tx t ORDER BY id;
SELECT risk.score_transaction('m', NULL::tx), risk.score_transaction('m', NULL::jsonb), risk.score_transaction('m', NULL::real[]);
SELECT risk.score_margin('m', ROW(1, 'x', 50, 3)::tx), risk.score_margin('m', ROW(NULL, NULL, NULL, NULL)::tx);
SELECT risk.score_margin('m', '{"hour": 3, "amount": 50, "other": [1]}'::jsonb), risk.score_margin('m', '{"hour": null, "amount": true}'::jsonb);
SELECT risk.score_margin('m', '{NaN,NaN}'::real[]), risk.score_margin('m', '{-Infinity,Infinity}'::float8[]), risk.score_margin('m', '{1e300,1e-320}'::float8[]);
CREATE DOMAIN tx_domain AS tx;
CREATE DOMAIN json_domain AS jsonb;
SELECT risk.score_margin('m', t::tx_domain), risk.score_margin('m', to_jsonb(t)::json_domain) FROM tx t WHERE id = 1;

-- what to_jsonb() makes of numbers that JSON does not have
SELECT x, risk.score_margin('m', to_jsonb(r)) = risk.score_margin('m', r) AS same FROM unnest('{NaN,Infinity,-Infinity,1}'::float8[]) x, LATERAL (SELECT x AS amount, x AS hour) r;

-- where there is no snapshot yet
CREATE DOMAIN scored AS real[] CHECK (risk.score_transaction('m', coalesce(VALUE, '{1,1}')) IS NOT NULL
	AND risk.score_vector('m', coalesce(VALUE, '{1,1}')) IS NOT NULL AND risk.score_margin('m', coalesce(VALUE, '{1,1}'), 'v1') IS NOT NULL);
DO $$ BEGIN COMMIT; DECLARE x scored; BEGIN RAISE NOTICE 'scored'; END; END $$;
DROP DOMAIN scored;

-- the wrong thing
SELECT risk.score_transaction('m', 1);
SELECT risk.score_transaction('m', '{"amount": 1}'::json);
SELECT risk.score_transaction('m', '[1]'::jsonb);
SELECT risk.score_transaction('m', '{"amount": 1, "Hour": 2}'::jsonb);
SELECT risk.score_transaction('m', '{"amount": "1", "hour": 2}'::jsonb);
SELECT risk.score_transaction('m', '{"amount": {}, "hour": 2}'::jsonb);
SELECT risk.score_transaction('m', '{1}'::real[]);
SELECT risk.score_transaction('m', '{}'::real[]);
SELECT risk.score_transaction('m', '{{1,2}}'::real[]);
SELECT risk.score_transaction('m', '{a,b}'::text[]);
SELECT risk.score_transaction('m', r) FROM (SELECT 1 AS amt, 2 AS "Hour") r;
SELECT risk.score_transaction('m', r) FROM (SELECT 1 AS amount, 2 AS hour, 3 AS amount) r;
SELECT risk.score_transaction('m', r) FROM (SELECT 'x' AS amount, 2 AS hour) r;
SELECT risk.score_transaction('m', r) FROM (SELECT '1.1.1.1'::inet AS amount, 2 AS hour) r;
SELECT risk.score_transaction(NULL, t) FROM tx t;
SELECT risk.score_transaction('none', t) FROM tx t;
SELECT risk.score_transaction('m', t, 'none') FROM tx t;

-- types: a stump at 0 on each, and what it makes of the value
SELECT risk.create_model('types');
SELECT 1 FROM risk.register_model('types', 'v1', toy_model('{x}', '[[0, 86400, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('types', 'v1');
SELECT risk.score_margin('types', r1) AS bool, risk.score_margin('types', r2) AS int2, risk.score_margin('types', r3) AS int8,
	   risk.score_margin('types', r4) AS numeric, risk.score_margin('types', r5) AS nan
FROM (SELECT true AS x) r1, (SELECT 86::int2 AS x) r2, (SELECT 9223372036854775807 AS x) r3,
	 (SELECT 1e400::numeric AS x) r4, (SELECT 'NaN'::numeric AS x) r5;
SELECT risk.score_margin('types', r1) AS before, risk.score_margin('types', r2) AS at, risk.score_margin('types', r3) AS infinite,
	   risk.score_margin('types', r4) AS date_before, risk.score_margin('types', r5) AS date_at
FROM (SELECT '1970-01-01 23:59:59+00'::timestamptz AS x) r1, (SELECT '1970-01-02'::timestamp AS x) r2,
	 (SELECT 'infinity'::timestamptz AS x) r3, (SELECT '1970-01-01'::date AS x) r4, (SELECT '1970-01-02'::date AS x) r5;
SELECT risk.score_margin('types', r1) AS before, risk.score_margin('types', r2) AS at, risk.score_margin('types', r3) AS month
FROM (SELECT '86399 seconds'::interval AS x) r1, (SELECT '1 day'::interval AS x) r2, (SELECT '-1 month'::interval AS x) r3;
SELECT 1 FROM risk.register_model('types', 'moment', toy_model('{x}', '[[0, 1e-6, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.score_margin('types', r1, 'moment') AS before, risk.score_margin('types', r2, 'moment') AS at, risk.score_margin('types', r3, 'moment') AS interval
FROM (SELECT '1970-01-01'::timestamp AS x) r1, (SELECT '1970-01-01 00:00:00.000001+00'::timestamptz AS x) r2, (SELECT '0.000001 seconds'::interval AS x) r3;

-- a declared missing value, besides NULL and NaN
SELECT 1 FROM risk.register_model('types', 'missing', toy_model('{x}', '[[0, -1000, 0, -1, 1]]', 'reg:squarederror', base_score => '0'), missing => -9999);
SELECT missing FROM risk.model_versions_info WHERE version = 'missing';
SELECT risk.score_margin('types', ARRAY[x]::real[], 'missing') FROM unnest('{-9998,-9999,NULL,NaN,0}'::real[]) x;

SELECT 1 FROM risk.register_model('types', 'infinite', toy_model('{x}', '[[0, -1000, 0, -1, 1]]', 'reg:squarederror', base_score => '0'), missing => '-Infinity');
SELECT x, risk.score_margin('types', ARRAY[x]::real[], 'infinite'), i.missing
FROM unnest('{-Infinity,-9999}'::real[]) x, risk.model_versions_info i WHERE i.version = 'infinite';

-- categories: 1 and 3 go right; missing goes right; unseen, negative, beyond 2^24 go left
SELECT risk.create_model('cats');
SELECT 1 FROM risk.register_model('cats', 'codes', toy_model('{country}', '[[0, [1, 3], 0, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('cats', 'names', toy_model('{country}', '[[0, [1, 3], 0, -1, 1]]', 'reg:squarederror', base_score => '0'),
	categories => '{"country": ["AT", "DE", "FR", "ÅX"]}');
SELECT 1 FROM risk.register_model('cats', 'numbers', toy_model('{country}', '[[0, [1, 3], 0, -1, 1]]', 'reg:squarederror', base_score => '0'),
	categories => '{"country": [40, 276, 250, 248]}');
SELECT x, risk.score_margin('cats', ARRAY[x]::real[], 'codes') FROM unnest('{0,1,2,3,4,1.5,-1,16777217,NULL}'::real[]) x;
SELECT x, risk.score_margin('cats', r, 'names') FROM unnest('{AT,DE,FR,ÅX,XX,"",NULL}'::text[]) x, LATERAL (SELECT x AS country) r;
SELECT x, risk.score_margin('cats', r, 'names') FROM unnest('{AT,DE}'::char(5)[]) x, LATERAL (SELECT x AS country) r;
SELECT x, risk.score_margin('cats', jsonb_build_object('country', x), 'names') FROM unnest('{AT,DE,XX,NULL}'::text[]) x;
SELECT x, risk.score_margin('cats', r, 'names') AS code FROM unnest('{0,1,NULL}'::int[]) x, LATERAL (SELECT x AS country) r;
SELECT x, risk.score_margin('cats', r, 'numbers') FROM unnest('{40,276,250,248,1,NULL}'::int[]) x, LATERAL (SELECT x AS country) r;
SELECT x, risk.score_margin('cats', jsonb_build_object('country', x), 'numbers') FROM unnest('{40,276,276.5,NULL}'::numeric[]) x;
SELECT 1 FROM risk.register_model('cats', 'truths', toy_model('{country}', '[[0, [1, 3], 0, -1, 1]]', 'reg:squarederror', base_score => '0'),
	categories => '{"country": [7, 1, 8, 9]}');
SELECT x, risk.score_margin('cats', r, 'truths') AS of_row, risk.score_margin('cats', to_jsonb(r), 'truths') AS of_jsonb
FROM unnest('{f,t}'::bool[]) x, LATERAL (SELECT x AS country) r;
CREATE TYPE country AS ENUM ('DE', 'FR', 'XX');
SELECT x, risk.score_margin('cats', r, 'names') FROM unnest(enum_range(NULL::country)) x, LATERAL (SELECT x AS country) r;
SELECT risk.score_margin('cats', r, 'codes') FROM (SELECT 'DE'::text AS country) r;
SELECT risk.score_margin('cats', r, 'numbers') FROM (SELECT 'DE'::text AS country) r;
SELECT risk.score_margin('cats', '{"country": "DE"}'::jsonb, 'codes');

-- no names: arrays only
SELECT risk.create_model('nameless');
SELECT 1 FROM risk.register_model('nameless', 'v1', toy_model('{NULL,NULL}', '[[1, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.score_margin('nameless', '{5,-5}'::real[], 'v1');
SELECT risk.score_margin('nameless', '{"a": 1}'::jsonb, 'v1');

-- several outputs
SELECT risk.create_model('classes');
SELECT 1 FROM risk.register_model('classes', 'prob', toy_model('{a}', '[[0, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]', 'multi:softprob', 3));
SELECT 1 FROM risk.register_model('classes', 'max', toy_model('{a}', '[[0, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]', 'multi:softmax', 3));
SELECT risk.promote('classes', 'prob');
SELECT risk.score_margin('classes', '{1}'::real[]), risk.score_vector('classes', '{1}'::real[]), risk.score_vector('classes', '{1}'::real[], 'max');
SELECT risk.score_transaction('classes', '{1}'::real[]);
SELECT risk.alter_model('classes', positive_class => 1);
SELECT risk.score_transaction('classes', '{1}'::real[]), risk.score_transaction('classes', '{1}'::real[], 'max');
SELECT risk.alter_model('classes', positive_class => 3);
SELECT risk.score_transaction('classes', '{1}'::real[]);

-- the row type changes under a prepared statement
PREPARE scores AS SELECT id, risk.score_margin('m', t) FROM tx t ORDER BY id LIMIT 2;
EXECUTE scores;
ALTER TABLE tx ALTER amount TYPE float8;
EXECUTE scores;
ALTER TABLE tx RENAME amount TO amt;
EXECUTE scores;
ALTER TABLE tx RENAME amt TO amount;
ALTER TABLE tx DROP COLUMN note;
EXECUTE scores;
ALTER TABLE tx ADD COLUMN note text DEFAULT 'x';
EXECUTE scores;

-- parallel
CREATE TABLE many AS SELECT i AS id, i % 200 AS amount, i % 24 AS hour FROM generate_series(1, 20000) i;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT sum((risk.score_margin('m', t))[1]) FROM many t;
SELECT sum((risk.score_margin('m', t))[1]) = sum(CASE WHEN amount < 100 THEN -1 ELSE 2 END + CASE WHEN hour < 6 THEN 0.5 ELSE -0.5 END) FROM many t;
RESET ALL;

-- models named by the rows
SELECT x, risk.score_margin(x, '{1}'::real[], v) FROM (VALUES ('types', 'v1'), ('types', 'missing'), ('cats', 'codes'), ('types', 'v1')) AS x (x, v);
SELECT risk.drop_model(model) FROM risk.models ORDER BY model;
DROP TABLE tx CASCADE;
DROP TABLE many;
