-- ---------------------------------------------------------------------------
-- What the worker of the database does from time to time.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.worker_round() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	next_rollout timestamptz;
	logs CONSTANT boolean := EXISTS (SELECT FROM risk.model_definitions AS d WHERE d.log <> 'off');
BEGIN
	IF logs THEN
		PERFORM risk.maintain_predictions();
	END IF;
	PERFORM risk.check_queue();
	-- One in a transaction: what it locks must not wait for another one's gates.
	next_rollout := risk.run_rollouts(at_most => 1);
	RETURN least(next_rollout, CASE WHEN logs THEN risk.clock() + interval '10 minutes' END);
END $$;
COMMENT ON FUNCTION risk.worker_round() IS
	'For the worker: partitions, alerts, rollouts that are due; returns when there is something to do again, NULL: nothing is known of';
