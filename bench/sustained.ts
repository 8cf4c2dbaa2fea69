/**
 * Every call into the store, for a minute: what is lost, how large both processes become while segments are sealed and states merged
 * beside it, and whether the folder holds every call that was reported. Truth is the load's own count: it awaits every answer.
 */

import { querySql } from '../src/query/calls.ts';
import { readStore } from '../src/store/reader.ts';
import { sealedSegments } from '../src/store/seal.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { cpuOf, rssNowOf, settled } from './measure.ts';
import { HeadwaterObserver, LOG_NOTHING } from './observers.ts';
import { section } from './section.ts';
import { Workload } from './workload.ts';

const RATE = 30_000;
const RATE_QUICK = 2_000;
/** The figure is one of a minute: --seconds makes it longer, not shorter. */
const SECONDS = 60;
const CONNECTIONS = 64;
const LOOK_MS = 500;
const MIB = 1 << 20;

interface SustainedRow {
  readonly seconds: number;
  /** What the load reached: two cores are shared by client, server and agent. */
  readonly reached: number;
  readonly made: number;
  readonly reported: number;
  /** By a question to the folder, once the agent has ended. */
  readonly stored: number;
  readonly us_per_call: number;
  /** Of both processes together, at most, looked at twice a second. */
  readonly rss_mib: number;
  /** Segments that were sealed while calls came. */
  readonly sealed: number;
  /** The agent's own words. */
  readonly losses: string;
}

async function storedIn(data: string): Promise<number> {
  const opened = await readStore(data);
  if (!opened.ok) throw new Error(opened.message);
  const answer = await querySql(opened.reader, 'SELECT count(DISTINCT sequence) FROM calls');
  opened.reader.close();
  if (!answer.ok) throw new Error(JSON.stringify(answer));
  return Number(answer.value.rows[0]![0]);
}

async function measure(rate: number, seconds: number): Promise<SustainedRow> {
  using folder = new Folder();
  const data = folder.file('data');
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup);
  await using observer = await HeadwaterObserver.start([cgroup], LOG_NOTHING, false, data);
  let most = 0;
  const looking = setInterval(() => {
    most = Math.max(
      most,
      observer.pids.reduce((sum, pid) => sum + rssNowOf(pid), 0),
    );
  }, LOOK_MS);
  const before = cpuOf(observer.pids);
  const load = await workload.paced(rate, seconds, CONNECTIONS);
  const sealed = sealedSegments(data).size;
  await settled(observer.pids);
  const cpu = cpuOf(observer.pids) - before;
  clearInterval(looking);
  const { exchanges, losses } = await observer.lastWords();
  return {
    seconds: load.duration_us / 1e6,
    reached: (load.requests / load.duration_us) * 1e6,
    made: load.requests,
    reported: exchanges,
    stored: await storedIn(data),
    us_per_call: (cpu / load.requests) * 1e6,
    rss_mib: most / MIB,
    sealed,
    losses,
  };
}

export const sustained = section<SustainedRow>({
  name: 'sustained',
  title: 'Every call into the store for a minute, from a cold start, 64 connections',
  async rows({ seconds, quick }) {
    return [quick ? await measure(RATE_QUICK, seconds) : await measure(RATE, Math.max(seconds, SECONDS))];
  },
  columns: [
    ['seconds', ({ seconds }) => seconds.toFixed(1)],
    ['calls/s', ({ reached }) => reached.toFixed(0)],
    ['made', ({ made }) => String(made)],
    ['not reported', ({ made, reported }) => String(made - reported)],
    ['not in the store', ({ made, stored }) => String(made - stored)],
    ['us CPU a call', ({ us_per_call }) => us_per_call.toFixed(2)],
    ['MiB at most', ({ rss_mib }) => rss_mib.toFixed(0)],
    ['segments sealed meanwhile', ({ sealed }) => String(sealed)],
    ['reasons', ({ losses }) => losses],
  ],
});
