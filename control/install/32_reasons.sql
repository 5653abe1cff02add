-- ---------------------------------------------------------------------------
-- Reasons: what each feature adds to a score, in the words of the model's owner.
-- ---------------------------------------------------------------------------

CREATE TABLE risk.reason_codes (
	model			text NOT NULL,
	feature			text NOT NULL CHECK (feature <> ''),
	direction		text NOT NULL CHECK (direction IN ('increases', 'decreases')),
	code			text NOT NULL CHECK (code <> ''),
	text			text NOT NULL,
	PRIMARY KEY (model, feature, direction)
);
COMMENT ON TABLE risk.reason_codes IS
	'What an analyst or an adverse-action letter is told when a feature increases or decreases a score; edited by hand, read by risk.explain_transaction()';
COMMENT ON COLUMN risk.reason_codes.feature IS
	'Name of the feature, letter case included; f0, f1, ... where versions have no names';
COMMENT ON COLUMN risk.reason_codes.direction IS
	'Whether the reason is for a feature that increases the score (its risk) or decreases it';
SELECT pg_catalog.pg_extension_config_dump('risk.reason_codes', '');

CREATE TRIGGER model BEFORE INSERT OR UPDATE ON risk.reason_codes
	FOR EACH ROW EXECUTE FUNCTION risk.check_model();
COMMENT ON TRIGGER model ON risk.reason_codes IS 'Refuses reasons of models that do not exist';

CREATE FUNCTION risk.contributions(model text, transaction anyelement, version text DEFAULT NULL)
	RETURNS float8[] LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 20000
	AS 'MODULE_PATHNAME', 'risk_contributions';
COMMENT ON FUNCTION risk.contributions(text, anyelement, text) IS
	'What each feature adds to the margin of a transaction''s score, in the order of the version''s features, and last what is expected without knowing any: exact Shapley values (XGBoost''s pred_contribs), which add up to the margin. Arguments and errors as risk.score_transaction(); 0A000 the artifact has no covers.';

CREATE FUNCTION risk.explain_transaction(
	model text, transaction anyelement, version text DEFAULT NULL, top integer DEFAULT 5)
	RETURNS TABLE (rank integer, feature text, value text, contribution float8, share float8,
				   direction text, reason_code text, reason_text text)
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 20000 ROWS 5
	AS 'MODULE_PATHNAME', 'risk_explain_transaction';
COMMENT ON FUNCTION risk.explain_transaction(text, anyelement, text, integer) IS
	'The features that add most to a transaction''s score, greatest first: value (NULL: missing), contribution to the margin, share of all contributions, direction, and the reason of risk.reason_codes. top: how many, NULL: all that add something. Other arguments and errors as risk.contributions().';

CREATE FUNCTION risk.feature_importance(model text, version text DEFAULT NULL)
RETURNS TABLE (feature text, weight bigint, gain float8, cover float8,
			   total_gain float8, total_cover float8, share float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	wanted bigint;
	chosen record;
BEGIN
	PERFORM risk.require_model(model);
	IF version IS NOT NULL THEN
		wanted := risk.version_id(model, version);
	ELSE
		SELECT r.version_id INTO wanted FROM risk.model_roles AS r
		WHERE r.model = model AND r.role = 'champion';
		IF NOT FOUND THEN
			RAISE EXCEPTION 'model "%" has no champion', model
				USING ERRCODE = 'object_not_in_prerequisite_state',
					  HINT = 'Make a registered version the champion with risk.promote(), or name one with version => ''...''.';
		END IF;
	END IF;
	SELECT v.version, v.feature_names, v.metadata INTO STRICT chosen
	FROM risk.model_versions AS v WHERE v.version_id = wanted;
	IF chosen.metadata ->> 'booster' = 'gblinear' THEN
		RAISE EXCEPTION 'version "%" of model "%" has no splits to count', chosen.version, model
			USING ERRCODE = 'feature_not_supported',
				  HINT = 'It is a linear model: its weights say what matters. risk.contributions() tells it for a transaction.';
	END IF;
	RETURN QUERY
	SELECT coalesce(chosen.feature_names[1 + s.feature], 'f' || s.feature), s.splits,
		   s.gain / s.splits, s.cover / s.splits, s.gain, s.cover,
		   s.gain / nullif(sum(s.gain) OVER (), 0)
	FROM jsonb_to_recordset(chosen.metadata -> 'importance')
		 AS s (feature integer, splits bigint, gain float8, cover float8)
	ORDER BY s.gain DESC NULLS LAST, s.splits DESC, s.feature;
END $$;
COMMENT ON FUNCTION risk.feature_importance(text, text) IS
	'What XGBoost''s get_score() says of a version (the champion if none is named): splits on a feature, mean and total gain and cover, share of all gain; features that no split uses are left out. gain and cover are NULL where the artifact does not tell. Errors: 42704 no such model or version, 55000 no champion, 0A000 a linear model.';

