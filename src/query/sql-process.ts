/**
 * Runs one SELECT that a user wrote, in a process of its own: the memory of a value is in no limit of DuckDB's, and a statement that makes large ones cannot
 * be interrupted. This process has a limit of the kernel's (sql-run.ts), and whatever becomes of it, the one that asked goes on. Reads a SqlTask as JSON from its
 * input, writes a SqlOutcome (v8.serialize) to its output.
 */
import { writeSync } from 'node:fs';
import { serialize } from 'node:v8';
import { Database } from '../store/database.ts';
import type { SqlOutcome, SqlTask } from './sql-run.ts';

/** A longer answer is refused: whoever asked has to hold it. */
const ANSWER_BYTES_MAX = 32 << 20;
const STDOUT = 1;

/** A value of DuckDB without its classes: what is neither plain, a list, nor a struct is text. */
function plain(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  const { items, entries } = value as { items?: unknown; entries?: unknown };
  if (Array.isArray(items)) return { items: items.map(plain) };
  if (typeof entries === 'object' && entries !== null && !Array.isArray(entries))
    return { entries: Object.fromEntries(Object.entries(entries).map(([name, part]) => [name, plain(part)])) };
  return String(value);
}

async function run({ folders, views, statement, timeoutMs, memory, threads }: SqlTask): Promise<SqlOutcome> {
  const database = new Database(folders, { memory, threads });
  for (const view of views) await database.run(view);
  const answer = await database.select(statement, timeoutMs);
  if (!answer.ok) return answer;
  const { columns, rows } = answer.value;
  return { ok: true, value: { columns, rows: rows.map((row) => row.map(plain)) } };
}

let input = '';
process.stdin.setEncoding('utf8');
for await (const text of process.stdin) input += text as string;
let bytes = serialize(await run(JSON.parse(input) as SqlTask));
if (bytes.length > ANSWER_BYTES_MAX) {
  const error = { type: 'memory', message: 'the answer is larger than 32 MiB: ask for fewer rows or columns' } as const;
  bytes = serialize({ ok: false, error } satisfies SqlOutcome);
}
for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
process.exit(0);
