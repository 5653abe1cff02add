-- demo_rollout.sql: the tour of scripts/demo.sh, second part: three weeks of
-- live payments in which v2 is rolled out by gates and a bad version is rolled
-- back by them.  Expects what demo.sql left (v1 is champion; transactions with
-- the scoring trigger; incoming; by_threshold) and the psql variable steps.
--
-- Every figure is measured, so what the text says must hold whatever they are:
-- with other payments (DATA=...) v2 may well be rolled back.

\pset footer off
\pset null '-'
SET client_min_messages = warning;

\echo
\echo [10/:steps] Before anything is seen: what would be good enough? Limits, and why
-- Analysts can look at 10 payments of 1000, so a payment is flagged from the
-- lowest threshold of step 6 on at which v1 asks no more of them.
SELECT coalesce(min(threshold), 0.5) AS threshold
FROM by_threshold WHERE version = 'v1' AND alerts_per_1000 <= 10 \gset
-- The payments of the first day have come in steps 7 and 8.
SELECT date_trunc('day', min(tx_datetime)) + interval '1 day' AS first_day, clock_timestamp() AS begun FROM incoming \gset
SET pg_risk.clock = :'first_day';
\o /dev/null
\set ECHO queries
SELECT risk.alter_model('card_fraud',
	log => 'transactional',       -- the trigger logs in the transaction of the payment; queries log by way of a queue
	review_capacity => 10,        -- so many of 1000 payments can be looked at
	decision_threshold => :threshold,    -- the lowest of step 6 at which v1 flags no more than that
	label_maturity => '7 days',   -- a payment is judged when it is so old
	unlabeled => 'negative'       -- what nobody has reported by then was honest
);

CREATE FUNCTION rank_correlation(model text, version text, since timestamptz, until timestamptz) RETURNS float8
LANGUAGE sql STABLE AS $$
	SELECT corr(score_rank, champion_rank)
	FROM (SELECT rank() OVER (ORDER BY p.score) AS score_rank, rank() OVER (ORDER BY p.champion_score) AS champion_rank
		  FROM risk.paired_predictions AS p
		  WHERE p.model = $1 AND p.version = $2 AND p.scored_at >= $3 AND p.scored_at < $4
		  AND p.score IS NOT NULL AND p.champion_score IS NOT NULL) AS ranked
$$;

INSERT INTO risk.gates (model, gate, metric, comparison, relative, threshold, "window", min_samples) VALUES
	-- errors: the champion then decides, so one costs little; but one in 1000 is a mistake that somebody made
	('card_fraud', 'errors', 'error_rate', 'at_most', false, 0.001, '1 day', 100),
	-- slow: microseconds. A payment waits tens of milliseconds for the network, so one more will not be noticed; how many
	-- times the champion's it is would say little where that takes less than one
	('card_fraud', 'slow', 'latency_p99', 'at_most', false, 1000, '7 days', 1000),
	-- work: what can be looked at
	('card_fraud', 'work', 'flagged_per_1000', 'at_most', false, 10, '7 days', 5000),
	-- caught: that work must find as many frauds; of a few hundred chance may take a twentieth
	('card_fraud', 'caught', 'recall_at_capacity', 'at_least', true, 0.95, '7 days', 10000),
	-- ranking: AUC counts thresholds that nobody uses, too: a better model may lose a little, but not 0.02
	('card_fraud', 'ranking', 'auc_difference', 'at_least', false, -0.02, '7 days', 10000),
	-- flips: for the first day, when little is known: decisions that differ beyond doubt (lower end of the interval)
	('card_fraud', 'flips', 'decision_flip_rate_low', 'at_most', false, 0.02, '1 day', 100),
	-- order: a limit on psi would punish every new training, as that may move all scores; but it should order payments
	-- much as before, which a version that is given the wrong columns does not
	('card_fraud', 'order', 'public.rank_correlation(text,text,timestamptz,timestamptz)', 'at_least', false, 0.5, '1 day', 100);

INSERT INTO risk.gates (model, gate, metric, relative, threshold, "window", min_samples, dry_run) VALUES
	-- more_work: would a limit beside the champion do? A dry run is recorded, and never acted upon
	('card_fraud', 'more_work', 'flagged_per_1000', true, 1.25, '7 days', 5000, true);
\set ECHO none
\o
\echo
\echo Frauds are reported one to six days later; what has come so far:
\set ECHO queries
CREATE VIEW chargebacks AS
	SELECT * FROM (
		SELECT transaction_id AS entity_id, true AS label, 'chargeback' AS source, amount,
			   tx_datetime + (24 + transaction_id * 7919 % 120) * interval '1 hour' AS label_time
		FROM transactions WHERE is_fraud) AS reported
	WHERE label_time <= risk.clock();
SELECT risk.load_labels('chargebacks') AS new_labels;
\set ECHO none

\echo
\echo [11/:steps] A week of payments: v2 scores them in the shadow
\echo Time is made here: the payments of an hour, then what the background worker does in its rounds, and so on.
\set ECHO queries
CREATE PROCEDURE live(days integer) LANGUAGE plpgsql AS $$
DECLARE
	start timestamptz := risk.clock();
BEGIN
	FOR hour IN 1 .. 24 * days LOOP
		PERFORM set_config('pg_risk.clock', (start + hour * interval '1 hour')::text, false);
		INSERT INTO transactions
		SELECT * FROM incoming AS i
		WHERE i.tx_datetime >= risk.clock() - interval '1 hour' AND i.tx_datetime < risk.clock() ORDER BY i.tx_datetime;
		PERFORM risk.maintain_predictions(), risk.run_rollouts();
		COMMIT;
	END LOOP;
END $$;
\set ECHO none
\o /dev/null
\set ECHO queries
SELECT risk.start_shadow('card_fraud', 'v2');
CALL live(7);
\set ECHO none
\o
\echo
\echo The log; and where the two differ most:
\set ECHO queries
SELECT version, role, count(*), count(error) AS errors, round(avg(score)::numeric, 5) AS mean_score,
	   min(scored_at) AS first, max(scored_at) AS last
FROM risk.predictions GROUP BY version, role ORDER BY version;
SELECT entity_id, event_time, round(champion_score::numeric, 4) AS v1, round(score::numeric, 4) AS v2,
	   round(latency_us::numeric, 1) AS v2_us, cohort
FROM risk.paired_predictions ORDER BY abs(difference) DESC, entity_id LIMIT 5;
\set ECHO none
\echo Labels of this week have come, but none of its payments is mature yet:
\set ECHO queries
SELECT risk.load_labels('chargebacks') AS new_labels;
SELECT gate, value::real, comparison, threshold::real, samples, min_samples, result, dry_run
FROM risk.evaluate_gates('card_fraud', 'v2') ORDER BY dry_run, gate;
\set ECHO none

\echo
\echo [12/:steps] Another week: the payments of the first one are mature now
\set ECHO queries
CALL live(7);
SELECT risk.load_labels('chargebacks') AS new_labels;
\pset tuples_only on
\pset format unaligned
SELECT risk.canary_report_text('card_fraud', 'v2');
\pset format aligned
\pset tuples_only off
\echo
SELECT gate, value::real, comparison, threshold::real, samples, min_samples, result, dry_run
FROM risk.evaluate_gates('card_fraud', 'v2') ORDER BY dry_run, gate;
\set ECHO none

\echo
\echo [13/:steps] Rolling out v2: a day for each step, and nobody looks but the gates
SELECT risk.clock() AS begin, bool_and(result = 'successful' OR dry_run) AS ready
FROM risk.evaluate_gates('card_fraud', 'v2') \gset
\if :ready
\else
\echo Not all of its gates are successful. It begins all the same, to see what they make of it:
\endif
\o /dev/null
\set ECHO queries
SELECT risk.start_rollout('card_fraud', 'v2', steps => '{5,25,100}', step_interval => '1 day');
CALL live(3);
\set ECHO none
\o
\set ECHO queries
SELECT gate, to_char(evaluated_at, 'Dy DD Mon') AS evaluated, concat_ws(' ', value::real, result, CASE WHEN dry_run THEN '(dry run)' END) AS figure
FROM risk.gate_results WHERE version = 'v2' ORDER BY dry_run, gate, evaluated_at -- \crosstabview
\crosstabview
SELECT at, action, version, from_role, from_percent, to_role, to_percent, done_by
FROM risk.rollout_history WHERE at >= :'begin' ORDER BY event_id;
\set ECHO none
SELECT count(*) > 0 AS open FROM risk.rollout_status \gset
\if :open
\echo The gates have too little evidence, so the rollout stands still. It is given up here:
\o /dev/null
\set ECHO queries
SELECT risk.abort('card_fraud', reason => 'too little evidence in three days');
\set ECHO none
\o
\endif

\echo
\echo [14/:steps] A bad version goes straight into a rollout: v3 is v1, but somebody sorted the names of its features
SELECT risk.clock() AS accident \gset
\o /dev/null
\set ECHO queries
SELECT risk.register_model('card_fraud', 'v3', v.artifact, note => 'v1, names sorted by mistake',
	feature_names => (SELECT array_agg(name ORDER BY name COLLATE "C") FROM unnest(v.feature_names) AS name))
FROM risk.model_versions AS v WHERE v.version = 'v1';
SELECT risk.start_rollout('card_fraud', 'v3', steps => '{5,25,100}', step_interval => '1 day');
CALL live(2);
\set ECHO none
\o
\set ECHO queries
SELECT evaluated_at, gate, value::real, comparison, threshold::real, samples, min_samples, result
FROM risk.gate_results WHERE version = 'v3' AND NOT dry_run ORDER BY evaluated_at, gate;
SELECT at, action, version, from_role, from_percent, to_role, to_percent, done_by
FROM risk.rollout_history WHERE at >= :'accident' ORDER BY event_id;
\pset expanded on
SELECT severity, kind, version, first_at, message FROM risk.open_alerts;
\pset expanded off
\set ECHO none
\echo Who decided on the day of v3, and on the next; what was live in between, and what is live now:
\set ECHO queries
SELECT event_time::date AS day, version, role, count(*) AS decided, count(*) FILTER (WHERE score >= :threshold) AS flagged
FROM risk.predictions
WHERE scored_at > :'accident' AND (role = 'champion' OR role = 'canary' AND score IS NOT NULL)
GROUP BY day, version, role ORDER BY day, role DESC, version;
SELECT at, r.*
FROM (VALUES (timestamptz :'accident' + interval '12 hours'), (risk.clock())) AS v (at), risk.route_as_of('card_fraud', at) AS r;
\set ECHO none
SELECT count(*) > 0 AS open FROM risk.rollout_status \gset
\if :open
\echo The gates have too little evidence, so the rollout stands still. It is given up here:
\o /dev/null
\set ECHO queries
SELECT risk.abort('card_fraud', reason => 'too little evidence in two days');
\set ECHO none
\o
\endif

\echo
\echo [15/:steps] In short: who decided what, when, and by which gates
\set ECHO queries
SELECT h.at, h.version, h.action, coalesce(h.to_role, 'none') AS role_now, h.done_by,
	   string_agg(g.gate, ', ' ORDER BY g.gate) FILTER (WHERE g.result = 'successful') AS successful,
	   string_agg(g.gate, ', ' ORDER BY g.gate) FILTER (WHERE g.result = 'failed') AS failed,
	   string_agg(g.gate, ', ' ORDER BY g.gate) FILTER (WHERE g.result = 'inconclusive') AS inconclusive
FROM risk.rollout_history AS h
LEFT JOIN jsonb_to_recordset(h.gates) AS g (gate text, result text, dry_run boolean) ON NOT g.dry_run
WHERE h.at >= :'first_day' AND h.from_role IS DISTINCT FROM 'champion'
GROUP BY h.event_id ORDER BY h.event_id;
SELECT model, champion, champion_since FROM risk.models;
\set ECHO none
SELECT format('These %s payments and their rollouts took %s s here.',
	to_char(count(*), 'FM999,999,999'), round(extract(epoch FROM clock_timestamp() - :'begun'), 1))
	|| format(E'\nTo look on from there: SET pg_risk.clock = %L;', risk.clock())
FROM transactions WHERE tx_datetime >= :'first_day' \g (tuples_only format=unaligned)
