-- ---------------------------------------------------------------------------
-- Plans: what the worker makes of the gates, without anybody looking.
--
--	 all successful		a rollout that the gates paused goes on; after enough in a
--						row the next step, after the last step the promotion
--	 one inconclusive	the rollout pauses until the evidence suffices
--	 one failed			after failure_limit of them the canary is rolled back
--
-- Only gates that are blocking and no dry run count.  Somebody's own pause
-- stops everything but the rollback.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.record_gates(plan risk.rollouts, gates jsonb, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	base risk.gate_results;
	warnings CONSTANT text := risk.describe_gates(gates, 'failed', 'warning');
	errors text;
BEGIN
	base.evaluated_at := at;
	base.model := plan.model;
	base.version := plan.version;
	INSERT INTO risk.gate_results SELECT r.* FROM jsonb_populate_recordset(base, gates) AS r;
	IF warnings IS NOT NULL THEN
		PERFORM risk.raise_alert('gate_failed', 'warning', warnings, plan.model, plan.version, gates);
	END IF;
	SELECT string_agg(format('gate "%s": %s', g.gate, g.error), E'\n' ORDER BY g.gate) INTO errors
	FROM jsonb_to_recordset(gates) AS g (gate text, error text) WHERE g.error IS NOT NULL;
	IF errors IS NOT NULL THEN
		PERFORM risk.raise_alert('evaluation_error', 'warning', errors, plan.model, plan.version, gates);
	END IF;
END $$;
COMMENT ON FUNCTION risk.record_gates(risk.rollouts, jsonb, timestamptz) IS
	'Keep what an evaluation found, and raise the alerts that lead to no move';

CREATE FUNCTION risk.advance_rollout(plan risk.rollouts, event risk.rollout_history) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	next_percent float8;
BEGIN
	event.to_role := 'canary';
	event.to_percent := event.from_percent;
	IF plan.steps IS NOT NULL AND plan.successes >= plan.consecutive_success_limit THEN
		next_percent := plan.steps[plan.step + 1];
		IF next_percent IS NULL THEN
			event.action := 'promote';
			event.reason := 'the last step was successful';
			PERFORM risk.make_champion(event);
			PERFORM risk.raise_alert('promoted', 'info',
				format('version "%s" is champion of model "%s" now: its rollout was successful', plan.version, plan.model),
				plan.model, plan.version, event.gates);
			RETURN;
		END IF;
		UPDATE risk.rollouts AS o SET step = plan.step + 1, successes = 0 WHERE o.rollout_id = plan.rollout_id;
		event.action := 'raise';
		event.reason := format('step %s of %s', plan.step + 1, cardinality(plan.steps));
		event.to_percent := next_percent;
	ELSIF event.paused THEN
		event.action := 'resume';
		event.reason := 'the gates are successful';
	ELSE
		RETURN;
	END IF;
	event.paused := false;
	PERFORM risk.change_role(event);
END $$;
COMMENT ON FUNCTION risk.advance_rollout(risk.rollouts, risk.rollout_history) IS
	'After a successful evaluation: the next step, the promotion after the last one, or the end of a pause';

-- Figures may take long, so they are taken before the model is locked: an
-- emergency never waits for them.  Whoever moved it meanwhile made them stale.
CREATE FUNCTION risk.evaluate_rollout(due risk.rollouts, as_of timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	model CONSTANT text := due.model;
	last_move CONSTANT bigint := risk.last_event(due.model);
	gates CONSTANT jsonb := risk.gate_figures(due.model, due.version, as_of);
	at timestamptz;
	plan risk.rollouts;
	event risk.rollout_history;
	verdict text;
BEGIN
	-- Somebody's move is under way: next time.
	PERFORM FROM risk.model_definitions AS d WHERE d.model = model FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	at := risk.begin_move(model);
	SELECT o.* INTO plan FROM risk.rollouts AS o
	WHERE o.rollout_id = due.rollout_id AND o.ended_at IS NULL AND o.next_evaluation <= as_of
	AND last_move IS NOT DISTINCT FROM risk.last_event(model);
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	-- A plan whose gates are gone has nothing to go by.
	verdict := coalesce(risk.verdict(gates), CASE WHEN plan.steps IS NOT NULL THEN 'inconclusive' END);
	UPDATE risk.rollouts AS o
	SET next_evaluation = as_of + o.step_interval,
		failures = o.failures + CASE WHEN verdict = 'failed' THEN 1 ELSE 0 END,
		successes = CASE WHEN verdict = 'successful' AND coalesce(o.paused_by, 'pg_risk') = 'pg_risk' THEN o.successes + 1 ELSE 0 END
	WHERE o.rollout_id = plan.rollout_id RETURNING o.* INTO plan;
	PERFORM risk.record_gates(plan, gates, as_of);

	event := risk.role_event(model, plan.version_id, 'rollback', at);
	event.done_by := 'pg_risk';
	event.gates := gates;
	IF verdict = 'failed' AND plan.failures >= plan.failure_limit THEN
		event.reason := risk.describe_gates(gates, 'failed', 'blocking');
		PERFORM risk.change_role(event);
		PERFORM risk.raise_alert('rolled_back', 'critical',
			format('canary "%s" of model "%s" was rolled back: %s', plan.version, model, event.reason), model, plan.version, gates);
	ELSIF plan.paused_by <> 'pg_risk' THEN
		NULL;
	ELSIF verdict = 'inconclusive' AND plan.status = 'running' THEN
		event.action := 'pause';
		event.reason := coalesce(risk.describe_gates(gates, 'inconclusive', 'blocking'), 'there is no blocking gate');
		event.to_role := event.from_role;
		event.to_percent := event.from_percent;
		event.paused := true;
		PERFORM risk.change_role(event);
		IF plan.steps IS NOT NULL THEN
			PERFORM risk.raise_alert('inconclusive', 'warning',
				format('rollout of version "%s" of model "%s" pauses: %s', plan.version, model, event.reason), model, plan.version, gates);
		END IF;
	ELSIF verdict = 'successful' THEN
		PERFORM risk.advance_rollout(plan, event);
	END IF;
	RETURN true;
END $$;
COMMENT ON FUNCTION risk.evaluate_rollout(risk.rollouts, timestamptz) IS
	'Evaluate the gates of a model''s canary and act on them; false: somebody moves it';

CREATE FUNCTION risk.run_rollouts(as_of timestamptz DEFAULT NULL, at_most integer DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	plan risk.rollouts;
	evaluated integer := 0;
BEGIN
	PERFORM risk.require_writes();
	as_of := coalesce(as_of, risk.clock());
	FOR plan IN
		SELECT o.* FROM risk.rollouts AS o
		WHERE o.ended_at IS NULL AND o.next_evaluation <= as_of ORDER BY o.next_evaluation, o.model
	LOOP
		-- One model's trouble is not another's.
		EXIT WHEN evaluated >= at_most;
		BEGIN
			evaluated := evaluated + risk.evaluate_rollout(plan, as_of)::integer;
		EXCEPTION
			WHEN serialization_failure THEN
				RAISE;
			WHEN query_canceled OR OTHERS THEN
				at_most := CASE WHEN SQLSTATE = '57014' THEN 0 ELSE at_most END;	-- who cancels means all of it
				evaluated := evaluated + 1;
				PERFORM risk.raise_alert('evaluation_error', 'warning',
					format('gates of model "%s" could not be evaluated: %s', plan.model, CASE SQLSTATE WHEN '57014'
						THEN 'they were cancelled, or took longer than pg_risk.evaluation_timeout' ELSE SQLERRM END),
					plan.model, plan.version);
				UPDATE risk.rollouts AS o SET next_evaluation = as_of + o.step_interval WHERE o.rollout_id = plan.rollout_id;
		END;
	END LOOP;
	RETURN (SELECT min(o.next_evaluation) FROM risk.rollouts AS o WHERE o.ended_at IS NULL);
END $$;
COMMENT ON FUNCTION risk.run_rollouts(timestamptz, integer) IS
	'Evaluate the rollouts that are due and act on their gates; the worker does it. Returns when the next one is due, NULL: never. A model that somebody is moving is left for the next call. at_most: so many of them, the longest due first. Errors: 25006 read-only.';
