/** Memory of both processes: at rest, after load, with many connections, and after these are gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup } from '../test/rig/cgroup.ts';
import { pssOf, rssNowOf, rssOf, settled } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { section } from './section.ts';
import { Workload } from './workload.ts';

const MANY = 10_000;
const MANY_QUICK = 500;
/** An agent at rest gives back what a burst left (src/agent/quiet-heap.ts). */
const REST_MS = 8_000;
/** Enough for two calls on each of the many. */
const CALLS_PER_S = 5_000;

interface MemoryRow {
  readonly when: string;
  readonly process: string;
  readonly rss_mb: number;
  /** Pages that several processes share (the runtime's own) count a part for each. */
  readonly pss_mb: number;
  readonly rss_peak_mb: number;
}

export const memory = section<MemoryRow>({
  name: 'memory',
  title: 'Memory, MB: every header parsed, every call logged',
  async rows({ seconds, quick }) {
    await using cgroup = new Cgroup('bench');
    await using workload = await Workload.start(cgroup);
    await using observer = await HeadwaterObserver.start([cgroup], '');
    const rows: MemoryRow[] = [];
    const look = (when: string): void => {
      const processes: [string, readonly number[]][] = [
        ['attacher', [observer.attacher]],
        ['pipeline', [observer.pipeline]],
        ['both', observer.pids],
      ];
      for (const [process, pids] of processes) {
        const sum = (of: (pid: number) => number): number => pids.reduce((total, pid) => total + of(pid), 0) / 1e6;
        rows.push({ when, process, rss_mb: sum(rssNowOf), pss_mb: pssOf(pids) / 1e6, rss_peak_mb: sum(rssOf) });
      }
    };
    await settled(observer.pids);
    look('started');
    await workload.paced(CALLS_PER_S, 2 * seconds);
    await settled(observer.pids);
    look(`${CALLS_PER_S} calls/s, 32 connections`);
    await workload.load(2 * seconds, 32);
    await settled(observer.pids);
    look('saturation, 32 connections');
    const many = quick ? MANY_QUICK : MANY;
    await workload.paced(CALLS_PER_S, Math.max(seconds, (2 * many) / CALLS_PER_S), many);
    await settled(observer.pids);
    look(`${many} connections, closed again`);
    if (quick) return rows;
    await sleep(REST_MS);
    look('and eight seconds later');
    return rows;
  },
  columns: [
    ['after', ({ when }) => when],
    ['process', ({ process }) => process],
    ['RSS', ({ rss_mb }) => rss_mb.toFixed(0)],
    ['PSS', ({ pss_mb }) => pss_mb.toFixed(0)],
    ['RSS at most', ({ rss_peak_mb }) => rss_peak_mb.toFixed(0)],
  ],
});
