-- Measures of a challenger beside the champion, against plain SQL that counts; labels; the report
\set SHOW_CONTEXT never
SET pg_risk.clock = '2046-05-01 00:00:00+00';
SELECT risk.create_model('y', entity_id => 'id', cohorts => '{country}');
SELECT 1 FROM risk.register_model('y', 'v1', toy_model('{a}', '[[0, 0, 1, -1, 1]]', 'reg:squarederror', base_score => '0'));
SELECT 1 FROM risk.register_model('y', 'v2', toy_model('{a}', '[[0, 0, 1, -2, 2]]', 'reg:squarederror', base_score => '0'));
SELECT risk.promote('y', 'v1');
SET pg_risk.clock = '2046-05-20 00:00:00+00';
SELECT risk.alter_model('y', decision_threshold => 0.7, review_capacity => 100, review_cost => 0.25);
SELECT * FROM risk.canary_report('y', 'v2') WHERE metric IN ('pairs', 'auc', 'psi');

-- 997 pairs with ties, 3 errors; half of the labels known
CREATE TABLE pairs AS
	SELECT i AS id, (i * 37 % 101) / 100.0::float8 AS champion, (i * 53 % 89) / 88.0::float8 AS score,
		   CASE WHEN i % 2 = 0 THEN (i * 37 % 101) + (i * 53 % 89) + (i * 7 % 60) > 150 END AS label,
		   (i % 13)::numeric AS amount, CASE WHEN i % 3 = 0 THEN 'FR' ELSE 'DE' END AS country
	FROM generate_series(1, 997) AS i;
INSERT INTO risk.predictions (model, entity_id, event_time, scored_at, version, role, score, champion_version, champion_score,
							  latency_us, champion_latency_us, missing_share, cohort, source, error)
	SELECT 'y', id::text, '2046-05-01 00:00+00'::timestamptz, '2046-05-01 00:00+00'::timestamptz + id * interval '1 s', 'v2', 'shadow',
		   score, 'v1', champion, id % 50, id % 40, 0.25, jsonb_build_object('country', country), 'trigger', NULL FROM pairs
	UNION ALL
	SELECT 'y', 'e' || i, NULL, '2046-05-01 00:00+00', 'v2', 'shadow', NULL, 'v1', 0.5, NULL, 1, 0.25, NULL, 'trigger', 'no' FROM generate_series(1, 3) AS i;
INSERT INTO risk.labels (entity_id, label, label_time, amount)
	SELECT id::text, label, '2046-05-02 00:00+00', amount FROM pairs WHERE label IS NOT NULL;
CREATE VIEW m AS SELECT x.* FROM risk.measure('y', 'v2', '2046-05-01 00:00+00', '2046-05-19 00:00+00') AS x;

-- what is counted
SELECT transactions, pairs, errors, error_rate, null_rate, labelled = (SELECT count(label) FROM pairs) AS labelled,
	   positives = (SELECT count(*) FROM pairs WHERE label) AS positives,
	   decision_flips = (SELECT count(*) FROM pairs WHERE (champion >= 0.7) <> (score >= 0.7)) AS flips,
	   abs(mean_shift - (SELECT avg(score - champion) FROM pairs)) < 1e-12 AS shift,
	   flagged_per_1000 = (SELECT 1000.0::float8 * count(*) FILTER (WHERE score >= 0.7) / count(*) FROM pairs) AS flagged
FROM m;
SELECT count(*) AS quantiles_that_differ
FROM m, LATERAL (VALUES (0.01, score_p01, champion_score_p01), (0.25, score_p25, champion_score_p25), (0.5, score_p50, champion_score_p50),
	(0.95, score_p95, champion_score_p95), (0.99, score_p99, champion_score_p99)) AS q (f, s, c)
WHERE abs(s - (SELECT percentile_cont(f) WITHIN GROUP (ORDER BY score) FROM pairs)) > 1e-12
   OR abs(c - (SELECT percentile_cont(f) WITHIN GROUP (ORDER BY champion) FROM pairs)) > 1e-12;
-- KS: the greatest distance of the two distribution functions
SELECT abs(ks - (SELECT max(abs((SELECT count(*) FROM pairs WHERE score <= v) - (SELECT count(*) FROM pairs WHERE champion <= v))) / 997.0
				 FROM (SELECT score FROM pairs UNION SELECT champion FROM pairs) AS u (v))) < 1e-12 AS ks FROM m;
-- AUC: pairs of a positive and a negative in the right order, ties half
CREATE VIEW areas AS SELECT
	(SELECT avg(CASE WHEN p.score > n.score THEN 1 WHEN p.score = n.score THEN 0.5 ELSE 0 END) FROM pairs p, pairs n WHERE p.label AND NOT n.label) AS challenger,
	(SELECT avg(CASE WHEN p.champion > n.champion THEN 1 WHEN p.champion = n.champion THEN 0.5 ELSE 0 END) FROM pairs p, pairs n WHERE p.label AND NOT n.label) AS champion;
SELECT abs(auc - a.challenger) < 1e-12 AS auc, abs(champion_auc - a.champion) < 1e-12 AS champion_auc,
	   abs(auc_difference - (a.challenger - a.champion)) < 1e-12 AS difference,
	   auc_difference BETWEEN auc_difference_low AND auc_difference_high AS inside FROM m, areas AS a;
-- DeLong's variance by its definition: placements of each positive and each negative, their covariances
WITH positive AS (
	SELECT (SELECT avg(CASE WHEN p.score > n.score THEN 1 WHEN p.score = n.score THEN 0.5 ELSE 0 END) FROM pairs n WHERE NOT n.label)
		   - (SELECT avg(CASE WHEN p.champion > n.champion THEN 1 WHEN p.champion = n.champion THEN 0.5 ELSE 0 END) FROM pairs n WHERE NOT n.label) AS d
	FROM pairs p WHERE p.label
), negative AS (
	SELECT (SELECT avg(CASE WHEN p.score > n.score THEN 1 WHEN p.score = n.score THEN 0.5 ELSE 0 END) FROM pairs p WHERE p.label)
		   - (SELECT avg(CASE WHEN p.champion > n.champion THEN 1 WHEN p.champion = n.champion THEN 0.5 ELSE 0 END) FROM pairs p WHERE p.label) AS d
	FROM pairs n WHERE NOT n.label
), e AS (
	SELECT sqrt((SELECT var_samp(d) / count(*) FROM positive) + (SELECT var_samp(d) / count(*) FROM negative)) AS error
)
SELECT abs(auc_difference_high - auc_difference_low - 2 * 1.959963984540054 * error) < 1e-9 AS delong FROM m, e;
-- average precision: precision at each distinct score, weighted by what it adds to recall
SELECT abs(average_precision - (
	SELECT sum(hits / (SELECT count(*) FROM pairs WHERE label)::float8 * tp / flagged) FROM (
		SELECT count(*) FILTER (WHERE label) AS hits,
			   (sum(count(*) FILTER (WHERE label)) OVER w)::float8 AS tp, (sum(count(*)) OVER w)::float8 AS flagged
		FROM pairs WHERE label IS NOT NULL GROUP BY score WINDOW w AS (ORDER BY score DESC)) AS s)) < 1e-12 AS average_precision FROM m;
-- at the threshold
SELECT abs(precision - s.tp / (s.tp + s.fp)) < 1e-12 AS precision, abs(recall - s.tp / s.p) < 1e-12 AS recall,
	   abs(false_positives_per_1000 - 1000 * s.fp / s.n) < 1e-9 AS false_positives,
	   abs(expected_loss - 1000 * (s.missed + 0.25 * s.fp) / s.n) < 1e-9 AS loss
FROM m, (SELECT count(*) FILTER (WHERE label AND score >= 0.7)::float8 AS tp, count(*) FILTER (WHERE NOT label AND score >= 0.7)::float8 AS fp,
				count(*) FILTER (WHERE label)::float8 AS p, count(label)::float8 AS n,
				(sum(amount) FILTER (WHERE label AND score < 0.7))::float8 AS missed FROM pairs) AS s;
-- a cohort is its own rows
SELECT x.pairs = (SELECT count(*) FROM pairs WHERE country = 'FR') AS pairs,
	   abs(x.score_mean - (SELECT avg(score) FROM pairs WHERE country = 'FR')) < 1e-12 AS mean
FROM risk.measure('y', 'v2', '2046-05-01 00:00+00', '2046-05-19 00:00+00', '{"country": "FR"}') AS x;
-- the same scores: nothing has shifted
SELECT risk.start_shadow('y', 'v2');
SELECT risk.alter_model('y', log => 'queued');
SELECT risk.start_shadow('y', 'v2');
UPDATE risk.predictions SET score = champion_score WHERE model = 'y';
SELECT psi, ks, ks_p, decision_flips, mcnemar_p, auc_difference, auc_difference_low, auc_difference_high, mean_shift FROM m;
-- classes that are quite apart, either way round: an area, no interval; infinite scores have no mean shift
SELECT m.auc, m.auc_low, m.champion_auc, m.champion_auc_low, m.champion_auc_high, m.auc_difference, m.auc_difference_p,
	   m.mean_shift, m.score_p25, m.score_p50, m.ks, m.expected_loss, m.expected_loss_difference
FROM (SELECT (risk.measure_pairs(s, c, NULL, NULL, NULL, l, NULL, 0.5, NULL, 0.25)).*
	  FROM (VALUES ('-Infinity'::float8, 0.9, false), (0.2, 0.8, false), (0.6, 0.4, true), (0.8, 0.1, true)) AS v (s, c, l)) AS m;

-- labels: not before they are mature, none from the future; the latest holds, true of equally late ones
SELECT labelled FROM risk.measure('y', 'v2', '2046-05-01 00:00+00', '2046-05-19 00:00+00', as_of => '2046-05-07 23:59+00');
SELECT labelled FROM risk.measure('y', 'v2', '2046-05-01 00:00+00', '2046-05-19 00:00+00', as_of => '2046-05-01 12:00+00');
INSERT INTO risk.labels (entity_id, label, label_time) VALUES ('2', true, '2046-05-03'), ('2', false, '2046-05-04'), ('4', true, '2046-05-05'), ('4', false, '2046-05-05');
SELECT entity_id, label FROM risk.current_labels WHERE entity_id IN ('2', '4') ORDER BY 1;
SELECT risk.alter_model('y', unlabeled => 'negative');
SELECT labelled, pairs FROM m;
CREATE VIEW chargebacks AS SELECT id AS entity_id, 1 AS label, '2046-05-06 00:00+00'::timestamptz AS label_time FROM pairs WHERE id <= 10;
SELECT risk.load_labels('chargebacks'), risk.load_labels('chargebacks');
SELECT risk.load_labels('pairs');

-- somebody else's score
INSERT INTO risk.predictions (model, entity_id, event_time, scored_at, version, role, score, champion_version, champion_score, source)
	VALUES ('y', '5', '2046-05-01 00:00+00', '2046-05-01 00:30+00', 'v1', 'champion', 0.125, 'v1', 0.125, 'trigger');
SELECT risk.log_external_prediction('y', '5', 'vendor', 0.9, event_time => '2046-05-01 00:00+00', scored_at => '2046-05-01 01:00+00');
SELECT version, role, score, champion_version, champion_score FROM risk.paired_predictions WHERE role = 'external';
SELECT risk.log_external_prediction('y', '5', 'v2', 0.9);
SELECT risk.log_external_prediction('y', '5', 'vendor', 'NaN');
SELECT risk.log_external_prediction('nope', '5', 'vendor', 1);

SELECT section, count(*) FROM risk.canary_report('y', 'v2') GROUP BY section ORDER BY section;
SELECT cohort, champion, challenger FROM risk.canary_report('y', 'v2', since => '2046-05-01 00:00+00', by_cohort => 'country') WHERE metric = 'pairs' ORDER BY 1;
SELECT * FROM risk.canary_report('y', 'v2', by_cohort => 'planet');
SELECT risk.alter_model('y', reset => '{cohorts}');
SELECT count(*) > 0 AS reported FROM risk.canary_report('y', 'v2');    -- a model without cohorts
SELECT * FROM risk.canary_report('y', 'v2', by_cohort => 'country');
SELECT * FROM risk.canary_report('y', 'v9');

-- a report is of all that the version has done in its role: a pause or another share does not begin it anew
INSERT INTO risk.predictions (model, entity_id, scored_at, version, role, score, champion_version, champion_score, source)
	VALUES ('y', '7', '2046-05-20 00:30+00', 'v2', 'shadow', 0.5, 'v1', 0.5, 'trigger');
SET pg_risk.clock = '2046-05-20 01:00:00+00';
SELECT risk.pause('y', 'v2');
SELECT risk.resume('y', 'v2');
SELECT challenger FROM risk.canary_report('y', 'v2') WHERE metric = 'pairs';
-- the session does not round
SET extra_float_digits = -10;
SELECT r.challenger = (SELECT x.score_mean FROM m AS x) AS same FROM risk.canary_report('y', 'v2', '2046-05-01 00:00+00', '2046-05-19 00:00+00') AS r WHERE metric = 'score_mean';
RESET extra_float_digits;
-- labels that cannot be, and times that mean the same to everybody
\set VERBOSITY terse
INSERT INTO risk.labels (entity_id, label, amount) VALUES ('1', true, 'NaN');
INSERT INTO risk.labels (entity_id, label, amount) VALUES ('1', true, -1);
INSERT INTO risk.labels (entity_id, label, amount) VALUES ('1', true, 'Infinity');
\set VERBOSITY default
CREATE TABLE verdicts (entity_id int, label text, label_time timestamp, amount float8);
INSERT INTO verdicts VALUES (11, 'fraud', '2046-05-06 00:00', 1);
SELECT risk.load_labels('verdicts');
ALTER TABLE verdicts ALTER label TYPE int USING 2;
SELECT risk.load_labels('verdicts');
UPDATE verdicts SET label = 1, entity_id = NULL;
SELECT risk.load_labels('verdicts');
UPDATE verdicts SET entity_id = 11, label_time = NULL;
SELECT risk.load_labels('verdicts');
UPDATE verdicts SET label_time = '2046-05-06 00:00', amount = 'NaN';
SELECT risk.load_labels('verdicts');
UPDATE verdicts SET amount = 1;
SET timezone = 'Asia/Shanghai';
SELECT risk.load_labels('verdicts');
SET timezone = 'America/Lima';
SELECT risk.load_labels('verdicts');
RESET timezone;
SELECT label_time = '2046-05-06 00:00+00' AS utc FROM risk.labels WHERE entity_id = '11';
DROP TABLE verdicts;
-- external scores of days for which there are partitions
SET pg_risk.clock = '2046-05-20 00:00:00+00';
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT risk.log_external_prediction('y', '5', 'vendor', 0.9, scored_at => '-infinity');
SELECT risk.log_external_prediction('y', '5', 'vendor', 0.9, scored_at => '2046-05-21 00:00:01+00');
SELECT risk.log_external_prediction('y', '5', 'vendor', 0.9, scored_at => '2046-02-18 00:00:00+00');
RESET timezone;
RESET datestyle;
DROP VIEW m, areas, chargebacks;
DROP TABLE pairs;
SELECT risk.drop_model('y');
DELETE FROM risk.predictions WHERE model = 'y';
DELETE FROM risk.labels;
RESET pg_risk.clock;
