/** What the agent costs while nothing happens: attached to a server that nobody calls. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { cpuOf } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { section } from './section.ts';
import { Workload } from './workload.ts';

/** After the start: what the runtime still compiles and collects is not idling. */
const START_MS = 3_000;
const IDLE_S = 20;
const IDLE_QUICK_S = 2;

interface IdleRow {
  readonly stored: boolean;
  readonly process: string;
  readonly seconds: number;
  /** Share of one core. */
  readonly core_share: number;
}

async function measure(stored: boolean, seconds: number): Promise<IdleRow[]> {
  using folder = new Folder();
  await using cgroup = new Cgroup('bench');
  await using _workload = await Workload.start(cgroup);
  await using observer = await HeadwaterObserver.start([cgroup], '', false, stored ? folder.file('data') : undefined);
  await sleep(START_MS);
  const processes = [
    { process: 'attacher', pids: [observer.attacher] },
    { process: 'pipeline', pids: [observer.pipeline] },
    { process: 'both', pids: observer.pids },
  ];
  const before = processes.map(({ pids }) => cpuOf(pids));
  const start = performance.now();
  await sleep(seconds * 1_000);
  const after = processes.map(({ pids }) => cpuOf(pids));
  const passed = (performance.now() - start) / 1_000;
  return processes.map(({ process }, i) => ({
    stored,
    process,
    seconds: passed,
    core_share: (after[i]! - before[i]!) / passed,
  }));
}

export const idle = section<IdleRow>({
  name: 'idle',
  title: 'Idle: share of one core, attached, no traffic',
  async rows({ quick }) {
    const rows: IdleRow[] = [];
    for (const stored of [false, true]) rows.push(...(await measure(stored, quick ? IDLE_QUICK_S : IDLE_S)));
    return rows;
  },
  columns: [
    ['', ({ process }) => process],
    ['store', ({ stored }) => (stored ? 'yes' : 'no')],
    ['% of a core', ({ core_share }) => (core_share * 100).toFixed(3)],
    ['seconds', ({ seconds }) => seconds.toFixed(0)],
  ],
});
