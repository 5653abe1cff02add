-- Models and versions: creating, registering, promoting, dropping, and what is said about wrong use
\getenv abs_srcdir PG_ABS_SRCDIR
\set toy :abs_srcdir '/test/toy.sql'
\set SHOW_CONTEXT never
CREATE EXTENSION pg_risk;
\set ECHO none
\i :toy
\set ECHO all

-- nothing there yet
SELECT * FROM risk.models;
SELECT risk.score_transaction('card_fraud', '{"amount": 1}'::jsonb);
SELECT risk.promote('card_fraud', 'v1');
SELECT risk.register_model('card_fraud', 'v1', '{}');

SELECT risk.create_model('card_fraud', entity_id => 'transaction_id', event_time => 'tx_datetime', cohorts => '{country}');
SELECT risk.create_model('card_fraud');
SELECT risk.create_model('');
SELECT risk.create_model(NULL);
SELECT risk.create_model('m', positive_class => -1);
SELECT risk.score_transaction('card_fraud', '{"amount": 1}'::jsonb);
SELECT risk.score_transaction('card_fraud', '{"amount": 1}'::jsonb, 'v1');

-- a certificate comes back
SELECT c ->> 'probes' > '0' AS probed, c -> 'margins_compared' = c -> 'margins_equal' AS equal
FROM risk.register_model('card_fraud', 'v1',
	toy_model('{amount,hour}', '[[0, 100, 1, -1, 2], [1, 6, 0, 0.5, -0.5]]'),
	card => '{"trained_by": "nobody"}', note => 'two stumps') AS c;
SELECT * FROM risk.register_model('card_fraud', 'v1', toy_model('{amount}', '[[0, 1, 1, -1, 2]]'));
SELECT risk.register_model('card_fraud', NULL, '');
SELECT risk.register_model('card_fraud', '', '');
SELECT risk.register_model('card_fraud', 'v2', NULL);
-- DART with leaves of -0: nothing and such a leaf is 0
SELECT metadata ->> 'booster' AS booster, metadata -> 'certificate' -> 'margins_equal' AS margins_equal
FROM convert_from(toy_model('{amount}', '[[0, 100, 1, 77, 77]]'), 'UTF8') AS toy,
	 jsonb_set(toy::jsonb, '{learner,gradient_booster}', jsonb_build_object('name', 'dart', 'gbtree', toy::jsonb #> '{learner,gradient_booster}',
																		   'weight_drop', '[1]'::jsonb)) AS dart,
	 risk.import_artifact(convert_to(replace(dart::text, '77', '-0.0'), 'UTF8'), NULL, NULL);

SELECT risk.promote('card_fraud', 'v2');
SELECT risk.promote('card_fraud', NULL);

-- a model whose name is NULL is not one that does not exist, whichever function is called
SELECT risk.feature_importance(NULL);
SELECT risk.compare_versions(NULL, 'v1', 'v1', 'SELECT');
DO $$
DECLARE
	call text;
BEGIN
	FOR call IN
		SELECT format('SELECT FROM risk.%I(%s)', p.proname, (
			SELECT string_agg('NULL::' || CASE t.type WHEN 'anyelement'::regtype THEN 'real[]' ELSE format_type(t.type, NULL) END,
							  ', ' ORDER BY t.n) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, n)))
		FROM pg_proc AS p WHERE p.pronamespace = 'risk'::regnamespace AND p.prokind = 'f' AND 'model' = ANY (p.proargnames)
	LOOP
		BEGIN
			EXECUTE call;
		EXCEPTION WHEN OTHERS THEN
			IF SQLERRM ~ '(model|version) "<NULL>"' THEN
				RAISE WARNING '%: %', call, SQLERRM;
			END IF;
		END;
	END LOOP;
END $$;

SELECT risk.promote('card_fraud', 'v1');
SELECT model, champion, versions, entity_id, event_time, cohorts, positive_class FROM risk.models;
SELECT model, version, role, format, xgboost_version, objective, booster, trees, max_depth, outputs,
	   features, feature_names, categories, missing, best_iteration, used_rounds, card, note,
	   registered_by = session_user AS by_me
FROM risk.model_versions_info;
SELECT i.artifact_sha256 = encode(sha256(artifact), 'hex') AND artifact_bytes = length(artifact)
	   AND i.image_sha256 = encode(sha256(image), 'hex') AND image_bytes = length(image) AS described
FROM risk.model_versions_info AS i JOIN risk.model_versions USING (version_id);

-- names and categories given at registration
SELECT 1 FROM risk.register_model('card_fraud', 'named', toy_model('{a,b}', '[[0, 100, 1, -1, 2], [1, 6, 0, 0.5, -0.5]]'),
	feature_names => '{amount,hour}');
SELECT feature_names FROM risk.model_versions_info WHERE version = 'named';
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, 1, 1, -1, 2]]'), feature_names => '{amount}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, 1, 1, -1, 2]]'), feature_names => '{amount,amount}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, 1, 1, -1, 2]]'), feature_names => '{amount,NULL}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,a}', '[[0, 1, 1, -1, 2]]'));
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,""}', '[[0, 1, 1, -1, 2]]'));
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '{"b": ["x"]}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '{"a": "x"}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '{"a": ["x", 1]}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '{"a": ["x", "x"]}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '{"a": [1.5]}');
SELECT risk.register_model('card_fraud', 'x', toy_model('{a,b}', '[[0, [1], 1, -1, 2]]'), categories => '[]');

-- best iteration
SELECT risk.register_model('card_fraud', 'best', toy_model('{a}', '[[0, 1, 1, -1, 2], [0, 1, 1, 4, 8]]'), use_best_iteration => true);
SELECT 1 FROM risk.register_model('card_fraud', 'best',
	toy_model('{a}', '[[0, 1, 1, -1, 2], [0, 1, 1, 4, 8]]', attributes => '{"best_iteration": "0"}'), use_best_iteration => true);
SELECT 1 FROM risk.register_model('card_fraud', 'all',
	toy_model('{a}', '[[0, 1, 1, -1, 2], [0, 1, 1, 4, 8]]', attributes => '{"best_iteration": "0"}'));
SELECT risk.score_margin('card_fraud', '{0}'::real[], 'best'), risk.score_margin('card_fraud', '{0}'::real[], 'all');

-- immutable
UPDATE risk.model_versions SET note = 'changed';

-- dropping
SELECT risk.drop_version('card_fraud', 'v1');
SELECT risk.drop_version('card_fraud', 'none');
SELECT risk.drop_version('card_fraud', 'named');
SELECT risk.score_transaction('card_fraud', '{"amount": 1, "hour": 1}'::jsonb, version => 'named');
SELECT risk.alter_model('card_fraud', event_time => 'at', positive_class => 0);
SELECT event_time, positive_class, entity_id FROM risk.models;
SELECT risk.alter_model('none');
SELECT risk.drop_model('none');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT risk.drop_model('card_fraud');
ROLLBACK;
SELECT risk.drop_model('card_fraud');
SELECT count(*) FROM risk.model_versions;

-- gone with the extension, back with it
DROP EXTENSION pg_risk;
SELECT risk.score_transaction('card_fraud', '{"amount": 1, "hour": 1}'::jsonb);
CREATE EXTENSION pg_risk;
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{a}', '[[0, 1, 1, -7, 7]]'));
SELECT risk.promote('m', 'v1');
SELECT risk.score_margin('m', '{0}'::real[]);
DROP EXTENSION pg_risk;
CREATE EXTENSION pg_risk;
SELECT risk.create_model('m');
SELECT 1 FROM risk.register_model('m', 'v1', toy_model('{a}', '[[0, 1, 1, -9, 9]]'));
SELECT risk.promote('m', 'v1');
SELECT risk.score_margin('m', '{0}'::real[]);
SELECT risk.drop_model('m');
