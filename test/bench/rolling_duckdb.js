// rolling_duckdb.js FILE.csv: the totals of rolling.py's windows by DuckDB, in memory, one thread.
// Prints elapsed and processor time in milliseconds, then the totals.
const { DuckDBInstance } = require('@duckdb/node-api');

const windows = ['1 hour', '24 hours', '7 days'];
const columns = windows.map((w, i) => `count(*) OVER w${i} AS n${i}, sum(value) OVER w${i} AS s${i}`);
const frames = windows.map((w, i) => `w${i} AS (PARTITION BY key ORDER BY ts
	RANGE BETWEEN INTERVAL '${w}' PRECEDING AND CURRENT ROW EXCLUDE GROUP)`);
const totals = [...windows.map((w, i) => `sum(n${i})::DOUBLE`), ...windows.map((w, i) => `sum(s${i})::DOUBLE`)];
const query = `SELECT ${totals} FROM (SELECT ${columns} FROM events WINDOW ${frames})`;

(async () => {
	const connection = await (await DuckDBInstance.create(':memory:')).connect();
	await connection.run('SET threads = 1');
	await connection.run(`CREATE TABLE events AS FROM read_csv('${process.argv[2]}',
		columns = {key: 'INTEGER', ts: 'TIMESTAMP', value: 'DOUBLE'})`);
	const start = process.hrtime.bigint();
	const before = process.cpuUsage();
	const rows = (await connection.runAndReadAll(query)).getRows();
	const cpu = process.cpuUsage(before);
	console.log(Number(process.hrtime.bigint() - start) / 1e6, (cpu.user + cpu.system) / 1e3, ...rows[0]);
})();
