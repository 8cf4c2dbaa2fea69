/**
 * Live capture at saturation: nginx (one worker), wrk and the observer share the machine's cores. Every round runs every
 * variant once, so that the machine's moods hit all alike; the figures are ratios to the bare server of the same round.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../test/rig/agent.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { Program } from '../test/rig/program.ts';
import { cpuOf, rssOf, type Spread, spread } from './measure.ts';
import { type Load, Workload, type WorkloadShape } from './workload.ts';

export interface LiveRow {
  readonly name: string;
  readonly what: string;
  /** Throughput divided by that of the bare server in the same round. */
  readonly kept: Spread;
  readonly calls_per_s: Spread;
  /** CPU of the observer's processes for each call that was made. */
  readonly us_per_call: Spread;
  /** Calls that the observer did not report, as a share of all; null: it does not report calls. */
  readonly lost: Spread | null;
  readonly rss_mb: number;
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
  run(seconds: number, connections: number): Promise<Sample>;
}

const WARM_S = 1;

/** A workload, warmed up, with an observer beside it. */
async function observed(
  shape: WorkloadShape,
  seconds: number,
  connections: number,
  observe: (cgroup: Cgroup, port: number) => Promise<Observer>,
): Promise<Sample> {
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup, shape);
  await using observer = await observe(cgroup, workload.port);
  const warm = await workload.load(WARM_S, connections);
  await sleep(300);
  const before = cpuOf(observer.pids());
  const load = await workload.load(seconds, connections);
  await sleep(500);
  const cpu = cpuOf(observer.pids()) - before;
  const rss = observer.pids().reduce((sum, pid) => sum + rssOf(pid), 0);
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

interface Observer extends AsyncDisposable {
  pids(): number[];
  /** Calls reported since the start; stops the observer. */
  reported(): Promise<number | null>;
}

const nobody = async (): Promise<Observer> => ({
  pids: () => [],
  reported: async () => null,
  [Symbol.asyncDispose]: async () => {},
});

function program(command: readonly string[], ready: (p: Program) => boolean, calls: (p: Program) => number | null) {
  return async (): Promise<Observer> => {
    const started = new Program(command);
    await started.until('ready', () => ready(started));
    return {
      pids: () => [started.pid],
      reported: async () => {
        await started.stop('SIGINT');
        return calls(started);
      },
      [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
    };
  };
}

function headwater(config: string) {
  return async (cgroup: Cgroup): Promise<Observer> => {
    const agent = await Agent.start({ cgroups: [cgroup], config });
    const pids = JSON.parse((await agent.get('/v1/status')).body).processes.map(
      (p: { pid: number }) => p.pid,
    ) as number[];
    return {
      pids: () => pids,
      reported: async () => {
        const ended = await agent.program.stop('SIGINT', 60_000);
        return Number(/captured (\d+) exchanges/.exec(ended.stderr)?.[1] ?? 0);
      },
      [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
    };
  };
}

function variants(folder: Folder, shape: WorkloadShape): Variant[] {
  const tap = (command: (port: number) => readonly string[], calls: (p: Program) => number | null) => ({
    run: (seconds: number, connections: number) =>
      observed(shape, seconds, connections, (_, port) => program(command(port), () => true, calls)()),
  });
  const file = folder.file('out');
  return [
    { name: 'bare', what: 'the server alone', run: (s, c) => observed(shape, s, c, nobody) },
    {
      name: 'headwater',
      what: 'every header parsed, nothing logged',
      run: (s, c) => observed(shape, s, c, headwater('stats_only: true\n')),
    },
    { name: 'headwater log', what: 'every call logged', run: (s, c) => observed(shape, s, c, headwater('')) },
    {
      name: 'nginx json log',
      what: "the server's own log, 12 fields",
      run: (s, c) => observed({ ...shape, accessLog: `${file} headers buffer=64k` }, s, c, nobody),
    },
    {
      name: 'tcpdump -w',
      what: 'parses nothing',
      ...tap(
        (port) => ['tcpdump', '-i', 'lo', '-B', '65536', '-Z', 'root', '-w', file, `tcp port ${port}`],
        () => null,
      ),
    },
    {
      name: 'httpry',
      what: 'named fields, unpaired',
      ...tap(
        (port) => ['httpry', '-q', '-i', 'lo', '-o', file, `tcp port ${port}`],
        // A line for each message: loopback shows each segment once on lo.
        () =>
          readFileSync(file, 'latin1')
            .split('\n')
            .filter((line) => line !== '' && line[0] !== '#').length / 2,
      ),
    },
  ];
}

export async function liveBench(
  rounds: number,
  seconds: number,
  shape: WorkloadShape = {},
  only?: readonly string[],
): Promise<LiveRow[]> {
  using folder = new Folder();
  const chosen = variants(folder, shape).filter(
    ({ name }) => only === undefined || only.includes(name) || name === 'bare',
  );
  const samples = chosen.map((): Sample[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, variant] of chosen.entries()) samples[i]!.push(await variant.run(seconds, 32));
  }
  const rate = ({ load }: Sample): number => (load.requests / load.duration_us) * 1e6;
  return chosen.map(({ name, what }, i) => ({
    name,
    what,
    kept: spread(samples[i]!.map((sample, round) => rate(sample) / rate(samples[0]![round]!))),
    calls_per_s: spread(samples[i]!.map(rate)),
    us_per_call: spread(samples[i]!.map(({ cpu_s, load }) => (cpu_s / load.requests) * 1e6)),
    lost: samples[i]!.some(({ lostShare }) => lostShare === null)
      ? null
      : spread(samples[i]!.map(({ lostShare }) => lostShare!)),
    rss_mb: Math.max(...samples[i]!.map(({ rss_bytes }) => rss_bytes)) / 1e6,
  }));
}
