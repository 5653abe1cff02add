-- ---------------------------------------------------------------------------
-- Scoring.  STABLE: the champion is the one that the statement's snapshot
-- sees.  Not STRICT: a NULL feature is a missing value.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.score_transaction(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8 LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_transaction';
COMMENT ON FUNCTION risk.score_transaction(text, anyelement, text) IS
	'Score of a transaction (high = risky) by the model''s champion, by its canary for the canary''s entities, or by the version named. The transaction is a row, a record, jsonb, or an array in feature order; NULL and NaN are missing values. NULL transaction: NULL. Errors: 42704 no such model or version, 55000 no champion, 42703 features without a column, 42804 wrong type, 22023 bad value, 53400 cache too small.';

CREATE FUNCTION risk.score_margin(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8[] LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_margin';
COMMENT ON FUNCTION risk.score_margin(text, anyelement, text) IS
	'Margins before the objective''s transformation, one per output; arguments and errors as risk.score_transaction()';

CREATE FUNCTION risk.score_vector(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8[] LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_score_vector';
COMMENT ON FUNCTION risk.score_vector(text, anyelement, text) IS
	'All predictions after the objective''s transformation, as XGBoost returns them; arguments and errors as risk.score_transaction()';

CREATE FUNCTION risk.decide_transaction(
	model text, transaction anyelement,
	OUT version text, OUT role text, OUT score float8, OUT margin float8, OUT action text)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 500
	AS 'MODULE_PATHNAME', 'risk_decide_transaction';
COMMENT ON FUNCTION risk.decide_transaction(text, anyelement) IS
	'Who decides upon a transaction, and what: version and role (champion, canary, or fallback with no version), score, its margin, and the action of the model''s band (NULL where there are none). Logged as risk.score_transaction() is; errors likewise.';

CREATE FUNCTION risk.score_on_insert() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'risk_score_on_insert';
COMMENT ON FUNCTION risk.score_on_insert() IS
	'Trigger function: BEFORE INSERT [OR UPDATE] FOR EACH ROW EXECUTE FUNCTION risk.score_on_insert(model, score_column [, version_column [, role_column [, reasons_column, threshold [, top]]]]) fills the named columns of the new row from the row itself, '''' being none; the reasons, text[] or jsonb, where the score is threshold or more';


CREATE FUNCTION risk.clock() RETURNS timestamptz
	LANGUAGE C VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_clock';
COMMENT ON FUNCTION risk.clock() IS
	'Now, as pg_risk sees it: the machine''s clock, or what pg_risk.clock holds (for tests)';

CREATE FUNCTION risk.entity_percent(entity_id text, salt bigint) RETURNS float8
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_entity_percent';
COMMENT ON FUNCTION risk.entity_percent(text, bigint) IS
	'Where an entity stands between 0 and 100, by a stable hash: a canary with that salt decides the entities below its percentage';
