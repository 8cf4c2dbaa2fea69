/**
 * What the statistics and the store cost: each by itself on a capture file (one thread, no load beside it), and the agent with and without
 * them beside a server that answers calls at a fixed rate.
 */
import { fileURLToPath } from 'node:url';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { must } from '../test/rig/program.ts';
import { capture } from './capture.ts';
import { cpuOf, rssNowOf, type Spread, settled, spread } from './measure.ts';
import { HeadwaterObserver, LOG_NOTHING } from './observers.ts';
import { figure, section } from './section.ts';
import { Workload } from './workload.ts';

const COUNTED = fileURLToPath(import.meta.resolve('./counted.ts'));
/** As the pipeline runs (attacher/start.ts). */
const FLAGS = ['--max-semi-space-size=2', '--heap-growing-percent=40', '--no-parallel-scavenge'];
const CALLS = 214_000;
const CALLS_QUICK = 10_000;
const RATES = [8_000, 30_000];
const RATES_QUICK = [5_000];
const CONNECTIONS = 64;

/** Steps in the order in which each adds to the one before. */
const STEPS = [
  ['none', 'parsed and paired, nothing counted'],
  ['redacted', '+ route and redacted view'],
  ['engine', '+ response time, errors, volume, load'],
  ['all', '+ header variability: all five'],
  ['stored', "+ encoded for the store (the store's thread apart)"],
] as const;

interface StatisticsRow {
  readonly what: string;
  /** Calls a second; 0: a capture file. */
  readonly rate: number;
  /** CPU: of the one thread for a file, of both processes live. */
  readonly us_per_call: Spread;
  /** More than the row before. */
  readonly added_us: number | null;
  /** Calls that were not reported. */
  readonly lost_share: Spread | null;
  readonly rss_mb: number | null;
}

async function stepRows(rounds: number, calls: number): Promise<StatisticsRow[]> {
  const { file } = await capture(calls);
  const costs = STEPS.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, [step]] of STEPS.entries()) {
      // The first pass is thrown away: it compiles.
      const out = await must([process.execPath, ...FLAGS, COUNTED, file, step, '3'], { timeoutMs: 120_000 });
      const { ns } = JSON.parse(out) as { ns: number[] };
      costs[i]!.push(Math.min(...ns.slice(1)) / 1_000);
    }
  }
  const spreads = costs.map(spread);
  return STEPS.map(([, what], i) => ({
    what,
    rate: 0,
    us_per_call: spreads[i]!,
    added_us: i === 0 ? null : spreads[i]!.median - spreads[i - 1]!.median,
    lost_share: null,
    rss_mb: null,
  }));
}

async function liveSample(stored: boolean, rate: number, seconds: number): Promise<readonly [number, number, number]> {
  using folder = new Folder();
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup);
  const data = stored ? folder.file('data') : undefined;
  await using observer = await HeadwaterObserver.start([cgroup], LOG_NOTHING, false, data);
  const before = cpuOf(observer.pids);
  const { requests } = await workload.paced(rate, seconds, CONNECTIONS);
  await settled(observer.pids);
  const cpu = cpuOf(observer.pids) - before;
  const rss = observer.pids.reduce((sum, pid) => sum + rssNowOf(pid), 0);
  const reported = await observer.reported();
  return [(cpu / requests) * 1e6, 1 - reported / requests, rss / 1e6];
}

async function liveRows(rounds: number, seconds: number, rates: readonly number[]): Promise<StatisticsRow[]> {
  const rows: StatisticsRow[] = [];
  for (const rate of rates) {
    const samples: (readonly [number, number, number])[][] = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const k of [round % 2, 1 - (round % 2)]) samples[k]!.push(await liveSample(k === 1, rate, seconds));
    }
    const [without, withStore] = samples.map(
      (own, k): StatisticsRow => ({
        what: k === 1 ? 'agent, all five statistics, every call stored' : 'agent, all five statistics, no store',
        rate,
        us_per_call: spread(own.map(([us]) => us)),
        added_us: null,
        lost_share: spread(own.map(([, lost]) => lost)),
        rss_mb: Math.max(...own.map(([, , rss]) => rss)),
      }),
    ) as [StatisticsRow, StatisticsRow];
    rows.push(without, { ...withStore, added_us: withStore.us_per_call.median - without.us_per_call.median });
  }
  return rows;
}

export const statistics = section<StatisticsRow>({
  name: 'statistics',
  title: 'Statistics and store: what each adds to a call (live: from a cold start, 64 connections)',
  async rows({ rounds, seconds, quick }) {
    return [
      ...(await stepRows(rounds, quick ? CALLS_QUICK : CALLS)),
      ...(await liveRows(rounds, seconds, quick ? RATES_QUICK : RATES)),
    ];
  },
  columns: [
    ['', ({ what }) => what],
    ['calls/s', ({ rate }) => (rate === 0 ? 'file' : String(rate))],
    ['us CPU a call', ({ us_per_call }) => figure(us_per_call, 2)],
    ['added', ({ added_us }) => (added_us === null ? '' : added_us.toFixed(2))],
    [
      'not reported',
      ({ lost_share }) =>
        lost_share === null
          ? ''
          : `${(lost_share.median * 100).toFixed(2)} % (${(lost_share.min * 100).toFixed(2)} to ${(lost_share.max * 100).toFixed(2)})`,
    ],
    ['MB', ({ rss_mb }) => (rss_mb === null ? '' : rss_mb.toFixed(0))],
  ],
});
