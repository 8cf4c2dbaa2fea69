/**
 * Live capture at saturation: nginx (one worker), wrk and the observer share the machine's cores. Every round runs every
 * variant once, and the bare server before and after each: a variant is compared with the machine's mood of its own moment.
 */
import { statSync } from 'node:fs';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { cpuOf, rssOf, type Spread, settled, spread } from './measure.ts';
import { burner, HeadwaterObserver, httpry, LOG_NOTHING, nobody, type Observer, tcpdump } from './observers.ts';
import { figure, microseconds, section, share } from './section.ts';
import { type Load, Workload, type WorkloadShape } from './workload.ts';

interface LiveRow {
  readonly name: string;
  readonly what: string;
  /** Throughput divided by the mean of the bare server's just before and just after. */
  readonly kept: Spread;
  readonly calls_per_s: Spread;
  /** CPU of the observer's processes for each call that it reported (each that was made, where it reports none). */
  readonly us_per_call: Spread | null;
  /** Calls that the observer did not report, as a share of all; null: it does not report calls. */
  readonly lost: Spread | null;
  /** Both processes together where there are two. */
  readonly rss_mb: number | null;
}

interface Sample {
  readonly load: Load;
  readonly cpu_s: number;
  readonly lostShare: number | null;
  readonly rss_bytes: number;
}

interface Variant {
  readonly name: string;
  readonly what: string;
  readonly shape?: WorkloadShape;
  observe(cgroup: Cgroup, port: number): Observer | Promise<Observer>;
}

const WARM_S = 1;
const CONNECTIONS = 32;
/** What the agent uses at saturation here. */
const BURNT_SHARE = 0.3;

const rate = ({ load }: Sample): number => (load.requests / load.duration_us) * 1e6;

async function sample(variant: Variant, seconds: number): Promise<Sample> {
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup, variant.shape);
  await using observer = await variant.observe(cgroup, workload.port);
  const warm = await workload.load(WARM_S, CONNECTIONS);
  await settled(observer.pids);
  const before = cpuOf(observer.pids);
  const load = await workload.load(seconds, CONNECTIONS);
  await settled(observer.pids);
  const cpu = cpuOf(observer.pids) - before;
  const rss = observer.pids.reduce((sum, pid) => sum + rssOf(pid), 0);
  const reported = await observer.reported();
  const made = warm.requests + load.requests;
  return {
    load,
    cpu_s: cpu,
    // wrk stops counting before the last answers come: a few more may be reported than it says.
    lostShare: reported === null ? null : Math.max(0, 1 - reported / made),
    rss_bytes: rss,
  };
}

function variants(folder: Folder): Variant[] {
  const nginxLog = folder.file('nginx.log');
  let stores = 0;
  return [
    {
      name: 'headwater',
      what: 'every header parsed, nothing logged',
      observe: (cgroup) => HeadwaterObserver.start([cgroup], 'stats_only: true\n'),
    },
    {
      name: 'headwater log',
      what: 'every call logged, all headers',
      observe: (cgroup) => HeadwaterObserver.start([cgroup], ''),
    },
    {
      name: 'headwater store',
      what: 'every call stored, all headers',
      observe: (cgroup) => HeadwaterObserver.start([cgroup], LOG_NOTHING, false, folder.file(`data-${++stores}`)),
    },
    {
      name: 'nginx json log',
      what: "the server's own log, 13 fields",
      shape: { accessLog: `${nginxLog} headers buffer=64k` },
      observe: () => ({
        ...nobody(),
        reported: async () => {
          if (statSync(nginxLog).size === 0) throw new Error('nginx has written no log');
          return null;
        },
      }),
    },
    {
      name: 'burner',
      what: `burns ${BURNT_SHARE} of a core and observes nothing`,
      observe: () => burner(BURNT_SHARE),
    },
    { name: 'tcpdump -w', what: 'parses nothing', observe: (_, port) => tcpdump(folder, port) },
    { name: 'httpry', what: 'named fields, unpaired', observe: (_, port) => httpry(folder, port) },
  ];
}

export const live = section<LiveRow>({
  name: 'live',
  title: 'Live capture at saturation: server, client and observer share the cores',
  async rows({ rounds, seconds }) {
    using folder = new Folder();
    const chosen = variants(folder);
    const bare: Variant = { name: 'bare', what: 'the server alone', observe: nobody };
    const samples = chosen.map((): Sample[] => []);
    const kept = chosen.map((): number[] => []);
    const alone: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // Each round begins with another variant: none always follows the same one.
      for (let k = 0; k < chosen.length; k++) {
        const i = (k + round) % chosen.length;
        if (alone.length === 0) alone.push(rate(await sample(bare, seconds)));
        const one = await sample(chosen[i]!, seconds);
        alone.push(rate(await sample(bare, seconds)));
        samples[i]!.push(one);
        kept[i]!.push((2 * rate(one)) / (alone.at(-2)! + alone.at(-1)!));
      }
    }
    const rows = chosen.map(({ name, what }, i): LiveRow => {
      const own = samples[i]!;
      const lost = own.flatMap(({ lostShare }) => (lostShare === null ? [] : [lostShare]));
      const observed = own.some(({ rss_bytes }) => rss_bytes > 0);
      return {
        name,
        what,
        kept: spread(kept[i]!),
        calls_per_s: spread(own.map(rate)),
        us_per_call: observed
          ? spread(own.map(({ cpu_s, load, lostShare }) => (cpu_s / load.requests / (1 - (lostShare ?? 0))) * 1e6))
          : null,
        lost: lost.length === 0 ? null : spread(lost),
        rss_mb: observed ? Math.max(...own.map(({ rss_bytes }) => rss_bytes)) / 1e6 : null,
      };
    });
    const { name, what } = bare;
    return [
      { name, what, kept: spread([1]), calls_per_s: spread(alone), us_per_call: null, lost: null, rss_mb: null },
      ...rows,
    ];
  },
  columns: [
    ['', ({ name }) => name],
    ['throughput kept', ({ kept }) => figure(kept, 2)],
    ['calls/s', ({ calls_per_s }) => figure(calls_per_s, 0)],
    ['us CPU a call reported', ({ us_per_call }) => microseconds(us_per_call)],
    ['calls not reported', ({ lost }) => share(lost)],
    ['MB', ({ rss_mb }) => (rss_mb === null ? '' : rss_mb.toFixed(0))],
    ['does', ({ what }) => what],
  ],
});
