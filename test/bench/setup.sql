-- setup.sql: the tables and functions of the benchmarks, in database bench.
-- Variables: rows, and json_rows for the dearer forms; bare, the library of bare.c.

CREATE EXTENSION pg_risk;
CREATE EXTENSION plpython3u;

-- Thirty features, a third of them bell-shaped, log-normal and small counts
-- each; a tenth of the values are missing.
SELECT setseed(0.5);
SELECT format('CREATE TABLE transactions AS SELECT id::bigint, %s FROM generate_series(1, %s) AS id',
    string_agg(format('(CASE WHEN random() >= 0.1 THEN %s END)::real AS f%s', kinds[1 + i % 3], i), ', '
      ORDER BY i), :rows)
  FROM generate_series(0, 29) AS i, (SELECT ARRAY[
    'sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())',
    'exp(sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))',
    'floor(5 * random())'] AS kinds) AS k
\gexec
ALTER TABLE transactions ADD PRIMARY KEY (id);

SELECT format('array[%s]', string_agg('f' || i, ', ' ORDER BY i)) AS features
  FROM generate_series(0, 29) AS i
\gset
CREATE TABLE transactions_array AS SELECT id, :features AS features FROM transactions;
ALTER TABLE transactions_array ADD PRIMARY KEY (id);
CREATE TABLE transactions_jsonb AS
  SELECT id, to_jsonb(t) AS transaction FROM transactions AS t WHERE id <= :json_rows;

-- What others do: the model in each session, one call a row.
CREATE FUNCTION python_load() RETURNS void LANGUAGE plpython3u AS $$
import numpy
import xgboost

booster = xgboost.Booster()
model = plpy.execute("SELECT artifact FROM risk.model_versions WHERE model = 'm' AND version = 'v1'")[0]["artifact"]
booster.load_model(bytearray(model))
booster.set_param("nthread", 1)
GD["predict"] = lambda rows: booster.inplace_predict(numpy.array(rows, dtype=numpy.float32))
GD["score"] = lambda features: float(GD["predict"]([features])[0])
$$;

CREATE FUNCTION python_score(features real[]) RETURNS float8 LANGUAGE plpython3u STABLE AS $$
if "score" not in GD:
    plpy.execute("SELECT python_load()")
return GD["score"](features)
$$;

-- A whole query in blocks of 10,000 rows: id and features, to id and score.
CREATE FUNCTION python_score_batch(query text) RETURNS TABLE (id bigint, score float8)
LANGUAGE plpython3u STABLE AS $$
if "score" not in GD:
    plpy.execute("SELECT python_load()")
names = [f"f{i}" for i in range(30)]
cursor = plpy.cursor(query)
while rows := cursor.fetch(10000):
    scores = GD["predict"]([[row[name] for name in names] for row in rows])
    for row, score in zip(rows, scores.tolist()):
        yield row["id"], score
$$;

CREATE FUNCTION python_score_on_insert() RETURNS trigger LANGUAGE plpython3u AS $$
if "score" not in GD:
    plpy.execute("SELECT python_load()")
TD["new"]["score"] = GD["score"]([TD["new"][f"f{i}"] for i in range(30)])
return "MODIFY"
$$;

CREATE FUNCTION do_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

-- What the server takes for any function in C.
CREATE FUNCTION empty_score(model text, transaction anyelement) RETURNS float8 LANGUAGE c STABLE AS :'bare';
CREATE FUNCTION constant_score() RETURNS trigger LANGUAGE c AS :'bare';

-- Where the inserts go.
CREATE TABLE inserts_plain (LIKE transactions);
ALTER TABLE inserts_plain ADD score float8;
CREATE TABLE inserts_scored (LIKE inserts_plain);
CREATE TRIGGER score BEFORE INSERT ON inserts_scored FOR EACH ROW
  EXECUTE FUNCTION risk.score_on_insert('m', 'score');
CREATE TABLE inserts_noop (LIKE inserts_plain);
CREATE TRIGGER score BEFORE INSERT ON inserts_noop FOR EACH ROW EXECUTE FUNCTION do_nothing();
CREATE TABLE inserts_constant (LIKE inserts_plain);
CREATE TRIGGER score BEFORE INSERT ON inserts_constant FOR EACH ROW EXECUTE FUNCTION constant_score();
CREATE TABLE inserts_python (LIKE inserts_plain);
CREATE TRIGGER score BEFORE INSERT ON inserts_python FOR EACH ROW
  EXECUTE FUNCTION python_score_on_insert();

VACUUM (FREEZE, ANALYZE);
CHECKPOINT;
