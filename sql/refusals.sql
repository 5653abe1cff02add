-- Files that are no sound models: each is refused with a reason, and nothing is left behind
\set SHOW_CONTEXT never
SELECT risk.create_model('m');
-- what is said about a file: SQLSTATE, message, hint
CREATE FUNCTION refusal(artifact bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	hint text;
BEGIN
	PERFORM risk.register_model('m', 'bad', artifact);
	PERFORM risk.drop_version('m', 'bad');
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN format(E'%s %s\n%s', SQLSTATE, message, hint);
END $$;
-- the toy with one thing changed
CREATE FUNCTION broken(path text, value jsonb) RETURNS bytea LANGUAGE sql AS $$
	SELECT convert_to(jsonb_set(convert_from(toy_model('{a,b}', '[[0, 1, 1, -1, 2], [1, [1,2], 1, -1, 2]]'), 'UTF8')::jsonb,
		replace(replace(path, 'TREE', 'learner,gradient_booster,model,trees,0'), 'CATS', 'learner,gradient_booster,model,trees,1')::text[], value)::text, 'UTF8')
$$;

\pset format unaligned
\pset tuples_only on
SELECT refusal('');
SELECT refusal('x');
SELECT refusal('{');
SELECT refusal('{}');
SELECT refusal('[]');
SELECT refusal('null');
SELECT refusal(convert_to(repeat('[', 1000000), 'UTF8'));
SELECT refusal(convert_to('{"learner":' || repeat('{"learner":', 100000), 'UTF8'));
SELECT refusal(decode(repeat('7b4c', 100000), 'hex'));
SELECT refusal(convert_to('{"learner": {}, "learner": {}}', 'UTF8'));
SELECT refusal(toy_model('{a}', '[[0, 1, 1, -1, 2]]') || ' x');
SELECT refusal(substring(toy_model('{a}', '[[0, 1, 1, -1, 2]]') FOR 500));
SELECT refusal('\xefbbbf7b7d');
SELECT refusal('\x1f8b0800000000000003');
SELECT refusal('\x80049525000000');
SELECT refusal(E'tree\nversion=v3\nnum_class=1\n');
SELECT refusal('[{"nodeid": 0, "depth": 0, "split": "f1", "children": []}]');
SELECT refusal('{"Config": {}, "Model": {}}');

-- structure
SELECT refusal(broken('{TREE,left_children}', '[0, -1, -1]'));
SELECT refusal(broken('{TREE,left_children}', '[7, -1, -1]'));
SELECT refusal(broken('{TREE,left_children}', '[-2, -1, -1]'));
SELECT refusal(broken('{TREE,right_children}', '[1, -1, -1]'));
SELECT refusal(broken('{TREE,right_children}', '[-1, -1, -1]'));
SELECT refusal(broken('{TREE,left_children}', '[1, 0, -1]'));
SELECT refusal(broken('{TREE,parents}', '[2147483647, 2, 0]'));
SELECT refusal(broken('{TREE,split_indices}', '[2, 0, 0]'));
SELECT refusal(broken('{TREE,split_indices}', '[-1, 0, 0]'));
SELECT refusal(broken('{TREE,split_conditions}', '[1, 2]'));
SELECT refusal(broken('{TREE,split_conditions}', '["x", 1, 2]'));
SELECT refusal(broken('{TREE,split_conditions}', '[1, 1e99, 2]'));
SELECT refusal(broken('{TREE,split_conditions}', '{}'));
SELECT refusal(convert_to(replace(convert_from(broken('{TREE,split_conditions}', '[77, 1, 2]'), 'UTF8'), '77', 'NaN'), 'UTF8'));
SELECT refusal(broken('{TREE,tree_param,num_nodes}', '"4"'));
SELECT refusal(broken('{TREE,tree_param,num_nodes}', '"-3"'));
SELECT refusal(broken('{TREE,tree_param,num_nodes}', '"99999999999999999999"'));
SELECT refusal(broken('{TREE,tree_param,num_feature}', '"3"'));
SELECT refusal(broken('{TREE,id}', '1'));
SELECT refusal(broken('{TREE,default_left}', '[2, 0, 0]'));
SELECT refusal(broken('{TREE}', 'null'));
SELECT refusal(broken('{CATS,categories}', '[1, 16777216]'));
SELECT refusal(broken('{CATS,categories_sizes}', '[3]'));
SELECT refusal(broken('{CATS,categories_segments}', '[9]'));
SELECT refusal(broken('{CATS,categories_nodes}', '[1]'));
SELECT refusal(broken('{learner,gradient_booster,model,gbtree_model_param,num_trees}', '"3"'));
SELECT refusal(broken('{learner,gradient_booster,model,tree_info}', '[0, 1]'));
SELECT refusal(broken('{learner,gradient_booster,model,trees}', '[]'));
SELECT refusal(broken('{learner,gradient_booster,name}', '"gbforest"'));
SELECT refusal(broken('{learner,learner_model_param,base_score}', '"x"'));
SELECT refusal(broken('{learner,learner_model_param,base_score}', '"1.5"'));
SELECT refusal(broken('{learner,learner_model_param,num_feature}', '"0"'));
SELECT refusal(broken('{learner,learner_model_param,num_feature}', '"4294967297"'));
SELECT refusal(broken('{learner,objective,name}', '"reg:nobody"'));
SELECT refusal(broken('{learner,feature_names}', '["a"]'));
SELECT refusal(broken('{version}', '[9, 0, 0]'));
SELECT refusal(broken('{version}', '"1"'));

SELECT * FROM risk.model_versions_info;
DROP FUNCTION broken;
DROP FUNCTION refusal;
SELECT risk.drop_model('m');
