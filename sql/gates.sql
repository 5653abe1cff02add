-- Gates and plans: simulated rollouts end as they should, by the worker's function alone.
-- All of it is far in the future, so the worker itself finds nothing due.
\getenv abs_srcdir PG_ABS_SRCDIR
\set toy :abs_srcdir '/test/toy.sql'
\set SHOW_CONTEXT never
CREATE EXTENSION pg_risk;
\set ECHO none
\i :toy
\set ECHO all
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET pg_risk.clock = '2046-03-01 12:00:00+00';
CREATE FUNCTION tick(passed interval DEFAULT '10 minutes') RETURNS void LANGUAGE sql AS $$ SELECT set_config('pg_risk.clock', (risk.clock() + passed)::text, false) $$;
SELECT risk.create_model('m', entity_id => 'id', cohorts => '{country}', log => 'queued');
SELECT 1 FROM unnest('{first,good,shifted,slow,biased,small,late,steady}'::text[]) AS v, risk.register_model('m', v, toy_model('{a}', '[[0, 0, 1, -1, 1]]'));
SELECT risk.promote('m', 'first');

-- Ten minutes of a version's traffic, of which two thirds are of country FR:
-- its score is the champion's plus a shift, clamped; every 100th with an error.
CREATE FUNCTION traffic(challenger text, transactions int DEFAULT 600, shift float8 DEFAULT 0, fr_shift float8 DEFAULT 0, slowness float8 DEFAULT 1, errors boolean DEFAULT false)
RETURNS void LANGUAGE sql AS $$
	INSERT INTO risk.predictions (model, entity_id, scored_at, version, role, score, champion_version, champion_score, latency_us, champion_latency_us, missing_share, cohort, source, error)
	SELECT 'm', challenger || i, risk.clock() - interval '10 minutes' * (i - 0.5) / transactions, challenger, 'canary',
		   CASE WHEN failed THEN NULL ELSE least(greatest(s + shift + CASE WHEN country = 'FR' THEN fr_shift ELSE 0 END, 0), 1) END,
		   champion, s, (10 + i % 10) * slowness, 10 + i % 10, 0.25, jsonb_build_object('country', country), 'trigger', CASE WHEN failed THEN 'no' END
	FROM risk.models AS m, generate_series(1, transactions) AS i, LATERAL (
		SELECT i * 7919 % 997 / 997.0 AS s, CASE WHEN i % 3 = 0 THEN 'DE' ELSE 'FR' END AS country, errors AND i % 100 = 0 AS failed) AS t
	WHERE m.model = 'm'
$$;
-- A rollout: begin it, and let time pass with the same traffic until it ends.
CREATE FUNCTION simulate(challenger text, transactions int DEFAULT 600, shift float8 DEFAULT 0, fr_shift float8 DEFAULT 0, slowness float8 DEFAULT 1, errors boolean DEFAULT false, failure_limit int DEFAULT 1)
RETURNS TABLE (minutes float8, percent float8, step int, status text, paused_by text, successes int, failures int) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	rollout bigint;
	start timestamptz := risk.clock();
BEGIN
	PERFORM risk.start_rollout('m', challenger, steps => '{1,10,100}', consecutive_success_limit => 2, failure_limit => failure_limit);
	SELECT max(rollout_id) INTO rollout FROM risk.rollouts;
	FOR i IN 1 .. 8 LOOP
		PERFORM tick(), traffic(challenger, transactions, shift, fr_shift, slowness, errors), risk.run_rollouts();
		RETURN QUERY SELECT extract(epoch FROM risk.clock() - start)::float8 / 60, r.percent, o.step, o.status, o.paused_by, o.successes, o.failures
			FROM risk.rollouts AS o LEFT JOIN risk.model_roles AS r USING (model, version_id) WHERE o.rollout_id = rollout;
		EXIT WHEN (SELECT ended_at IS NOT NULL FROM risk.rollouts WHERE rollout_id = rollout);
	END LOOP;
END $$;

-- what a gate may be
CREATE FUNCTION refusal(metric text, relative boolean DEFAULT false, model text DEFAULT 'm') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	INSERT INTO risk.gates (model, gate, metric, threshold, relative) VALUES (model, 'g', metric, 1, relative);
	DELETE FROM risk.gates AS g WHERE g.gate = 'g';
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN format(E'%s: %s\n%s...', SQLSTATE, SQLERRM, left(hint, 80));
END $$;
CREATE FUNCTION f(text, text, timestamptz, timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$;
CREATE FUNCTION f(text, text) RETURNS float8 LANGUAGE sql AS $$ SELECT 1.0 $$;
CREATE FUNCTION numbers(text, text, timestamptz, timestamptz) RETURNS SETOF float8 LANGUAGE sql AS $$ SELECT 1.0 $$;
\pset format unaligned
\pset tuples_only on
SELECT refusal('psi');
SELECT refusal('latency_p95', relative => true);
SELECT refusal('psi', model => 'none');
SELECT refusal('gini');
SELECT refusal('champion_version');
SELECT refusal('psi', relative => true);
SELECT refusal('public.none(text,text,timestamptz,timestamptz)');
SELECT refusal('public.f(text,text,timestamptz,timestamptz)');
SELECT refusal('public.f(text,text)');
SELECT refusal('public.numbers(text,text,timestamptz,timestamptz)');
SELECT refusal('f(text');
\pset format aligned
\pset tuples_only off
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('m', 'g', 'psi', 'NaN');
INSERT INTO risk.gates (model, gate, metric, threshold, "window") VALUES ('m', 'g', 'psi', 1, '0');
CREATE FUNCTION gate_refusal(columns text, "values" text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE format('INSERT INTO risk.gates SELECT g.* FROM jsonb_populate_record(NULL::risk.gates,
		%L::jsonb || jsonb_build_object(%L, %s)) AS g', '{"gate_id": -1, "model": "m", "gate": "g", "metric": "psi", "comparison": "at_most", "relative": false,
		"threshold": 1, "window": "1 hour", "min_samples": 1, "severity": "blocking", "dry_run": false}', columns, "values");
	DELETE FROM risk.gates AS g WHERE g.gate = 'g';
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN format('%s: %s | %s', SQLSTATE, SQLERRM, hint);
END $$;
\pset format unaligned
\pset tuples_only on
SELECT gate_refusal('gate', $$''$$);
SELECT gate_refusal('metric', 'NULL::text');
SELECT gate_refusal('comparison', $$'<='$$);
SELECT gate_refusal('comparison', 'NULL::text');
SELECT gate_refusal('threshold', 'NULL::text');
SELECT gate_refusal('window', $$'-1 hour'$$);
SELECT gate_refusal('window', $$'11 years'$$);
SELECT gate_refusal('window', 'NULL::text');
SELECT gate_refusal('min_samples', '0');
SELECT gate_refusal('severity', $$'fatal'$$);
SELECT gate_refusal('cohort', $$'["FR"]'::jsonb$$);
SELECT gate_refusal('cohort', $$'{"country": 1}'::jsonb$$);
SELECT gate_refusal('cohort', $$'{"country": ["FR"]}'::jsonb$$);
SELECT gate_refusal('cohort', $$'{"country": "FR", "planet": "Mars"}'::jsonb$$);
SELECT gate_refusal('cohort', $$'{"country": null}'::jsonb$$);
SELECT gate_refusal('cohort', $$'{"country": "FR"}'::jsonb$$);
\pset format aligned
\pset tuples_only off
SELECT count(*) FROM risk.gates;
-- who changed what
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('m', 'history', 'psi', 0.1);
UPDATE risk.gates SET threshold = 0.2, dry_run = true WHERE gate = 'history';
UPDATE risk.gates SET threshold = 0.2 WHERE gate = 'history';
DELETE FROM risk.gates WHERE gate = 'history';
SELECT what, before, after FROM risk.setting_history WHERE what = 'gate "history"' ORDER BY event_id;
DROP FUNCTION f(text, text, timestamptz, timestamptz), f(text, text), numbers, gate_refusal;

INSERT INTO risk.gates (model, gate, metric, threshold, relative, "window", min_samples) VALUES
	('m', 'distribution', 'psi', 0.2, false, '10 minutes', 300),
	('m', 'latency', 'latency_p95', 1.5, true, '10 minutes', 300),
	('m', 'errors', 'error_rate', 0.005, false, '10 minutes', 300);

-- good: promoted, step by step
SELECT * FROM simulate('good');
SELECT champion, canary FROM risk.models;
SELECT at, action, version, from_role, to_role, from_percent, to_percent, done_by, reason, jsonb_array_length(gates) AS gates
FROM risk.rollout_history WHERE at >= '2046-03-01 12:10:00+00' ORDER BY event_id;
SELECT evaluated_at, gate, metric, value::real, champion_value, comparison, threshold, samples, min_samples, result, severity, dry_run
FROM risk.gate_results WHERE evaluated_at = '2046-03-01 12:10:00+00' ORDER BY gate;
SELECT count(*) FROM risk.gate_results;

-- shifted, slow, with errors: rolled back within one interval
SELECT * FROM simulate('shifted', shift => 0.3);
SELECT * FROM simulate('slow', slowness => 2);
SELECT * FROM simulate('steady', errors => true);
SELECT * FROM simulate('shifted', shift => 0.3, failure_limit => 3);
SELECT champion, canary FROM risk.models;
SELECT action, version, to_role, done_by, reason FROM risk.rollout_history WHERE action = 'rollback' ORDER BY event_id;
SELECT severity, kind, version, message, occurrences FROM risk.open_alerts WHERE model = 'm';

-- biased in one cohort: promoted where nobody looks, rolled back where a gate does
SELECT * FROM simulate('biased', fr_shift => 0.12);
SELECT risk.rollback('m');
INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples, cohort) VALUES ('m', 'distribution_fr', 'mean_shift', 0.08, '10 minutes', 300, '{"country": "FR"}');
SELECT * FROM simulate('biased', fr_shift => 0.12);
SELECT gate, value::numeric(6, 3), samples, result FROM risk.gate_results WHERE version = 'biased' AND evaluated_at = risk.clock() ORDER BY gate;

-- under-sampled: paused, never raised, never failed; goes on by itself once there is more
SELECT * FROM simulate('small', transactions => 299, shift => 0.3);
SELECT severity, kind, version, message, occurrences FROM risk.open_alerts WHERE kind = 'inconclusive';
SELECT model, version, percent, step, steps, status, paused_by, evaluated_at = risk.clock() AS evaluated_now, gates FROM risk.rollout_status;
SELECT risk.promote('m', 'small');
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT version, percent, step, status, paused_by, successes FROM risk.rollout_status;
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT version, percent, step, status, paused_by, successes FROM risk.rollout_status;
SELECT action, from_percent, to_percent, paused, done_by FROM risk.rollout_history WHERE version = 'small' ORDER BY event_id;

-- called again: nothing is due, nothing happens twice
SELECT count(*) AS results FROM risk.gate_results \gset
SELECT risk.run_rollouts() - risk.clock() AS next_in, risk.run_rollouts(risk.clock()) - risk.clock() AS and_again;
SELECT count(*) - :results AS more FROM risk.gate_results;

-- somebody's pause stops the plan, and so does a percentage set by hand; resumed, it goes on above that
SELECT risk.pause('m', reason => 'waiting for the audit');
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT percent, step, status, paused_by = session_user AS by_me, successes FROM risk.rollout_status;
SELECT risk.resume('m'), risk.set_canary('m', 0.5);
SELECT percent, step, status, paused_by = session_user AS by_me, successes FROM risk.rollout_status;
SELECT risk.resume('m');
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT percent, step, status, successes FROM risk.rollout_status;
SELECT risk.set_canary('m', 50);
SELECT percent, step, status FROM risk.rollout_status;
-- the pause of the gates can be made one's own
SELECT risk.resume('m');
SELECT tick(), risk.run_rollouts();
SELECT status, paused_by FROM risk.rollout_status;
SELECT risk.pause('m', reason => 'mine now');
SELECT tick(), traffic('small'), risk.run_rollouts();
SELECT status, paused_by = session_user AS by_me FROM risk.rollout_status;
-- a failure rolls back all the same
SELECT tick(), traffic('small', shift => 0.3), risk.run_rollouts();
SELECT version, status, failures FROM risk.rollouts ORDER BY rollout_id DESC LIMIT 1;

-- by hand: judged, not raised; promoted by the same gates; force is on record
SELECT risk.start_canary('m', 'late', 10, step_interval => '10 minutes', failure_limit => 2);
SELECT risk.promote('m', 'late');
SELECT risk.promote('m', 'late', force => true, reason => '');
SELECT tick(), traffic('late'), risk.run_rollouts();
SELECT version, percent, step, steps, status, successes, gates FROM risk.rollout_status;
SELECT tick(), traffic('late', slowness => 2), risk.run_rollouts();
SELECT status, successes, failures, gates FROM risk.rollout_status;
SELECT risk.promote('m', 'late');
SELECT risk.promote('m', 'late', force => true, reason => 'the old one is worse');
SELECT version, from_role, to_role, forced, reason, (SELECT string_agg(g ->> 'gate', ',') FROM jsonb_array_elements(gates) AS g WHERE g ->> 'result' = 'failed') AS failed
FROM risk.rollout_history ORDER BY event_id DESC LIMIT 2;
SELECT version, status FROM risk.rollouts ORDER BY rollout_id DESC LIMIT 1;

-- warnings are alerts, dry runs are records
UPDATE risk.gates SET severity = 'warning' WHERE gate = 'latency';
UPDATE risk.gates SET dry_run = true WHERE gate LIKE 'distribution%';
SELECT * FROM simulate('slow', slowness => 3, shift => 0.5);
SELECT severity, kind, version, message, occurrences FROM risk.open_alerts WHERE kind IN ('gate_failed', 'promoted') AND version = 'slow';
SELECT DISTINCT gate, result, severity, dry_run FROM risk.gate_results WHERE version = 'slow' AND evaluated_at >= risk.clock() - interval '50 minutes' ORDER BY 1;
-- with nothing but these, a plan cannot begin; one that has begun stands still
SELECT risk.start_canary('m', 'good', 5, '10 minutes');
UPDATE risk.gates SET dry_run = true;
SELECT tick(), traffic('good', shift => 0.5), risk.run_rollouts();
SELECT version, percent, status FROM risk.rollout_status;
SELECT risk.abort('m');
SELECT risk.start_rollout('m', 'good');
UPDATE risk.gates SET dry_run = false, severity = 'blocking';
SELECT risk.start_rollout('m', 'good', consecutive_success_limit => 1);
DELETE FROM risk.gates;
SELECT tick(), traffic('good'), risk.run_rollouts();
SELECT version, percent, step, status, paused_by FROM risk.rollout_status;
SELECT message FROM risk.open_alerts WHERE kind = 'inconclusive' AND version = 'good';
SELECT risk.abort('m');

-- labels: the window ends where they are mature; the sample is what is judged
SELECT risk.alter_model('m', label_maturity => '1 day');
INSERT INTO risk.gates (model, gate, metric, comparison, threshold, relative, "window", min_samples) VALUES
	('m', 'false_alarms', 'false_positives_per_1000', 'at_most', 1.1, true, '10 minutes', 100),
	('m', 'recall', 'recall', 'at_least', 0.9, false, '10 minutes', 100);
SELECT tick(), traffic('steady', shift => 0.1);
INSERT INTO risk.labels (entity_id, label, label_time)
SELECT 'steady' || i, i * 7919 % 997 / 997.0 > 0.45, risk.clock() FROM generate_series(1, 300) AS i;
SELECT gate, value, champion_value, threshold, samples, result FROM risk.evaluate_gates('m', 'steady');
SELECT gate, value::numeric(7, 2), champion_value::numeric(7, 2), threshold::numeric(7, 2), samples, result FROM risk.evaluate_gates('m', 'steady', risk.clock() + interval '1 day');
WITH t AS (SELECT p.score, p.champion_score, l.label FROM risk.predictions AS p JOIN risk.labels AS l USING (entity_id) WHERE version = 'steady' AND scored_at >= risk.clock() - interval '10 minutes')
SELECT (1000.0 * count(*) FILTER (WHERE score >= 0.5 AND NOT label) / count(*))::numeric(7, 2) AS false_alarms,
	   (1000.0 * count(*) FILTER (WHERE champion_score >= 0.5 AND NOT label) / count(*))::numeric(7, 2) AS champion_false_alarms,
	   (1.0 * count(*) FILTER (WHERE score >= 0.5 AND label) / count(*) FILTER (WHERE label))::numeric(7, 2) AS recall FROM t;
SELECT gate, samples, result FROM risk.evaluate_gates('m', 'steady', risk.clock() + interval '1 day 10 minutes');
SELECT * FROM risk.evaluate_gates('m', 'none');
DELETE FROM risk.gates;

-- functions of one's own: called as their owner, who cannot become anybody else
CREATE ROLE risk_test_owner;
CREATE ROLE risk_test_editor;
CREATE SCHEMA own;
GRANT USAGE ON SCHEMA own TO risk_test_owner, risk_test_editor;
GRANT USAGE ON SCHEMA risk TO risk_test_editor;
GRANT INSERT, SELECT ON risk.gates TO risk_test_editor;
CREATE FUNCTION own.rows(model text, version text, since timestamptz, until timestamptz) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM risk.predictions AS p WHERE p.model = $1 AND p.version = $2 AND p.scored_at >= $3 AND p.scored_at < $4 $$;
CREATE FUNCTION own.who(text, text, timestamptz, timestamptz) RETURNS numeric LANGUAGE sql AS $$ SELECT (current_user = 'risk_test_owner')::int::numeric $$;
CREATE FUNCTION own.nothing(text, text, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS $$ SELECT NULL::int $$;
CREATE FUNCTION own.broken(text, text, timestamptz, timestamptz) RETURNS float8 LANGUAGE sql AS $$ SELECT 1 / (length($1) - length($1))::float8 $$;
CREATE FUNCTION own.escalate(text, text, timestamptz, timestamptz) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RESET ROLE; RETURN 0; END $$;
CREATE FUNCTION own.steal(text, text, timestamptz, timestamptz) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN DELETE FROM risk.rollout_history; RETURN 0; END $$;
CREATE FUNCTION own.settings(text, text, timestamptz, timestamptz) RETURNS real LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('work_mem', '64kB', false); RETURN 0; END $$;
CREATE FUNCTION own.secret(text, text, timestamptz, timestamptz) RETURNS smallint LANGUAGE sql AS $$ SELECT 0::smallint $$;
REVOKE EXECUTE ON FUNCTION own.secret FROM PUBLIC;
ALTER FUNCTION own.who OWNER TO risk_test_owner;
ALTER FUNCTION own.nothing OWNER TO risk_test_owner;
ALTER FUNCTION own.broken OWNER TO risk_test_owner;
ALTER FUNCTION own.escalate OWNER TO risk_test_owner;
ALTER FUNCTION own.steal OWNER TO risk_test_owner;
ALTER FUNCTION own.settings OWNER TO risk_test_owner;
SET ROLE risk_test_editor;
INSERT INTO risk.gates (model, gate, metric, comparison, threshold, min_samples, "window")
SELECT 'm', f, format('own.%s(text,text,timestamptz,timestamptz)', f), 'at_least', 0, 1, '10 minutes'
FROM unnest('{rows,who,nothing,broken,escalate,steal,settings}'::text[]) AS f;
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('m', 'secret', 'own.secret(text,text,timestamptz,timestamptz)', 0);
-- who restores a dump is trusted, who says so is not
SET check_function_bodies = off;
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('m', 'secret', 'own.secret(text,text,timestamptz,timestamptz)', 0);
RESET check_function_bodies;
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('none', 'psi', 'psi', 0);
RESET ROLE;
SHOW work_mem;
SELECT gate, value, threshold, samples, result, error FROM risk.evaluate_gates('m', 'steady');
SELECT current_user = session_user AS still_me;
SHOW work_mem;
DROP FUNCTION own.who;
SELECT gate, result, error FROM risk.evaluate_gates('m', 'steady') WHERE gate = 'who';
-- what goes wrong in one gate is an alert, and no failure
SELECT risk.start_rollout('m', 'steady');
SELECT tick(), traffic('steady'), risk.run_rollouts();
SELECT version, percent, status, failures, gates FROM risk.rollout_status;
SELECT severity, kind, version, message FROM risk.open_alerts WHERE kind = 'evaluation_error';
SELECT risk.abort('m');
DELETE FROM risk.gates;
SET client_min_messages = warning;
DROP SCHEMA own CASCADE;
RESET client_min_messages;
DROP OWNED BY risk_test_editor;
DROP ROLE risk_test_owner, risk_test_editor;

-- one model's trouble is not another's
INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples) VALUES ('m', 'distribution', 'psi', 0.2, '10 minutes', 300);
SELECT risk.create_model('a', entity_id => 'id', log => 'queued');
SELECT 1 FROM generate_series(1, 2) AS i, risk.register_model('a', 'v' || i, toy_model('{a}', '[[0, 0, 1, -1, 1]]'));
SELECT risk.promote('a', 'v1'), risk.start_canary('a', 'v2', 5, '10 minutes');
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('a', 'distribution', 'psi', 0.2);
SELECT risk.start_canary('m', 'steady', 5, '10 minutes');
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk of model a is full'; END $$;
CREATE TRIGGER trouble BEFORE INSERT ON risk.gate_results FOR EACH ROW WHEN (NEW.model = 'a') EXECUTE FUNCTION trouble();
SELECT tick(), traffic('steady', shift => 0.5), risk.run_rollouts();
SELECT model, version, status, next_evaluation - risk.clock() AS next_in FROM risk.rollout_status;
SELECT severity, kind, model, version, message FROM risk.open_alerts WHERE kind = 'evaluation_error' AND model = 'a';
SELECT version, status FROM risk.rollouts WHERE model = 'm' ORDER BY rollout_id DESC LIMIT 1;
DROP TRIGGER trouble ON risk.gate_results;
DROP FUNCTION trouble;
BEGIN READ ONLY;
SELECT risk.run_rollouts();
ROLLBACK;

-- a name is no evidence: neither what the version of that name before has done, nor external scores
DELETE FROM risk.gates WHERE model = 'm';
INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples) VALUES ('m', 'distribution', 'psi', 0.2, '1 hour', 300);
SELECT count(*) FROM generate_series(1, 600) AS i, risk.log_external_prediction('m', 'steady' || i, 'anew', i / 600.0);
SELECT tick(), traffic('late');
SELECT gate, samples, result FROM risk.evaluate_gates('m', 'late');
SELECT risk.drop_version('m', 'late');
SELECT 1 FROM unnest('{late,anew}'::text[]) AS v, risk.register_model('m', v, toy_model('{a}', '[[0, 0, 1, 1, -1]]'));
SELECT version, gate, value, samples, result FROM unnest('{late,anew}'::text[]) AS version, risk.evaluate_gates('m', version);
SELECT transactions, since = risk.clock() - interval '1 day' AS as_asked FROM risk.measure('m', 'late', risk.clock() - interval '1 day');
SELECT count(*) FROM risk.canary_report('m', 'late') WHERE challenger > 0;
SELECT risk.promote('m', 'late');
SELECT tick(), traffic('late'), traffic('anew');
SELECT version, gate, samples, result FROM unnest('{late,anew}'::text[]) AS version, risk.evaluate_gates('m', version);
-- nor is it when the champion was another one
SELECT champion FROM risk.models WHERE model = 'm' \gset
SELECT risk.promote('m', 'steady', force => true, reason => 'to register the champion again');
SELECT risk.drop_version('m', :'champion');
SELECT 1 FROM risk.register_model('m', :'champion', toy_model('{a}', '[[0, 0, 1, 1, -1]]'));
SELECT risk.promote('m', :'champion', force => true, reason => 'to register the champion again');
SELECT gate, samples, result FROM risk.evaluate_gates('m', 'late');

-- what goes wrong in one gate is its own trouble, whatever it is
INSERT INTO risk.gates (model, gate, metric, threshold, "window", min_samples) VALUES ('m', 'long', 'psi', 0.2, '10 years', 1);
SELECT gate, samples, result, error FROM risk.evaluate_gates('m', 'good', '4713-06-01 00:00+00 BC');
DELETE FROM risk.gates WHERE model = 'm';
-- relative to a negative figure: so much more of its size; figures are not rounded by the session
INSERT INTO risk.gates (model, gate, metric, comparison, threshold, relative, "window", min_samples) VALUES
	('m', 'above', 'score_mean', 'at_most', 1.25, true, '1 minute', 1), ('m', 'below', 'score_mean', 'at_least', 0.75, true, '1 minute', 1),
	('m', 'exact', 'score_mean', 'at_least', -9.123456789012345, false, '1 minute', 1);
SELECT tick('1 day');
INSERT INTO risk.predictions (model, entity_id, scored_at, version, role, score, champion_version, champion_score, source)
SELECT 'm', '1', risk.clock() - interval '1 second', 'good', 'shadow', -9.123456789012345, champion, -8, 'query' FROM risk.models WHERE model = 'm';
SET extra_float_digits = -10;
SELECT gate, value = -9.123456789012345 AS exact, threshold, result FROM risk.evaluate_gates('m', 'good');
SELECT (g ->> 'value')::float8 = -9.123456789012345 AS exact FROM jsonb_array_elements(risk.gate_figures('m', 'good', risk.clock())) AS g WHERE g ->> 'gate' = 'exact';
RESET extra_float_digits;
DELETE FROM risk.gates WHERE model = 'm';
-- steps are a list, however its members are counted
INSERT INTO risk.gates (model, gate, metric, threshold) VALUES ('m', 'distribution', 'psi', 0.2);
SELECT risk.start_rollout('m', 'good', steps => '[0:1]={1,100}');
SELECT percent, step, steps FROM risk.rollout_status WHERE model = 'm';
SELECT risk.abort('m');

-- alerts: one open one of a kind, until somebody has seen it
SELECT risk.raise_alert('test', 'warning', 'once');
SELECT tick('1 minute');
SELECT risk.raise_alert('test', 'critical', repeat(E'\x01"'||chr(8364), 5000), occurrences => 41, details => '{"a": 1}');
SELECT kind, severity, length(message), details, occurrences, last_at - first_at AS for FROM risk.open_alerts WHERE kind = 'test';
SELECT alert_id FROM risk.open_alerts WHERE kind = 'test' \gset
SELECT risk.acknowledge_alert(:alert_id);
SELECT risk.acknowledge_alert(NULL);
SELECT acknowledged_at = risk.clock() AS now, acknowledged_by = session_user AS by_me FROM risk.alerts WHERE alert_id = :alert_id;
SELECT risk.raise_alert('test', 'info', 'anew');
SELECT kind, message, occurrences FROM risk.open_alerts WHERE kind = 'test';

-- gates go with their model
SELECT risk.drop_model('m'), risk.drop_model('a');
SELECT count(*) FROM risk.gates;
SELECT count(*) > 0 AS kept FROM risk.gate_results;
DROP FUNCTION simulate, traffic, tick, refusal, toy_model;
DROP EXTENSION pg_risk;
RESET pg_risk.clock;
RESET timezone;
RESET datestyle;
RESET intervalstyle;
