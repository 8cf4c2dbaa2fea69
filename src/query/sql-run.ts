/** Runs a SELECT that a user wrote in a process of its own, with limits of the kernel's on its memory and time. */
import { spawn } from 'node:child_process';
import { extname, join } from 'node:path';
import { deserialize } from 'node:v8';
import { type Answer, DATABASE_LIMITS, type Rows, tooLong } from '../store/database.ts';

/** What the process is asked. */
export interface SqlTask {
  /** The only folders that it can read. */
  readonly folders: readonly string[];
  /** Statements that make the views. */
  readonly views: readonly string[];
  readonly statement: string;
  readonly timeoutMs: number;
  /** DuckDB's own limit, bytes, and its threads. */
  readonly memory: number;
  readonly threads: number;
}
/** Rows are plain: null, boolean, number, bigint, text, `{items}` of a list, `{entries}` of a struct. */
export type SqlOutcome = Answer<Rows<unknown>>;

/**
 * Writable memory of the process (RLIMIT_DATA, setrlimit(2)). Node and DuckDB at rest have 610 MiB of it, of which they use 100: V8 reserves 512 for code,
 * which count here. What is left is DuckDB's own limit and as much again.
 */
const DATA_KIB_MAX = 960 << 10;
const HEAP_MIB_MAX = 192;
/** DuckDB ends a statement itself at its time-out; one that does not end is killed this much later. */
const GRACE_MS = 1_000;
/** To start in, load the library, and read the footers. */
const START_MS = 10_000;
/** An answer's bound in sql-process.ts, and room to say so. */
const OUTPUT_BYTES_MAX = 33 << 20;
/** What it says of itself when it fails: the last of it is shown. */
const SAID_MAX = 4_096;
const LIMITED = 'ulimit -d "$1" && shift && exec "$@"';

/** One statement at a time: each may take all that one process may. */
let running: Promise<unknown> = Promise.resolve();
let waiting = 0;
/** Statements that wait for their turn; more are refused. */
export const SQL_WAITING_MAX = 8;

/** Never throws. */
export async function runSql(task: Omit<SqlTask, 'memory' | 'threads'>): Promise<SqlOutcome> {
  if (waiting > SQL_WAITING_MAX) return { ok: false, error: BUSY };
  waiting++;
  const turn = running.then(() => inProcess(task)).finally(() => waiting--);
  running = turn;
  return await turn;
}

async function inProcess(task: Omit<SqlTask, 'memory' | 'threads'>): Promise<SqlOutcome> {
  const script = join(import.meta.dirname, `sql-process${extname(import.meta.filename)}`);
  const node = [process.execPath, '--v8-pool-size=0', `--max-old-space-size=${HEAP_MIB_MAX}`, script];
  const child = spawn('/bin/sh', ['-c', LIMITED, 'sh', String(DATA_KIB_MAX), ...node], {
    stdio: ['pipe', 'pipe', 'pipe', ...inherited(task.folders)],
    env: { MALLOC_ARENA_MAX: '2' },
  });
  const pieces: Buffer[] = [];
  let length = 0;
  let said = '';
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      child.kill('SIGKILL');
    },
    task.timeoutMs + GRACE_MS + START_MS,
  );
  child.stdout!.on('data', (bytes: Buffer) => {
    length += bytes.length;
    if (length > OUTPUT_BYTES_MAX) child.kill('SIGKILL');
    else pieces.push(bytes);
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID_MAX);
  });
  // A process that is gone takes no task: how it ended tells why.
  child.stdin!.on('error', () => {});
  child.stdin!.end(JSON.stringify({ ...task, ...DATABASE_LIMITS } satisfies SqlTask));
  const { code, signal, problem } = await new Promise<{
    code: number | null;
    signal: string | null;
    problem: string | null;
  }>((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, problem: error.message }));
    child.once('close', (status, by) => resolve({ code: status, signal: by, problem: null }));
  });
  clearTimeout(timer);
  if (late) return { ok: false, error: tooLong(task.timeoutMs) };
  if (code === 0) return deserialize(Buffer.concat(pieces)) as SqlOutcome;
  if (problem === null && (signal !== null || OUT_OF_MEMORY.test(said))) return { ok: false, error: TOO_MUCH };
  const why = problem ?? said.trim().split('\n').at(-1) ?? '';
  return { ok: false, error: { type: 'unavailable', message: `${CANNOT_RUN} (${why}): ${INSTEAD}` } };
}

/** Descriptors that `folders` are named by: they keep their numbers. */
function inherited(folders: readonly string[]): ('ignore' | number)[] {
  const all = folders.flatMap((folder) => Number(/^\/proc\/self\/fd\/(\d+)\//.exec(folder)?.[1] ?? []));
  return Array.from({ length: Math.max(FIRST, ...all.map((fd) => fd + 1)) - FIRST }, (_, i) =>
    all.includes(FIRST + i) ? FIRST + i : 'ignore',
  );
}
/** Behind input, output and errors. */
const FIRST = 3;

/** What V8, the C++ library and DuckDB say of an allocation that failed. */
const OUT_OF_MEMORY = /out of memory|bad_alloc|allocation fail|Cannot allocate|ENOMEM/i;
const TOO_MUCH = {
  type: 'memory',
  message: 'the query needs more memory than it may use: ask for a shorter range, fewer groups, or smaller values',
} as const;
const BUSY = {
  type: 'unavailable',
  message: 'too many SQL statements wait for their turn: ask again later',
} as const;
const CANNOT_RUN = 'the process that runs SQL cannot be started';
const INSTEAD = 'use headwater query --sql on this machine, as a user who may read the installation';
