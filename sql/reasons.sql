-- Why a transaction scores as it does: contributions, reasons, importance
\set SHOW_CONTEXT never
CREATE EXTENSION IF NOT EXISTS pg_risk;
-- a toy whose nodes have covers (4, 1, 3) and gains
CREATE FUNCTION covered(artifact bytea) RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(replace(replace(convert_from(artifact, 'UTF8'), '"sum_hessian": [0, 0, 0]', '"sum_hessian": [4, 1, 3]'),
		'"loss_changes": [0, 0, 0]', '"loss_changes": [2.5, 0, 0]'), 'UTF8')
$$;
CREATE FUNCTION rounded(float8[]) RETURNS numeric[] LANGUAGE sql AS 'SELECT array_agg(round(x::numeric, 5)) FROM unnest($1) AS x';
CREATE FUNCTION explained(anyelement, version text DEFAULT NULL, top int DEFAULT 5)
	RETURNS TABLE (rank int, feature text, value text, contribution numeric, share numeric, direction text, code text, text text)
	LANGUAGE sql STABLE AS $$
	SELECT rank, feature, value, round(contribution::numeric, 5), round(share::numeric, 5), direction, reason_code, reason_text
	FROM risk.explain_transaction('why', $1, version, top)
$$;
SELECT risk.create_model('why', entity_id => 'id');
SELECT 1 FROM risk.register_model('why', 'v1', covered(toy_model('{amount,hour,country}',
	'[[0, 100, 1, -1, 3], [0, 500, 0, 0, 4], [1, 6, 0, 2, -2], [2, [1], 1, 0, 8]]')), categories => '{"country": ["FR", "KP"]}');
SELECT risk.promote('why', 'v1');

-- a stump's feature adds the leaf less what is expected: 1/4 left + 3/4 right
SELECT rounded(risk.contributions('why', '{200, 3, 1}'::real[]));
SELECT rounded(risk.contributions('why', '{NULL, NULL, NULL}'::real[]));
CREATE TABLE payment (id int, amount numeric, hour int, country text);
INSERT INTO payment VALUES (1, 200, 3, 'KP'), (2, 20, NULL, 'FR'), (3, 1000.5, 12, 'XX');
SELECT id, rounded(c), risk.score_margin('why', p) AS margin, (SELECT round(sum(x)::numeric, 5) FROM unnest(c) AS x) AS sum
FROM payment AS p, risk.contributions('why', p) AS c ORDER BY id;
SELECT risk.contributions('why', to_jsonb(p)) = risk.contributions('why', p, version => 'v1') AS same FROM payment AS p;

-- reasons
INSERT INTO risk.reason_codes VALUES
	('why', 'country', 'increases', 'R07', 'Payment from a country of high risk'),
	('why', 'country', 'decreases', 'R08', 'Payment from a country of low risk'),
	('why', 'amount', 'increases', 'R01', 'Amount is unusual');
SELECT p.id, e.* FROM payment AS p, explained(p) AS e ORDER BY p.id, e.rank;
SELECT p.id, e.feature, e.reason_code FROM payment AS p, risk.explain_transaction('why', p, top => 1) AS e ORDER BY p.id;
SELECT count(*) FROM risk.explain_transaction('why', '{200, 3, 1}'::real[], top => 0);
SELECT count(*) FROM risk.explain_transaction('why', '{200, 3, 1}'::real[], top => NULL);
SELECT count(*) FROM risk.explain_transaction('why', NULL::payment);
SELECT risk.contributions('why', NULL::payment);

-- a version without names: features are called as XGBoost calls them; one that nothing splits adds nothing
SELECT 1 FROM risk.register_model('why', 'unnamed', covered(toy_model(ARRAY[NULL, NULL, NULL], '[[1, 0.5, 1, -1, 3]]')));
SELECT * FROM explained('{1, 0.25, 1}'::real[], 'unnamed');
SELECT * FROM explained('{1, Infinity, NaN}'::real[], version => 'unnamed', top => 1);
-- where training saw nothing, each side has half
SELECT 1 FROM risk.register_model('why', 'uncovered', toy_model('{a}', '[[0, 0.5, 1, -1, 3]]'));
SELECT rounded(risk.contributions('why', '{1}'::real[], 'uncovered'));

-- several outputs: the positive class is explained
SELECT risk.create_model('classes');
SELECT 1 FROM risk.register_model('classes', 'v1', covered(toy_model('{a,b}',
	'[[0, 0, 1, -1, 3], [1, 0, 1, 0, 4], [0, 0, 1, 8, 0]]', 'multi:softprob', 3)));
SELECT risk.contributions('classes', '{1, 1}'::real[], 'v1');
SELECT * FROM risk.explain_transaction('classes', '{1, 1}'::real[], 'v1');
SELECT risk.alter_model('classes', positive_class => 1);
SELECT rounded(risk.contributions('classes', '{1, 1}'::real[], 'v1'));
SELECT risk.alter_model('classes', positive_class => 3);
SELECT risk.contributions('classes', '{1, 1}'::real[], 'v1');

-- covers that make no sense, or are not there: the version scores, and cannot be explained
SELECT 1 FROM risk.register_model('why', 'negative', convert_to(replace(convert_from(toy_model('{a}', '[[0, 0.5, 1, -1, 3]]'), 'UTF8'),
	'"sum_hessian": [0, 0, 0]', '"sum_hessian": [4, -1, 5]'), 'UTF8'));
SELECT 1 FROM risk.register_model('why', 'without', convert_to(replace(convert_from(toy_model('{a}', '[[0, 0.5, 1, -1, 3]]'), 'UTF8'),
	'"sum_hessian": [0, 0, 0], ', ''), 'UTF8'));
SELECT risk.score_margin('why', '{1}'::real[], 'negative'), risk.score_margin('why', '{1}'::real[], 'without');
SELECT risk.contributions('why', '{1}'::real[], 'negative');
SELECT risk.explain_transaction('why', '{1}'::real[], 'without');

-- errors are those of scoring
SELECT risk.contributions('none', '{1}'::real[]);
SELECT risk.contributions('why', '{1}'::real[], 'none');
SELECT risk.contributions('classes', '{1, 1}'::real[]);
SELECT risk.contributions('why', '{1}'::real[]);
SELECT * FROM (SELECT 1 AS amount) AS p, risk.explain_transaction('why', p);
SELECT * FROM risk.explain_transaction('why', '{1, 2, 3}'::real[], top => -1);
SELECT risk.contributions(NULL, '{1}'::real[]);
INSERT INTO risk.reason_codes VALUES ('none', 'a', 'increases', 'R', 'r');
INSERT INTO risk.reason_codes VALUES ('why', 'a', 'up', 'R', 'r');

-- a canary explains the entities that it decides
SELECT 1 FROM risk.register_model('why', 'v2', covered(toy_model('{amount}', '[[0, 100, 1, -2, 6]]')));
BEGIN;
SELECT risk.alter_model('why', log => 'queued');
SELECT 1 FROM risk.start_canary('why', 'v2', 100);
SELECT id, rounded(risk.contributions('why', p)) FROM payment AS p ORDER BY id;
ROLLBACK;

-- the scoring trigger stores the reasons of high scores, all of them or their codes
CREATE TABLE scored (id int, amount numeric, hour int, country text, score float8, version text, why jsonb, codes text[]);
CREATE TRIGGER score BEFORE INSERT OR UPDATE ON scored FOR EACH ROW
	EXECUTE FUNCTION risk.score_on_insert('why', 'score', 'version', '', 'why', '0.5');
INSERT INTO scored (id, amount, hour, country) SELECT * FROM payment;
SELECT id, score >= 0.5 AS high, version, reason FROM scored LEFT JOIN jsonb_array_elements(why) AS reason ON true ORDER BY id;
CREATE FUNCTION as_stored(anyelement, version text DEFAULT NULL, top int DEFAULT 5) RETURNS jsonb LANGUAGE sql STABLE AS
	'SELECT jsonb_agg(to_jsonb(e) - ''rank'' ORDER BY rank) FROM risk.explain_transaction(''why'', $1, version, top) AS e';
SELECT id, why = as_stored(s) AS same FROM scored AS s WHERE score >= 0.5;
-- an update that lowers the score takes them away
UPDATE scored SET amount = 20, hour = 12, country = 'FR' WHERE id = 1 RETURNING score >= 0.5 AS high, why;
-- codes: each once, of those that have one, among so many reasons
DROP TRIGGER score ON scored;
CREATE TRIGGER score BEFORE INSERT ON scored FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('why', 'score', '', '', 'codes', '-1', '2');
BEGIN;
UPDATE risk.reason_codes SET code = 'R01' WHERE model = 'why' AND feature = 'country';
INSERT INTO scored (id, amount, hour, country) SELECT * FROM payment RETURNING id, version, codes;
DELETE FROM risk.reason_codes WHERE model = 'why' AND feature = 'country';
INSERT INTO scored (id, amount, hour, country) SELECT * FROM payment RETURNING id, codes;
ROLLBACK;
-- of the version that decided: a canary, or none
DROP TRIGGER score ON scored;
CREATE TRIGGER score BEFORE INSERT ON scored FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('why', 'score', 'version', '', 'why', '0', '1e9');
BEGIN;
SELECT risk.alter_model('why', log => 'queued');
SELECT 1 FROM risk.start_canary('why', 'v2', 100);
INSERT INTO scored (id, amount, hour, country) SELECT * FROM payment RETURNING id, version, why = as_stored(scored, 'v2', NULL) AS of_canary, why = as_stored(scored, 'v1', NULL) AS of_champion;
ROLLBACK;
BEGIN;
SELECT risk.alter_model('why', on_missing => 'fallback', fallback_score => 0.9);
ALTER TABLE scored ALTER hour TYPE text;
INSERT INTO scored (id, amount, hour, country) VALUES (5, 200, '3', 'KP') RETURNING score, version, why;
ROLLBACK;
-- a version that cannot be explained scores all the same
BEGIN;
SELECT 1 FROM risk.register_model('why', 'v3', convert_to(replace(convert_from(toy_model('{amount}', '[[0, 100, 1, -1, 3]]'), 'UTF8'),
	'"sum_hessian": [0, 0, 0], ', ''), 'UTF8'));
SELECT risk.promote('why', 'v3');
INSERT INTO scored (id, amount, hour, country) VALUES (5, 200, 3, 'KP') RETURNING round(score::numeric, 5) AS score, version, why;
ROLLBACK;
-- ... with the rolling features that the score was made of, also of rows of the same statement
CREATE TABLE card_tx (id int, card text, at timestamptz, amount numeric, score float8, why jsonb);
CREATE INDEX ON card_tx (card, at);
SELECT risk.create_rolling_features('card_tx', 'card', 'at', windows => '{1 hour}');
SELECT risk.create_model('rolls', entity_id => 'id', event_time => 'at');
SELECT 1 FROM risk.register_model('rolls', 'v1', covered(toy_model('{amount,card_cnt_prev_1h}', '[[0, 100, 1, -1, 3], [1, 2, 1, 0, 4]]')));
SELECT risk.promote('rolls', 'v1');
CREATE TRIGGER score BEFORE INSERT ON card_tx FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('rolls', 'score', '', '', 'why', '0', '1');
INSERT INTO card_tx SELECT i, 'x', timestamptz '2026-01-01 00:00+00' + i * interval '10 minutes', 200 FROM generate_series(1, 3) AS i;
SELECT t.id, r.*, t.why = (SELECT jsonb_agg(to_jsonb(e) - 'rank') FROM risk.explain_transaction('rolls', t, top => 1) AS e) AS same
FROM card_tx AS t, jsonb_to_recordset(t.why) AS r (feature text, value text, contribution numeric) ORDER BY id;
SELECT risk.drop_rolling_features('card_tx');
DROP TABLE card_tx;
SELECT risk.drop_model('rolls');
-- what an infinite value adds to a linear model is infinite, which no number of JSON is
SELECT risk.create_model('linear', entity_id => 'id');
SELECT 1 FROM risk.register_model('linear', 'v1', convert_to($${"version": [1, 7, 4], "learner": {"attributes": {}, "feature_names": ["a", "b", "c"], "feature_types": [],
	"learner_model_param": {"base_score": "0", "boost_from_average": "1", "num_class": "0", "num_target": "1", "num_feature": "3"},
	"objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
	"gradient_booster": {"name": "gblinear", "model": {"weights": [0.25, -0.5, 1, 0.125], "boosted_rounds": 1}}}}$$, 'UTF8'));
SELECT risk.promote('linear', 'v1');
CREATE TABLE straight (id int, a float8, b float8, c float8, score float8, why jsonb);
CREATE TRIGGER score BEFORE INSERT ON straight FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert('linear', 'score', '', '', 'why', '-Infinity');
INSERT INTO straight VALUES (1, 4, 2, NULL), (2, 4, '-Infinity', 8), (3, 4, 2, 'Infinity');
SELECT id, score, r.*, why::text::jsonb = why AS readable
FROM straight, jsonb_to_recordset(why) AS r (feature text, value text, contribution float8, share float8, direction text) ORDER BY id, abs(contribution) DESC, feature;
SELECT t.id, t.why = e.reasons AS same, t.why = (SELECT jsonb_agg(to_jsonb(x) - 'rank' ORDER BY rank) FROM risk.explain_transaction('linear', t) AS x) AS same_alone
FROM straight AS t JOIN risk.explain_batch('linear', 'TABLE straight') AS e ON e.entity_id = t.id::text ORDER BY id;
DROP TABLE straight;
SELECT risk.drop_model('linear');
-- wrong arguments
CREATE FUNCTION try(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	DROP TRIGGER IF EXISTS score ON scored;
	EXECUTE format('CREATE TRIGGER score BEFORE INSERT ON scored FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert(%s)', arguments);
	INSERT INTO scored (id, amount, hour, country) VALUES (6, 200, 3, 'KP');
	RETURN 'fine';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE || ': ' || SQLERRM, hint);
END $$;
\pset format unaligned
SELECT try($$'why', ''$$);
SELECT try($$'why', 'score', '', '', 'nope', '0'$$);
SELECT try($$'why', 'score', '', '', 'version', '0'$$);
SELECT try($$'why', 'score', '', '', 'score', '0'$$);
SELECT try($$'why', 'score', '', '', 'why'$$);
SELECT try($$'why', 'score', '', '', 'why', 'high'$$);
SELECT try($$'why', 'score', '', '', 'why', '0.5 '$$);
SELECT try($$'why', 'score', '', '', 'why', ''$$);
SELECT try($$'why', 'score', '', '', 'why', 'NaN'$$);
SELECT try($$'why', 'score', '', '', 'why', '0', '0'$$);
SELECT try($$'why', 'score', '', '', 'why', '0', '1.5'$$);
SELECT try($$'why', 'score', '', '', 'why', '0', '3', 'more'$$);
SELECT try($$'why', 'score', '', '', 'why', 'Infinity', '3'$$);
\pset format aligned
DROP TABLE scored;
DROP FUNCTION try;

-- whole tables: what single calls say, to the bit
CREATE TABLE many AS SELECT i AS id, (i * 37 % 1000)::numeric AS amount, nullif(i * 7 % 25, 24) AS hour, (ARRAY['FR', 'KP', 'XX', NULL])[1 + i % 4] AS country FROM generate_series(1, 1500) AS i;
SELECT count(*), count(*) FILTER (WHERE c.contributions = risk.contributions('why', m)) AS same,
	   count(*) FILTER (WHERE u.contributions = risk.contributions('why', m, 'v2')) AS same_v2
FROM many AS m JOIN risk.contributions_batch('why', 'many') AS c ON c.entity_id = m.id::text
JOIN risk.contributions_batch('why', 'SELECT * FROM many', version => 'v2', id_column => 'id') AS u ON u.entity_id = m.id::text;
SELECT count(*), count(*) FILTER (WHERE e.score = risk.score_transaction('why', m)) AS same_score, count(*) FILTER (WHERE e.reasons = as_stored(m)) AS same_reasons
FROM many AS m JOIN risk.explain_batch('why', 'many') AS e ON e.entity_id = m.id::text;
SELECT entity_id, r.* FROM risk.explain_batch('why', 'SELECT * FROM many WHERE id IN (3, 4) ORDER BY id', top => 1) AS e, jsonb_to_recordset(e.reasons) AS r (feature text, value text, direction text, reason_code text);
SELECT count(*), min(reasons::text) FROM risk.explain_batch('why', 'many', top => 0);
SELECT count(*) FROM risk.contributions_batch('why', 'SELECT * FROM many WHERE false');
SELECT * FROM risk.explain_batch('why', 'many', top => -1);
SELECT * FROM risk.explain_batch('why', 'SELECT id, amount FROM many');
SELECT * FROM risk.explain_batch('why', 'SELECT id, 1 AS a FROM many', 'without');
SELECT * FROM risk.contributions_batch('why', 'SELECT id, 1 AS a FROM many', 'without');
SELECT * FROM risk.contributions_batch('classes', 'SELECT 1 AS a, 2 AS b', 'v1');
-- calls for each row of a table leave no memory behind
CREATE FUNCTION held() RETURNS numeric LANGUAGE sql AS $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'ExecutorState' $$;
SELECT count(*), max(held) - min(held) < 200000 AS bounded FROM (SELECT held() FROM many AS m, risk.explain_transaction('why', m, top => 1) OFFSET 0) AS s;
DROP FUNCTION held();
-- the largest movers, with the reasons of both versions
SELECT m.entity_id, m.reasons_a = as_stored(t, 'v1') AS same_a, m.reasons_b = as_stored(t, 'v2') AS same_b
FROM risk.largest_movers('why', 'v1', 'v2', 'many', top => 3) AS m JOIN many AS t ON t.id::text = m.entity_id ORDER BY abs(m.difference) DESC, m.entity_id;
SELECT count(*), count(reasons_a), count(reasons_b) FROM risk.largest_movers('why', 'v1', 'v2', 'SELECT CASE WHEN id % 2 = 1 THEN id END AS id, amount, hour, country FROM many', top => 1000000);
-- ... of rows that share an id, too
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM many AS t WHERE (t.id % 7)::text = m.entity_id AND
	(risk.score_transaction('why', t, 'v1'), risk.score_transaction('why', t, 'v2'), as_stored(t, 'v1'), as_stored(t, 'v2')) = (m.score_a, m.score_b, m.reasons_a, m.reasons_b))) AS right
FROM risk.largest_movers('why', 'v1', 'v2', 'SELECT id % 7 AS id, amount, hour, country FROM many', top => 30) AS m;
SELECT m.entity_id, m.reasons_a IS NOT NULL AS a, m.reasons_b AS b
FROM risk.largest_movers('why', 'v1', 'without', 'SELECT id, amount, hour, country, 0 AS a FROM many', top => 1) AS m;
SELECT count(*) FROM risk.largest_movers('why', 'v1', 'v1', 'many');
SELECT entity_id, jsonb_array_length(reasons_a) AS a, jsonb_array_length(reasons_b) AS b FROM risk.explain_versions('why', NULL, 'v2', 'many', '{17,nosuch,4}', top => 2) ORDER BY 1;
SELECT count(*) FROM risk.explain_versions('why', 'v1', 'v2', 'many', '{}');
SELECT entity_id FROM risk.explain_versions('why', 'v1', 'v2', 'SELECT nullif(id, 3) AS id, amount, hour, country FROM many', '{NULL,17}');
SELECT count(*) FROM risk.explain_versions('why', 'v1', 'v2', 'many', '{NULL}');
DROP TABLE many;
DROP FUNCTION as_stored;

-- importance, as XGBoost's get_score()
SELECT * FROM risk.feature_importance('why');
SELECT * FROM risk.feature_importance('why', 'unnamed');
SELECT * FROM risk.feature_importance('why', version => 'without');
SELECT * FROM risk.feature_importance('classes');
SELECT * FROM risk.feature_importance('classes', 'v1');
SELECT * FROM risk.feature_importance('none');

-- as somebody who may do nothing else, in parallel
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
ALTER TABLE payment SET (parallel_workers = 2);
CREATE ROLE risk_test_explainer;
GRANT USAGE ON SCHEMA risk TO risk_test_explainer;
GRANT SELECT ON payment TO risk_test_explainer;
SET ROLE risk_test_explainer;
SELECT risk.contributions('why', p) FROM payment AS p;
SELECT * FROM payment AS p, risk.explain_transaction('why', p);
SELECT * FROM risk.feature_importance('why');
RESET ROLE;
GRANT EXECUTE ON FUNCTION risk.contributions, risk.explain_transaction, risk.feature_importance TO risk_test_explainer;
SET ROLE risk_test_explainer;
EXPLAIN (COSTS OFF) SELECT sum((risk.contributions('why', p))[1]), count(e.reason_code) FROM payment AS p, risk.explain_transaction('why', p, top => 1) AS e;
SELECT round(sum((risk.contributions('why', p))[1])::numeric, 5), count(e.reason_code) FROM payment AS p, risk.explain_transaction('why', p, top => 1) AS e;
SELECT count(*) FROM risk.feature_importance('why');
RESET ROLE;
RESET ALL;
DROP OWNED BY risk_test_explainer;
DROP ROLE risk_test_explainer;

SELECT risk.drop_model('why'), risk.drop_model('classes');
SELECT count(*) FROM risk.reason_codes;
DROP TABLE payment;
DROP FUNCTION covered, rounded, explained;
