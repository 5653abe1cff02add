-- ---------------------------------------------------------------------------
-- What the worker of the database does from time to time, beside
-- risk.run_rollouts(): a transaction of its own, whose locks no gate prolongs.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.worker_upkeep() RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	logs CONSTANT boolean := EXISTS (SELECT FROM risk.model_definitions AS d WHERE d.log <> 'off');
BEGIN
	PERFORM risk.check_queue();
	PERFORM risk.sweep_tiles();
	IF logs THEN
		BEGIN
			PERFORM risk.maintain_predictions();
			PERFORM risk.expire_predictions();
		EXCEPTION WHEN OTHERS THEN
			PERFORM risk.raise_alert('upkeep_failed', 'critical', 'partitions of risk.predictions could not be looked after: ' || SQLERRM);
		END;
	END IF;
	RETURN CASE WHEN logs OR EXISTS (SELECT FROM risk.rolling_tilings) THEN risk.clock() + interval '10 minutes' END;
END $$;
COMMENT ON FUNCTION risk.worker_upkeep() IS
	'For the worker: alerts of the queue, partitions, tiles that are not needed any more; returns when there is something to do again, NULL: nothing is known of';
