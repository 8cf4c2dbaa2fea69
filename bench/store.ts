/** The store: what taking and writing a call costs, what it weighs on the disk, and how long questions take over many. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LossLedger } from '../src/model/loss.ts';
import { type CallQuery, PAGE_MS, queryCalls, querySql } from '../src/query/calls.ts';
import { storedReport, storedStates } from '../src/query/states.ts';
import { readStore, type StoreReader } from '../src/store/reader.ts';
import { Store } from '../src/store/store.ts';
import { Folder } from '../test/rig/folder.ts';
import { type Spread, spread } from './measure.ts';
import { section } from './section.ts';
import { StoredCalls } from './store-calls.ts';
import { DAY_MS, DAY_START_MS, writeDay } from './store-day.ts';

/** Paced: what a busy host sends. */
const CALLS_PER_S = 30_000;
const STEP_MS = 8;
/** Calls that questions are asked of. HEADWATER_BENCH_CALLS sets another number: issue 4 names 10 million. */
const CALLS = Number(process.env['HEADWATER_BENCH_CALLS'] ?? 1_000_000);
const CALLS_QUICK = 50_000;

interface StoreRow {
  readonly what: string;
  readonly figure: Spread;
  readonly unit: string;
}

/** Nanoseconds on a CPU: of this process' first thread, and of all, those that have ended included. */
function cpuNs(): { main: number; all: number } {
  const { user, system } = process.cpuUsage();
  const main = Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]);
  return { main, all: (user + system) * 1_000 };
}

const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) => sum + (entry.isFile() ? statSync(join(entry.parentPath, entry.name)).size : 0),
    0,
  );

interface Written {
  readonly main_us: number;
  readonly worker_us: number;
  readonly lost: number;
  readonly bytes: number;
}

/** Writes `calls`, at CALLS_PER_S when `paced`, else as fast as the store takes them. */
async function write(data: string, calls: number, paced: boolean): Promise<Written> {
  const losses = new LossLedger();
  const made = new StoredCalls(CALLS_PER_S);
  const opened = await Store.open(
    data,
    {
      anchor: { wallNs: BigInt(Date.now()) * 1_000_000n },
      run: 'bench',
      losses,
      retention: { ageMs: null, bytes: null },
      report: () => {},
    },
    Date.now(),
  );
  if (!opened.ok) throw new Error(opened.message);
  const { store } = opened;
  const begun = performance.now();
  const before = cpuNs();
  for (let done = 0; done < calls; ) {
    const due = paced ? Math.floor(((performance.now() - begun) / 1_000) * CALLS_PER_S) : done + 500;
    for (; done < Math.min(calls, due); done++) store.writer.call(made.next());
    store.writer.tick(Date.now(), done, losses.totals());
    if (paced || store.writer.waiting > 4) await sleep(STEP_MS);
  }
  await store.close(Date.now(), calls, losses.totals());
  const after = cpuNs();
  const main = after.main - before.main;
  return {
    main_us: main / calls / 1_000,
    worker_us: (after.all - before.all - main) / calls / 1_000,
    lost: store.writer.lost,
    bytes: sizeOf(join(data, 'sealed')) / (calls - store.writer.lost),
  };
}

const QUESTIONS: readonly (readonly [string, CallQuery])[] = [
  ['first page, no filter', {}],
  ['first page, response.code >= 500', { filter: 'response.code >= 500' }],
  ['first page, nothing found: method', { filter: 'request.method == "DELETE"' }],
  ['first page, nothing found: duration', { filter: 'duration > duration("1h")' }],
  ['first page, a piece of two characters', { filter: 'request.headers["x-request-id"].contains("zz")' }],
  ['first page, nothing found: a header value', { filter: 'request.headers["x-request-id"] == "none"' }],
];
const PERCENTILES = `SELECT route, count(*), approx_quantile(duration_ns, [0.5, 0.9, 0.99]), avg(CAST(status >= 500 AS INTEGER))
  FROM calls GROUP BY route`;

async function ask(reader: StoreReader, rounds: number): Promise<StoreRow[]> {
  const timed = async (question: () => Promise<{ readonly ok: boolean }>): Promise<Spread> => {
    const times: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const begun = performance.now();
      const { ok } = await question();
      if (!ok) throw new Error('a question of the bench has no answer');
      // The first reads the footers.
      if (round > 0) times.push(performance.now() - begun);
    }
    return spread(times);
  };
  const rows: StoreRow[] = [];
  for (const [what, query] of QUESTIONS)
    rows.push({ what, figure: await timed(() => queryCalls(reader, { ...query, pageMs: PAGE_MS })), unit: 'ms' });
  rows.push({
    what: 'percentiles and errors by route, from calls',
    figure: await timed(() => querySql(reader, PERCENTILES)),
    unit: 'ms',
  });
  return rows;
}

const RANGES = 40;
const MINUTES_A_DAY = DAY_MS / 60_000;

/** Statistics over random ranges of a day of 24 h, three services and 40 routes, in whole minutes: merging, and the whole report. */
async function askDay(data: string, calls: number): Promise<StoreRow[]> {
  const merging = await writeDay(data, calls);
  const opened = await readStore(data);
  if (!opened.ok) throw new Error(opened.message);
  const { reader } = opened;
  const states: number[] = [];
  const reports: number[] = [];
  for (let n = 0; n <= RANGES; n++) {
    const [from, to] = [Math.random(), Math.random()].sort((a, b) => a - b) as [number, number];
    const minute = (share: number): number => DAY_START_MS + Math.floor(share * MINUTES_A_DAY) * 60_000;
    const span = { sinceMs: minute(from), untilMs: minute(to) + 60_000 };
    const begun = performance.now();
    const merged = await storedStates(reader, span);
    const between = performance.now();
    const report = await storedReport(reader, span.sinceMs, span.untilMs, Date.now());
    if (!merged.ok || !report.ok) throw new Error('a range of the bench has no report');
    // The first reads the footers.
    if (n === 0) continue;
    states.push(between - begun);
    reports.push(performance.now() - between);
  }
  reader.close();
  const p95 = (times: number[]): number => times.sort((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1]!;
  return [
    { what: 'merging ten minutes, hours and the day', figure: spread([merging]), unit: 'ms' },
    { what: `percentiles, errors, headers: ${RANGES} ranges`, figure: spread(states), unit: 'ms' },
    { what: 'the same, 95th percentile', figure: spread([p95(states)]), unit: 'ms' },
    { what: 'a whole report, 95th percentile', figure: spread([p95(reports)]), unit: 'ms' },
  ];
}

export const store = section<StoreRow>({
  name: 'store',
  title: `Store: 12 + 13 fields a call, 8 of their values its own; questions over ${CALLS} calls`,
  async rows({ rounds, seconds, quick }) {
    const rows: StoreRow[] = [];
    const paced: Written[] = [];
    for (let round = 0; round < rounds; round++) {
      using folder = new Folder();
      paced.push(await write(folder.file('data'), CALLS_PER_S * 2 * seconds, true));
    }
    const of = (what: string, unit: string, value: (written: Written) => number): void => {
      rows.push({ what, unit, figure: spread(paced.map(value)) });
    };
    of('taking a call: redaction and encoding', 'us CPU', ({ main_us }) => main_us);
    of('writing and sealing a call', 'us CPU', ({ worker_us }) => worker_us);
    of(`lost at ${CALLS_PER_S} calls/s`, 'calls', ({ lost }) => lost);
    of('sealed', 'bytes a call', ({ bytes }) => bytes);
    using folder = new Folder();
    const data = folder.file('data');
    const calls = quick ? CALLS_QUICK : CALLS;
    const begun = performance.now();
    const { lost } = await write(data, calls, false);
    const rate = calls / ((performance.now() - begun) / 1_000);
    rows.push({ what: 'as fast as it goes', unit: 'calls/s', figure: spread([rate]) });
    rows.push({ what: 'lost meanwhile', unit: 'calls', figure: spread([lost]) });
    const opening = performance.now();
    const opened = await readStore(data);
    if (!opened.ok) throw new Error(opened.message);
    rows.push({ what: 'opening to read', unit: 'ms', figure: spread([performance.now() - opening]) });
    rows.push(...(await ask(opened.reader, rounds)));
    opened.reader.close();
    rmSync(data, { recursive: true });
    rows.push(...(await askDay(folder.file('day'), calls)));
    return rows;
  },
  columns: [
    ['what', ({ what }) => what],
    [
      '',
      ({ figure: { min, median, max } }) =>
        min === max ? median.toFixed(1) : `${median.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`,
    ],
    ['unit', ({ unit }) => unit],
  ],
});
