/** How cost grows with connections, header fields, body size and observed cgroups; one of them at a time, at one rate. */
import { Cgroup } from '../test/rig/cgroup.ts';
import { programTimes, statistics, timesBetween } from './kernel.ts';
import { cpuOf, type Spread, settled, spread } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { figure, microseconds, section } from './section.ts';
import { pacedLoad, Workload, type WorkloadShape } from './workload.ts';

/** Every point reaches it on two cores, so that the figures differ by the point alone. */
const CALLS_PER_S = 8_000;
const CONNECTIONS = 32;
const WARM_S = 1;

interface Point {
  readonly what: string;
  readonly value: string;
  readonly connections?: number;
  readonly cgroups?: number;
  readonly shape?: WorkloadShape;
}

interface GrowthRow {
  readonly what: string;
  readonly value: string;
  readonly calls_per_s: Spread;
  readonly us_per_call: Spread;
  readonly kernel_ns_per_request: Spread;
  /** Calls not reported, over all rounds. */
  readonly lost: number;
}

const headers = (fields: number): Point => ({
  what: 'header fields, each way',
  value: String(fields),
  // Host and the id are two of the request's, nginx's own are five of the response's.
  shape: { requestFields: fields - 2, responseFields: Math.max(0, fields - 5) },
});
const body = (bytes: number): Point => ({
  what: 'body, KiB',
  value: (bytes / 1024).toFixed(1),
  shape: { bodies: [bytes] },
});

const POINTS: readonly Point[] = [
  ...[1, 100, 1_000].map((connections) => ({ what: 'connections', value: String(connections), connections })),
  ...[4, 12, 40].map(headers),
  ...[205, 8 << 10, 64 << 10].map(body),
  ...[1, 8, 64].map((cgroups) => ({ what: 'observed cgroups', value: String(cgroups), cgroups })),
];
const POINTS_QUICK = [POINTS[0]!, POINTS[3]!, body(8 << 10), { what: 'observed cgroups', value: '4', cgroups: 4 }];

interface Sample {
  readonly calls_per_s: number;
  readonly us_per_call: number;
  readonly kernel_ns: number;
  readonly lost: number;
}

async function sample({ connections = CONNECTIONS, cgroups = 1, shape }: Point, seconds: number): Promise<Sample> {
  await using stack = new AsyncDisposableStack();
  const inside: Cgroup[] = [];
  const servers: Workload[] = [];
  for (let i = 0; i < cgroups; i++) {
    const cgroup = stack.use(new Cgroup('bench'));
    inside.push(cgroup);
    servers.push(stack.use(await Workload.start(cgroup, shape)));
  }
  const observer = stack.use(await HeadwaterObserver.start(inside, 'stats_only: true\n'));
  const warm = await pacedLoad(servers, CALLS_PER_S, WARM_S, Math.max(connections, cgroups));
  await settled(observer.pids);
  using _ = statistics();
  const before = await programTimes(observer.attacher);
  const cpu = cpuOf(observer.pids);
  const load = await pacedLoad(servers, CALLS_PER_S, seconds, Math.max(connections, cgroups));
  await settled(observer.pids);
  const used = cpuOf(observer.pids) - cpu;
  const ns = timesBetween(before, await programTimes(observer.attacher)).reduce((sum, time) => sum + time.ns, 0);
  return {
    calls_per_s: (load.requests / load.duration_us) * 1e6,
    us_per_call: (used / load.requests) * 1e6,
    kernel_ns: ns / load.requests,
    lost: warm.requests + load.requests - (await observer.reported()),
  };
}

export const growth = section<GrowthRow>({
  name: 'growth',
  title: `How cost grows, at ${CALLS_PER_S} calls a second, every header parsed, nothing logged`,
  async rows({ rounds, seconds, quick }) {
    const points = quick ? POINTS_QUICK : POINTS;
    const samples = points.map((): Sample[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [i, point] of points.entries()) samples[i]!.push(await sample(point, seconds));
    }
    return points.map(({ what, value }, i) => {
      const own = samples[i]!;
      return {
        what,
        value,
        calls_per_s: spread(own.map((one) => one.calls_per_s)),
        us_per_call: spread(own.map((one) => one.us_per_call)),
        kernel_ns_per_request: spread(own.map((one) => one.kernel_ns)),
        lost: own.reduce((sum, one) => sum + one.lost, 0),
      };
    });
  },
  columns: [
    ['', ({ what }) => what],
    ['', ({ value }) => value],
    ['us CPU a call', ({ us_per_call }) => microseconds(us_per_call)],
    ['kernel ns a request', ({ kernel_ns_per_request }) => figure(kernel_ns_per_request, 0)],
    ['calls/s', ({ calls_per_s }) => figure(calls_per_s, 0)],
    ['calls not reported', ({ lost }) => String(lost)],
  ],
});
