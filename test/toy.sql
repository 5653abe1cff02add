-- Toy models with known answers, for tests: forests of stumps, written as
-- XGBoost 1.7 writes JSON.  A stump is [feature, split, default_left, left,
-- right]; a split that is an array lists the categories that go right.
CREATE OR REPLACE FUNCTION toy_model(
	features text[],
	stumps jsonb,
	objective text DEFAULT 'binary:logistic',
	num_class int DEFAULT 0,
	base_score text DEFAULT '5E-1',
	attributes jsonb DEFAULT '{}')
RETURNS bytea LANGUAGE sql AS $$
	WITH stump AS (
		SELECT i - 1 AS id, s -> 0 AS feature, s -> 1 AS split,
			   s -> 2 AS default_left, s -> 3 AS l, s -> 4 AS r,
			   jsonb_typeof(s -> 1) = 'array' AS categorical
		FROM jsonb_array_elements(stumps) WITH ORDINALITY AS e (s, i)
	), tree AS (
		SELECT id, jsonb_build_object(
			'id', id,
			'tree_param', jsonb_build_object('num_nodes', '3', 'num_deleted', '0',
				'num_feature', cardinality(features)::text, 'size_leaf_vector', '0'),
			'left_children', '[1, -1, -1]'::jsonb,
			'right_children', '[2, -1, -1]'::jsonb,
			'parents', '[2147483647, 0, 0]'::jsonb,
			'split_indices', jsonb_build_array(feature, 0, 0),
			'split_conditions', jsonb_build_array(CASE WHEN categorical THEN '0'::jsonb ELSE split END, l, r),
			'split_type', jsonb_build_array(categorical::int, 0, 0),
			'default_left', jsonb_build_array(default_left, 0, 0),
			'base_weights', '[0, 0, 0]'::jsonb,
			'loss_changes', '[0, 0, 0]'::jsonb,
			'sum_hessian', '[0, 0, 0]'::jsonb,
			'categories', CASE WHEN categorical THEN split ELSE '[]' END,
			'categories_nodes', CASE WHEN categorical THEN '[0]'::jsonb ELSE '[]' END,
			'categories_segments', CASE WHEN categorical THEN '[0]'::jsonb ELSE '[]' END,
			'categories_sizes', CASE WHEN categorical
				THEN jsonb_build_array(jsonb_array_length(split)) ELSE '[]' END) AS tree
		FROM stump
	)
	SELECT convert_to(jsonb_build_object(
		'version', '[1, 7, 4]'::jsonb,
		'learner', jsonb_build_object(
			'attributes', attributes,
			'feature_names', to_jsonb(CASE WHEN features[1] IS NULL THEN '{}' ELSE features END),
			'feature_types', '[]'::jsonb,
			'learner_model_param', jsonb_build_object('base_score', base_score,
				'boost_from_average', '1', 'num_class', num_class::text, 'num_target', '1',
				'num_feature', cardinality(features)::text),
			'objective', jsonb_build_object('name', objective) ||
				CASE WHEN num_class > 0
					THEN jsonb_build_object('softmax_multiclass_param',
						jsonb_build_object('num_class', num_class::text))
					ELSE '{"reg_loss_param": {"scale_pos_weight": "1"}}' END,
			'gradient_booster', jsonb_build_object(
				'name', 'gbtree',
				'model', jsonb_build_object(
					'gbtree_model_param', jsonb_build_object('num_trees', count(*)::text,
						'num_parallel_tree', '1', 'size_leaf_vector', '0'),
					'tree_info', jsonb_agg(id % greatest(num_class, 1) ORDER BY id),
					'trees', jsonb_agg(tree ORDER BY id)))))::text, 'UTF8')
	FROM tree
$$;
COMMENT ON FUNCTION toy_model IS 'A model file with known answers';
