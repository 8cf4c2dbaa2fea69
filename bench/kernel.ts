/** What the kernel programs of one agent cost, by the kernel's own run_time_ns (BPF_ENABLE_STATS): nobody else's programs count. */
import { readdirSync, readFileSync } from 'node:fs';
import { startStatistics } from '../src/kernel/progstats.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { must } from '../test/rig/program.ts';
import { type Spread, spread } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { figure, section } from './section.ts';
import { Workload } from './workload.ts';

const CONNECTIONS = 32;
const WARM_S = 1;
/** Far from saturation, so that nothing is shed: every call takes the whole way. */
const PACED_CALLS_PER_S = 10_000;

interface ProgramTime {
  readonly name: string;
  readonly runs: number;
  readonly ns: number;
}

/** Statistics are on until this is disposed. */
export function statistics(): Disposable {
  const started = startStatistics();
  if (!started.ok) throw new Error(started.error.message);
  return { [Symbol.dispose]: () => started.value.stop() };
}

/** Programs that the attacher holds, and how long each has run so far while statistics were on. */
export async function programTimes(attacher: number): Promise<ProgramTime[]> {
  const ids = new Set(
    readdirSync(`/proc/${attacher}/fdinfo`).flatMap((fd) => {
      const info = readFileSync(`/proc/${attacher}/fdinfo/${fd}`, 'latin1');
      const id = /^prog_type:[\s\S]*^prog_id:\s*(\d+)/m.exec(info)?.[1];
      return id === undefined ? [] : [Number(id)];
    }),
  );
  const all = JSON.parse(await must(['bpftool', '--json', 'prog', 'show'])) as {
    id: number;
    name: string;
    run_time_ns?: number;
    run_cnt?: number;
  }[];
  return all
    .filter(({ id }) => ids.has(id))
    .map(({ name, run_time_ns = 0, run_cnt = 0 }) => ({ name, runs: run_cnt, ns: run_time_ns }));
}

/** What ran between two readings. */
export const timesBetween = (before: readonly ProgramTime[], after: readonly ProgramTime[]): ProgramTime[] =>
  after.map(({ name, runs, ns }, i) => ({ name, runs: runs - before[i]!.runs, ns: ns - before[i]!.ns }));

interface KernelRow {
  readonly name: string;
  readonly load: string;
  readonly ns_per_request: Spread;
  readonly runs_per_request: Spread;
  readonly ns_per_run: Spread;
}

interface Sample {
  readonly requests: number;
  readonly times: readonly ProgramTime[];
}

async function sample(seconds: number, saturated: boolean): Promise<Sample> {
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup);
  await using observer = await HeadwaterObserver.start([cgroup], 'stats_only: true\n');
  await workload.load(WARM_S, CONNECTIONS);
  using _ = statistics();
  const before = await programTimes(observer.attacher);
  const { requests } = saturated
    ? await workload.load(seconds, CONNECTIONS)
    : await workload.paced(PACED_CALLS_PER_S, seconds, CONNECTIONS);
  return { requests, times: timesBetween(before, await programTimes(observer.attacher)) };
}

function rowsOf(load: string, samples: readonly Sample[]): KernelRow[] {
  const row = (name: string, of: (sample: Sample) => { runs: number; ns: number }): KernelRow => ({
    name,
    load,
    ns_per_request: spread(samples.map((one) => of(one).ns / one.requests)),
    runs_per_request: spread(samples.map((one) => of(one).runs / one.requests)),
    ns_per_run: spread(samples.map((one) => of(one).ns / of(one).runs)),
  });
  const total = row('all programs', ({ times }) => ({
    runs: times.reduce((sum, { runs }) => sum + runs, 0),
    ns: times.reduce((sum, { ns }) => sum + ns, 0),
  }));
  const ran = samples[0]!.times.flatMap(({ runs }, i) => (runs > 0 ? [i] : []));
  return [total, ...ran.map((i) => row(samples[0]!.times[i]!.name, ({ times }) => times[i]!))];
}

export const kernel = section<KernelRow>({
  name: 'kernel',
  title:
    "Kernel programs: run time a request, both directions, by the kernel's statistics (which add some 20 ns a run)",
  async rows({ rounds, seconds }) {
    const saturated: Sample[] = [];
    const paced: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      saturated.push(await sample(seconds, true));
      paced.push(await sample(seconds, false));
    }
    return [...rowsOf('saturated', saturated), ...rowsOf(`${PACED_CALLS_PER_S}/s`, paced)];
  },
  columns: [
    ['', ({ name }) => name],
    ['load', ({ load }) => load],
    ['ns a request', ({ ns_per_request }) => figure(ns_per_request, 0)],
    ['runs a request', ({ runs_per_request }) => figure(runs_per_request, 2)],
    ['ns a run', ({ ns_per_run }) => figure(ns_per_run, 0)],
  ],
});
