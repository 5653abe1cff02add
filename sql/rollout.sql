-- Moves of versions between roles: what each does, when it is refused, what the history says
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SET pg_risk.clock = '2046-01-01 12:00:00+00';
SELECT risk.create_model('m', log => 'sometimes');
SELECT risk.create_model('m', event_time => 'at');
SELECT 1 FROM generate_series(1, 5) AS i, risk.register_model('m', 'v' || i, toy_model('{a}', format('[[0, 0, 1, -%s, %s]]', i, i)::jsonb, 'reg:squarederror', base_score => '0'));
CREATE FUNCTION tick(passed interval DEFAULT '1 hour') RETURNS text LANGUAGE sql AS $$ SELECT set_config('pg_risk.clock', (risk.clock() + passed)::text, false) $$;
CREATE VIEW history AS
	SELECT to_char(at, 'DD HH24:MI') AS at, action, version, from_role || ' ' || from_percent AS was, to_role || ' ' || to_percent AS "is", paused,
		   rollout_id - (SELECT min(rollout_id) FROM risk.rollout_history WHERE model = 'm') AS rollout, done_by = session_user AS by_me, reason, forced, gates
	FROM risk.rollout_history WHERE model = 'm' ORDER BY event_id;

-- refused before there is a champion
SELECT risk.start_shadow('m', 'v1');
SELECT risk.start_canary('m', 'v1', 5);
SELECT risk.rollback('m');
SELECT risk.abort('m');
SELECT risk.pause('m', 'v1');
SELECT risk.promote('m', 'v1', force => true);
SELECT risk.promote('m', 'v1', force => true, reason => E' \n');
SELECT risk.promote('m', 'v1');
SELECT risk.promote('m', 'v1');

-- what a canary and a shadow need
SELECT tick();
SELECT risk.start_shadow('m', 'v2');
SELECT risk.alter_model('m', log => 'queued');
SELECT risk.start_canary('m', 'v2', 5);
SELECT risk.alter_model('m', entity_id => 'id');
SELECT risk.start_shadow('m', 'v2', 0);
SELECT risk.start_shadow('m', 'v2', 'NaN');
SELECT risk.start_canary('m', 'v2', 101);
SELECT risk.start_canary('m', 'v2', NULL);
SELECT risk.start_canary('m', 'v2', 5, step_interval => '0');
SELECT risk.start_canary('m', 'v2', 5, failure_limit => 0);
SELECT risk.start_rollout('m', 'v2', steps => '{}');
SELECT risk.start_rollout('m', 'v2', steps => '{5,5}');
SELECT risk.start_rollout('m', 'v2', steps => '{0,5}');
SELECT risk.start_rollout('m', 'v2', steps => '{5,NULL,10}');
SELECT risk.start_rollout('m', 'v2', steps => '{5,101}');
SELECT risk.start_rollout('m', 'v2', steps => '{{1,5},{25,100}}');
SELECT risk.start_rollout('m', 'v2', step_interval => '2 years');
SELECT risk.start_rollout('m', 'v2', initial_delay => '2 years');
SELECT risk.start_rollout('m', 'v2', initial_delay => '-1 s');
SELECT risk.start_rollout('m', 'v2', consecutive_success_limit => 0);
SELECT risk.start_rollout('m', 'v2');
SELECT risk.start_shadow('m', 'none');
SELECT risk.start_shadow('none', 'v2');
SELECT risk.set_canary('m', 5);
SELECT risk.set_canary('none', 5);
SELECT risk.pause('m');
SELECT risk.resume('none');
SELECT count(*) FROM risk.model_roles;

-- shadows
SELECT risk.start_shadow('m', 'v2', 50);
SELECT risk.start_shadow('m', 'v2');
SELECT risk.start_shadow('m', 'v1');
SELECT risk.start_shadow('m', 'v3');
SELECT risk.alter_model('m', log => 'off');
SELECT risk.pause('m');
SELECT tick();
SELECT risk.pause('m', 'v3', 'too slow');
SELECT risk.pause('m', 'v3');
SELECT risk.resume('m', 'v2');
SELECT risk.pause('m', 'v1');
SELECT risk.abort('m', 'v4');

-- a canary, from the shadow; one at a time
SELECT tick();
SELECT risk.start_canary('m', 'v3', 1);
SELECT risk.start_canary('m', 'v3', 1);
SELECT risk.start_canary('m', 'v2', 1);
SELECT risk.start_shadow('m', 'v3');
SELECT risk.alter_model('m', reset => '{entity_id}');
SELECT risk.alter_model('m', entity_id => 'account');
SELECT risk.alter_model('m', entity_id => 'id');
SELECT risk.set_canary('m', 5);
SELECT risk.set_canary('m', 5);
SELECT risk.set_canary('m', 101);
SELECT tick();
SELECT risk.pause('m', reason => 'lunch');
SELECT model, champion, canary, canary_percent, shadows FROM risk.models;
SELECT version, role, percent, paused FROM risk.model_versions_info ORDER BY version;
SELECT model, version, percent, step, steps, status, paused_by = session_user AS paused_by_me, next_evaluation, gates FROM risk.rollout_status;
SELECT risk.resume('m');
SELECT risk.resume('m');
SELECT risk.drop_version('m', 'v3');
SELECT risk.retire('m', 'v3');
SELECT risk.abort('m', reason => 'not today');
SELECT risk.abort('m');
SELECT risk.abort('m');
SELECT * FROM history;

-- last known good: v1, v2, v3 in turn; what was rolled back is not returned to
SELECT tick();
SELECT risk.promote('m', 'v2'), tick();
SELECT risk.promote('m', 'v3'), tick();
SELECT risk.rollback('m', 'v3 declines everybody'), tick();
SELECT risk.rollback('m'), tick();
SELECT risk.rollback('m');
SELECT risk.promote('m', 'v3'), tick();
SELECT risk.promote('m', 'v4'), tick();
SELECT risk.rollback('m'), tick();
SELECT risk.rollback('m');
SELECT risk.promote('m', 'v5');
SELECT risk.start_canary('m', 'v3', 10), tick();
SELECT risk.rollback('m');
SELECT at, action, version, was, "is", reason FROM history WHERE at >= '01 17:00';
SELECT rollout_id - min(rollout_id) OVER () AS rollout, version, status, paused_by, started_at, ended_at FROM risk.rollouts WHERE model = 'm' ORDER BY 1;

-- retired and dropped versions are not returned to either
SELECT risk.abort('m'), risk.promote('m', 'v4'), risk.promote('m', 'v5');
SELECT risk.retire('m', 'v4');
SELECT risk.retire('m', 'v4');
SELECT risk.retire('m', 'v5');
SELECT risk.unretire('m', 'v1');
SELECT risk.promote('m', 'v4');
SELECT risk.start_shadow('m', 'v4');
SELECT risk.start_canary('m', 'v4', 1);
SELECT risk.score_transaction('m', '{1}'::real[], version => 'v4');
SELECT version, retired_at FROM risk.model_versions_info WHERE retired_at IS NOT NULL ORDER BY 1;
SELECT risk.rollback('m');
SELECT risk.unretire('m', 'v4');
SELECT risk.drop_version('m', 'v4');
SELECT risk.rollback('m');

-- retiring frees memory: of the image that no other version has
SELECT 1 FROM risk.register_model('m', 'twin', toy_model('{a}', '[[0, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT risk.score_transaction('m', '{1}'::real[], 'v1'), risk.score_transaction('m', '{1}'::real[], 'v2');
SELECT risk.promote('m', 'v5');
SELECT risk.retire('m', 'v1');
SELECT count(*) FROM risk.cached_models WHERE version = 'v1';
SELECT risk.retire('m', 'twin');
SELECT count(*) FROM risk.cached_models WHERE version IN ('v1', 'twin');
BEGIN;
SELECT risk.score_transaction('m', '{1}'::real[], 'v2'), risk.evict_image(image_sha256) AS evicted_in_use FROM risk.model_versions WHERE version = 'v2';
ROLLBACK;
SELECT risk.evict_image('\x00');

-- moves that are rolled back never were
SELECT count(*) AS events FROM risk.rollout_history \gset
BEGIN;
SELECT risk.start_canary('m', 'v2', 50);
SAVEPOINT s;
SELECT risk.promote('m', 'v2');
ROLLBACK TO s;
SELECT canary, canary_percent FROM risk.models;
ROLLBACK;
SELECT champion, canary FROM risk.models;
SELECT count(*) - :events AS events FROM risk.rollout_history;
BEGIN READ ONLY;
SELECT risk.rollback('m');
ROLLBACK;

-- what was live when
SELECT * FROM risk.route_as_of('m', '2046-01-01 11:59:59+00');
SELECT * FROM risk.route_as_of('m', '2046-01-01 12:00:00+00');
SELECT * FROM risk.route_as_of('m', '2046-01-01 14:30:00+00');
SELECT * FROM risk.route_as_of('m', '2046-01-01 15:30:00+00');
SELECT * FROM risk.route_as_of('m', '2046-01-01 17:30:00+00');
SELECT * FROM risk.route_as_of('none', '2046-01-01 17:30:00+00');
-- at every moment of the history the route has one champion; now it is the roles
SELECT count(*) FILTER (WHERE r.champions <> 1) AS wrong
FROM (SELECT DISTINCT at FROM risk.rollout_history WHERE model = 'm') AS h, LATERAL (SELECT count(*) FILTER (WHERE role = 'champion') AS champions FROM risk.route_as_of('m', h.at)) AS r;
SELECT risk.start_shadow('m', 'v3', 12.5), risk.start_canary('m', 'v2', 33), risk.pause('m');
SELECT count(*) FROM (
	(SELECT role, version, percent, paused, since FROM risk.route_as_of('m', risk.clock())
	 EXCEPT SELECT role, version, percent, paused, since FROM risk.model_roles JOIN risk.model_versions USING (version_id))
	UNION ALL
	(SELECT role, version, percent, paused, since FROM risk.model_roles JOIN risk.model_versions USING (version_id)
	 EXCEPT SELECT role, version, percent, paused, since FROM risk.route_as_of('m', risk.clock()))) AS different;

-- a canary's entities: raising the percentage only adds, each start draws anew, a pause keeps them
CREATE VIEW chosen AS
	SELECT e FROM risk.model_roles AS r, generate_series(1, 10000) AS e
	WHERE r.role = 'canary' AND risk.entity_percent(e::text, r.salt) < r.percent;
CREATE TABLE before AS SELECT e FROM chosen;
SELECT risk.resume('m');
SELECT count(*) BETWEEN 3050 AND 3550 AS a_third, bool_and(e IN (SELECT e FROM before)) AND count(*) = (SELECT count(*) FROM before) AS same FROM chosen;
CREATE TABLE growth (percent float8, chosen bigint, lost bigint);
DO $$
BEGIN
	FOR p IN 34 .. 100 BY 3 LOOP
		PERFORM risk.set_canary('m', p);
		INSERT INTO growth SELECT p, count(*), (SELECT count(*) FROM before WHERE e NOT IN (SELECT e FROM chosen)) FROM chosen;
		TRUNCATE before;
		INSERT INTO before SELECT e FROM chosen;
	END LOOP;
END $$;
SELECT sum(lost) AS lost, bool_and(abs(chosen - percent * 100) < 250) AS as_many_as_asked, max(chosen) FROM growth;
SELECT risk.set_canary('m', 33);
DELETE FROM before;
INSERT INTO before SELECT e FROM chosen;
SELECT risk.abort('m', 'v2'), risk.start_canary('m', 'v2', 33);
SELECT count(*) BETWEEN 800 AND 1400 AS drawn_anew FROM chosen JOIN before USING (e);
SELECT count(DISTINCT salt) = count(*) AS salts_differ FROM risk.model_roles WHERE role <> 'champion';

-- dropping the model ends what it had; the history stays, and a new model of that name begins without it
SELECT risk.drop_model('m');
SELECT count(*) FROM risk.route_as_of('m', risk.clock());
SELECT action, version, was, "is" FROM history WHERE action = 'drop_model';
SELECT count(*) AS open FROM risk.rollouts WHERE ended_at IS NULL;
SELECT risk.create_model('m');
SELECT risk.rollback('m');

-- settings: each can be changed and put back, and says what it must be
CREATE FUNCTION refusal(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE 'SELECT risk.alter_model(''m'', ' || call || ')';
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN format('%s: %s | %s', SQLSTATE, SQLERRM, hint);
END $$;
\pset format unaligned
\pset tuples_only on
SELECT refusal('positive_class => -1');
SELECT refusal('cohorts => ''{a,NULL}''');
SELECT refusal('log => ''on''');
SELECT refusal('log_percent => 101');
SELECT refusal('log_features => ''all''');
SELECT refusal('on_missing => ''ignore''');
SELECT refusal('on_missing => ''fallback''');
SELECT refusal('fallback_score => ''NaN''');
SELECT refusal('decision_threshold => ''NaN''');
SELECT refusal('review_capacity => 0');
SELECT refusal('review_capacity => ''NaN''');
SELECT refusal('review_cost => -1');
SELECT refusal('review_cost => ''NaN''');
SELECT refusal('label_maturity => ''-1 day''');
SELECT refusal('label_maturity => ''101 years''');
SELECT refusal('unlabeled => ''honest''');
SELECT refusal('bands => ''{}''');
SELECT refusal('bands => ''[0.5]''');
SELECT refusal('bands => ''{"approve": "0"}''');
SELECT refusal('bands => ''{"approve": 0.5, "decline": 0.50}''');
SELECT refusal('reset => ''{model}''');
SELECT refusal('log => ''queued'', log_percent => 10, log_features => ''hash'', on_missing => ''fallback'', fallback_score => 0.5, bands => ''{"approve": 0, "decline": 0.9}'', cohorts => ''{a,b}'',
	decision_threshold => 0.25, review_capacity => 10, review_cost => 2, label_maturity => ''1 day'', unlabeled => ''negative'', entity_id => ''e'', event_time => ''t'', positive_class => 1');
SELECT to_jsonb(m) - '{created_at,created_by,champion,champion_since,versions}'::text[] FROM risk.models AS m;
SELECT refusal('reset => ''{fallback_score}''');
SELECT refusal('on_missing => ''error'', reset => ''{fallback_score,fallback_score}''');
SELECT refusal('reset => ''{entity_id,event_time,cohorts,positive_class,log,log_percent,log_features,on_missing,bands,decision_threshold,review_capacity,review_cost,label_maturity,unlabeled}''');
SELECT to_jsonb(m) - '{created_at,created_by,champion,champion_since,versions}'::text[] FROM risk.models AS m;
\pset format aligned
\pset tuples_only off
-- who changed what
SELECT risk.alter_model('m', decision_threshold => 0.1);
SELECT risk.alter_model('m', decision_threshold => 0.1);
SELECT at = risk.clock() AS now, done_by = session_user AS by_me, what, before, after FROM risk.setting_history WHERE model = 'm' ORDER BY event_id DESC LIMIT 2;
SELECT count(*) AS settings_that_are_not_recorded FROM information_schema.columns WHERE table_schema = 'risk' AND table_name = 'model_definitions'
AND column_name NOT IN ('model', 'created_by', 'created_at', 'moved_at') AND column_name NOT IN (
	SELECT event_object_column FROM information_schema.triggered_update_columns WHERE event_object_table = 'model_definitions' AND trigger_name = 'history');
SELECT risk.drop_model('m');
SELECT what, before ->> 'decision_threshold' AS before, after FROM risk.setting_history WHERE model = 'm' ORDER BY event_id DESC LIMIT 1;

-- the history is only added to by moves, and says no more than happened
SELECT count(*) AS wrong FROM (
	SELECT from_role, from_percent, lag(to_role) OVER w AS was_role, lag(to_percent) OVER w AS was_percent
	FROM risk.rollout_history WINDOW w AS (PARTITION BY version_id ORDER BY event_id)) AS h
WHERE from_role IS DISTINCT FROM was_role OR from_percent IS DISTINCT FROM was_percent;
DROP FUNCTION refusal, tick;
DROP VIEW history, chosen;
DROP TABLE before, growth;
RESET pg_risk.clock;
RESET timezone;
RESET datestyle;
RESET intervalstyle;
