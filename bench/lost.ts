/** Calls that Headwater did not report, at fixed rates and at saturation. Truth is the load's own count: it awaits every answer. */
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { settled } from './measure.ts';
import { HeadwaterObserver, LOG_NOTHING } from './observers.ts';
import { section } from './section.ts';
import { Workload } from './workload.ts';

const RATES = [5_000, 10_000, 20_000, 30_000, 50_000];
const RATES_QUICK = [5_000];
const CONNECTIONS = 64;

/** What becomes of every call besides the statistics. */
const KEPT = ['nothing', 'log', 'store'] as const;
type Kept = (typeof KEPT)[number];
const CONFIG: Readonly<Record<Kept, string>> = { nothing: 'stats_only: true\n', log: '', store: LOG_NOTHING };

interface LostRow {
  readonly kept: Kept;
  /** Calls a second asked for; 0: as many as the server answers. */
  readonly rate: number;
  /** What the load reached: two cores are shared by client, server and agent. */
  readonly reached: number;
  readonly made: number;
  readonly reported: number;
  /** Requests that were not read, but counted as lost. An exchange without its request is reported all the same. */
  readonly counted_lost: number;
  /** Requests neither read nor counted as lost: 0 when the counts are exact; below 0: counted twice. */
  readonly unaccounted: number;
  /** The agent's own words. */
  readonly losses: string;
  readonly p99_us: number;
}

async function measure(kept: Kept, rate: number, seconds: number): Promise<LostRow> {
  using folder = new Folder();
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup);
  await using observer = await HeadwaterObserver.start(
    [cgroup],
    CONFIG[kept],
    false,
    kept === 'store' ? folder.file('data') : undefined,
  );
  const load = await workload.paced(rate, seconds, CONNECTIONS);
  await settled(observer.pids);
  const { exchanges, requests, losses } = await observer.lastWords();
  return {
    kept,
    rate,
    reached: (load.requests / load.duration_us) * 1e6,
    made: load.requests,
    reported: exchanges,
    counted_lost: requests.lost,
    unaccounted: load.requests - requests.seen - requests.lost,
    losses,
    p99_us: load.p99_us,
  };
}

export const lost = section<LostRow>({
  name: 'lost',
  title: 'Lost calls at fixed rates (64 connections, no warm-up: the first calls meet cold code)',
  async rows({ seconds, quick }) {
    const rows: LostRow[] = [];
    for (const kept of KEPT) {
      for (const rate of quick ? RATES_QUICK : [...RATES, 0]) rows.push(await measure(kept, rate, seconds));
    }
    return rows;
  },
  columns: [
    ['every call into', ({ kept }) => kept],
    ['calls/s asked', ({ rate }) => (rate === 0 ? 'all' : String(rate))],
    ['reached', ({ reached }) => reached.toFixed(0)],
    ['made', ({ made }) => String(made)],
    ['not reported', ({ made, reported }) => String(made - reported)],
    ['share', ({ made, reported }) => `${((1 - reported / made) * 100).toFixed(3)} %`],
    ['requests lost', ({ counted_lost }) => String(counted_lost)],
    ['unaccounted', ({ unaccounted }) => String(unaccounted)],
    ['p99 us', ({ p99_us }) => String(p99_us)],
    ['reasons', ({ losses }) => losses],
  ],
});
