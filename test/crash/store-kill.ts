/** Kills a writing store again and again, and looks each time at what is left. Used by the system test and by `npm run test:crash`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStore, type StoreReader } from '../../src/store/reader.ts';
import { StoreRig } from '../unit/store-rig.ts';

export interface KillResult {
  readonly kills: number;
  /** Rows of all runs at the end. */
  readonly rows: number;
  /** Longest start after a kill, ms. */
  readonly slowestStartMs: number;
  /** Segments sealed by the writers. */
  readonly segments: number;
  /** Calls that the kills took away; each start named its own. */
  readonly lost: number;
}

/** Of a writer that hangs; how long starts take is in the result. */
const START_MS_MAX = 120_000;
const ASK_MS = 30_000;
/** A kill may come between what the writer did and what it said: two bursts of calls at most. */
const UNSAID_MAX = 2 * 200;

/** `random` gives 0 to 1; `full` fills the disk that the folder is on, or makes room again. Throws with what is wrong. */
export async function killAgainAndAgain(
  data: string,
  kills: number,
  random: () => number,
  full?: (full: boolean) => void,
): Promise<KillResult> {
  const known = new Map<string, number>();
  let slowestStartMs = 0;
  let segments = 0;
  let lost = 0;
  /** Calls that were taken by runs whose loss no start was asked about yet, and what of them is there. */
  let taken = 0;
  let found = 0;
  let unasked = 0;
  let ledgerBefore = 0;
  for (let kill = 0; kill < kills; kill++) {
    const run = `k${kill}`;
    const begun = Date.now();
    const child = spawn(process.execPath, [join(import.meta.dirname, 'store-writer.ts'), data, run], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const exited = once(child, 'exit');
    while (!out.includes('\n')) {
      if (child.exitCode !== null || Date.now() - begun > START_MS_MAX) {
        child.kill('SIGKILL');
        throw new Error(`kill ${kill}: no start: ${errors}`);
      }
      await sleep(5);
    }
    slowestStartMs = Math.max(slowestStartMs, Date.now() - begun);
    await sleep(random() * 1_000);
    full?.(true);
    await sleep(random() * 1_000);
    child.kill('SIGKILL');
    await exited;
    const unsealed = /^unsealed .*$/m.exec(out);
    if (unsealed !== null && full === undefined) throw new Error(`kill ${kill}: ${unsealed[0]}`);
    // What a full disk did not take waits in memory.
    const safe = full !== undefined ? 0 : Number(out.match(/(?<=^safe )\d+$/gm)?.at(-1) ?? 0);
    segments = await look(data, run, safe, known, kill);
    taken += Number(out.match(/(?<=^taken )\d+$/gm)?.at(-1) ?? 0);
    found += known.get(run) ?? 0;
    unasked++;
    // Now and then the next run is killed before anybody asks.
    if (kill < kills - 1 && random() < 0.3) {
      full?.(false);
      continue;
    }
    full?.(false);
    const ledger = await namedAtStart(data, run);
    const named = ledger - ledgerBefore;
    ledgerBefore = ledger;
    lost += named;
    if (found + named < taken || found + named > taken + unasked * UNSAID_MAX) {
      throw new Error(
        `kill ${kill}: ${taken} calls were taken, ${found} are there, and the start names ${named} as lost`,
      );
    }
    taken = 0;
    found = 0;
    unasked = 0;
  }
  return { kills, rows: [...known.values()].reduce((sum, n) => sum + n, 0), slowestStartMs, segments, lost };
}

/** Without the process that a user's SQL gets: it is asked twice for each kill. */
async function rowsOf(reader: StoreReader, sql: string): Promise<readonly (readonly unknown[])[]> {
  await reader.views();
  const answer = await reader.database.select(sql, ASK_MS);
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.rows;
}

const ledgerLost = async (data: string): Promise<number> => {
  const opened = await readStore(data);
  if (!opened.ok) throw new Error(opened.message);
  const [row] = await rowsOf(
    opened.reader,
    "SELECT coalesce(sum(lost), 0)::BIGINT FROM ledger WHERE reason = 'store_uncommitted'",
  );
  opened.reader.close();
  return Number(row![0]);
};

/** Starts and ends a writer in order: how many calls the ledger names then as lost by kills. */
async function namedAtStart(data: string, run: string): Promise<number> {
  const rig = await new StoreRig(data).open({ run: `${run}s` });
  await rig.close();
  return await ledgerLost(data);
}

/** Each run's numbers must be 1 to n without a gap and without a double, n at least what was safe, and for ever the same. */
async function look(
  data: string,
  run: string,
  safe: number,
  known: Map<string, number>,
  kill: number,
): Promise<number> {
  const opened = await readStore(data);
  if (!opened.ok) throw new Error(opened.message);
  const { reader } = opened;
  try {
    if (reader.damaged.size > 0) throw new Error(`kill ${kill}: damaged ${[...reader.damaged].join(', ')}`);
    const rowsByRun = await rowsOf(
      reader,
      `SELECT run, count(*), count(DISTINCT target), min(CAST(substr(target, 4) AS BIGINT)), max(CAST(substr(target, 4) AS BIGINT))
       FROM calls GROUP BY run`,
    );
    const found = new Map<string, number>();
    for (const row of rowsByRun) {
      const [name, rows, distinct, least, most] = [String(row[0]), ...row.slice(1).map(Number)] as [
        string,
        number,
        number,
        number,
        number,
      ];
      if (rows !== distinct || least !== 1 || most !== rows) {
        throw new Error(`kill ${kill}: run ${name} has ${rows} rows, ${distinct} numbers, from ${least} to ${most}`);
      }
      found.set(name, rows);
    }
    for (const [name, rows] of known) {
      if (found.get(name) !== rows)
        throw new Error(`kill ${kill}: run ${name} had ${rows} rows, now ${found.get(name)}`);
    }
    const rows = found.get(run) ?? 0;
    if (rows < safe) throw new Error(`kill ${kill}: ${safe} calls were safe, ${rows} are there`);
    if (rows > 0) known.set(run, rows);
    return reader.segments.length;
  } finally {
    reader.close();
  }
}
