-- ---------------------------------------------------------------------------
-- Rolling features: names.
-- ---------------------------------------------------------------------------

CREATE FUNCTION risk.window_name("window" interval) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_window_name';
COMMENT ON FUNCTION risk.window_name(interval) IS
	'A window as names of features have it: 10m, 1h, 24h, 7d, 1mo, 1y, 1d12h. Different intervals have different names: a day is not 24 hours. Errors: 22023 not longer than zero.';

CREATE FUNCTION risk.rolling_feature_name(key text, aggregate text, value text, "window" interval) RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'risk_rolling_feature_name';
COMMENT ON FUNCTION risk.rolling_feature_name(text, text, text, interval) IS
	'The name of a rolling feature: {key}_cnt_prev_{w}, {key}_since_last_prev_{w}, {key}_{aggregate}_{value}_prev_{w}; NULL if a part is. Errors: 22023 unknown aggregate, window not longer than zero.';
