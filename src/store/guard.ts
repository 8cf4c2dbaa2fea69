/**
 * Which SQL a user may run: one SELECT over the views, and nothing that reaches anything else. The statement is judged by
 * DuckDB's own parse of it, not by its text; the instance behind it could open no other file anyway (database.ts).
 */
import { type Answer, type Database, quote } from './database.ts';
import { VIEW_NAMES } from './views.ts';

export const SQL_LENGTH_MAX = 64 << 10;

/** Table functions that only make rows. */
const TABLE_FUNCTIONS = new Set(['range', 'generate_series', 'unnest']);
/** Functions that read settings, run text as SQL, or change something. */
const REFUSED_FUNCTIONS =
  /^(getenv|current_setting|query|query_table|nextval|currval|setseed|getvariable|pragma_.*|read_.*|parquet_.*|sniff_.*|duckdb_.*|glob|json_execute_serialized_sql|write_log|parse_duckdb_log_message|in_search_path|current_(database|schema|schemas|user|query|catalog)|txid_current|version)$/;

const refuse = (message: string): Answer<never> => ({ ok: false, error: { type: 'invalid', message } });

interface Node {
  readonly [key: string]: unknown;
}
const isNode = (value: unknown): value is Node => value !== null && typeof value === 'object' && !Array.isArray(value);

/** @returns null when `sql` may run. */
export async function judge(database: Database, sql: string): Promise<Answer<never> | null> {
  if (sql.length > SQL_LENGTH_MAX)
    return refuse(`the query has ${sql.length} characters, at most ${SQL_LENGTH_MAX} are allowed`);
  if (sql.trim() === '') return refuse('the query is empty');
  const parsed = await database.select(`SELECT json_serialize_sql(${quote(sql)})`, 5_000);
  if (!parsed.ok) return refuse(parsed.error.message);
  const tree = JSON.parse(String(parsed.value.rows[0]![0])) as Node;
  if (tree['error'] === true) {
    const message = String(tree['error_message'] ?? 'not SQL');
    return refuse(
      /only select statements/i.test(message)
        ? 'only SELECT is allowed: the store is read-only here'
        : `not understood: ${message.split('\n')[0]}`,
    );
  }
  const statements = tree['statements'] as readonly unknown[];
  if (statements.length !== 1) return refuse(`one SELECT at a time, not ${statements.length}`);
  const problem = search(statements[0], new Set(VIEW_NAMES));
  return problem === null ? null : refuse(problem);
}

/** First thing in a parsed statement that is not allowed. `tables`: the names that may be read here. */
function search(value: unknown, tables: ReadonlySet<string>): string | null {
  if (Array.isArray(value)) {
    for (const item of value) {
      const problem = search(item, tables);
      if (problem !== null) return problem;
    }
    return null;
  }
  if (!isNode(value)) return null;
  const type = value['type'];
  let known = tables;
  const withs = value['cte_map'];
  if (isNode(withs)) {
    const names = ((withs['map'] as readonly Node[] | undefined) ?? []).map((entry) =>
      String(entry['key']).toLowerCase(),
    );
    if (names.length > 0) known = new Set([...tables, ...names]);
  }
  if (type === 'BASE_TABLE') {
    const name = String(value['table_name']);
    const schema = String(value['schema_name'] ?? '');
    const catalog = String(value['catalog_name'] ?? '');
    if (schema !== '' || catalog !== '' || !known.has(name.toLowerCase())) {
      return `there is no table "${[catalog, schema, name].filter((part) => part !== '').join('.')}": a query reads from ${VIEW_NAMES.join(', ')}`;
    }
  }
  if (type === 'TABLE_FUNCTION') {
    const name = String((value['function'] as Node | undefined)?.['function_name'] ?? '').toLowerCase();
    if (!TABLE_FUNCTIONS.has(name)) return `${name}() is not allowed: a query reads from ${VIEW_NAMES.join(', ')}`;
    return search((value['function'] as Node)['children'], known);
  }
  if (type === 'SHOW_REF') return 'only SELECT is allowed: the store is read-only here';
  if (value['class'] === 'FUNCTION' || type === 'FUNCTION') {
    const name = String(value['function_name'] ?? '').toLowerCase();
    if (REFUSED_FUNCTIONS.test(name)) return `${name}() is not allowed`;
  }
  for (const inner of Object.values(value)) {
    const problem = search(inner, known);
    if (problem !== null) return problem;
  }
  return null;
}
