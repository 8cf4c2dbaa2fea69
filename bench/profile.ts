/** Where the pipeline's time goes: the functions that used most, by V8's sampling profiler, live and in `replay`. */
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { must, Program } from '../test/rig/program.ts';
import { capture } from './capture.ts';
import { section } from './section.ts';
import { Workload } from './workload.ts';

const TOP = 10;
const WARM_S = 1;
const REPLAY_CALLS = 214_000;
const REPLAY_CALLS_QUICK = 10_000;
const PROFILED_AGENT = fileURLToPath(import.meta.resolve('./agent-profiled.ts'));
const SOURCE = join(import.meta.dirname, '../src');

interface ProfileRow {
  readonly work: string;
  readonly rank: number;
  readonly function: string;
  readonly place: string;
  /** Of the time from the first packet on in which the thread was busy; the function's own time, without what it calls. */
  readonly self_share: number;
}

/** As V8 writes it: times in microseconds. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const NOT_BUSY = new Set(['(idle)', '(root)', '(program)']);

function topOf(work: string, file: string): ProfileRow[] {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
  const functions = new Map<string, { name: string; place: string; us: number }>();
  const byNode = new Map(
    profile.nodes.map(({ id, callFrame }) => {
      const { functionName: name, url, lineNumber } = callFrame;
      const path = url.startsWith(`file://${SOURCE}/`)
        ? url.slice(`file://${SOURCE}/`.length)
        : url.replace(/^.*\//, '');
      const place = path === '' ? 'V8' : `${path}:${lineNumber + 1}`;
      const key = `${name} ${place}`;
      const entry = functions.get(key) ?? { name: name === '' ? '(anonymous)' : name, place, us: 0 };
      functions.set(key, entry);
      return [id, entry] as const;
    }),
  );
  // What it took to start is no part of the work: from the first packet on.
  const first = profile.samples.findIndex((id) => /^(tcp|http)\//.test(byNode.get(id)!.place));
  for (let i = Math.max(0, first); i < profile.samples.length; i++)
    byNode.get(profile.samples[i]!)!.us += profile.timeDeltas[i]!;
  const busy = [...functions.values()].filter(({ name }) => !NOT_BUSY.has(name));
  const total = busy.reduce((sum, { us }) => sum + us, 0);
  return busy
    .sort((a, b) => b.us - a.us)
    .slice(0, TOP)
    .map(({ name, place, us }, i) => ({ work, rank: i + 1, function: name, place, self_share: us / total }));
}

const profileIn = (folder: string): string => {
  const name = readdirSync(folder).find((file) => file.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('no profile was written');
  return join(folder, name);
};

/** The pipeline under a load that it can follow. */
async function liveProfile(logged: boolean, seconds: number): Promise<ProfileRow[]> {
  using folder = new Folder();
  chmodSync(folder.path, 0o777); // The pipeline writes it as nobody.
  await using cgroup = new Cgroup('bench');
  await using workload = await Workload.start(cgroup);
  const socket = folder.file('socket');
  const args = [folder.path, cgroup.path, socket, ...(logged ? [folder.file('log')] : [])];
  await using agent = new Program([process.execPath, PROFILED_AGENT, ...args]);
  await agent.until('capturing', () => existsSync(socket) && agent.stderr.includes('capturing'));
  await workload.load(WARM_S);
  await workload.load(seconds);
  const { code, stderr } = await agent.stop('SIGINT', 60_000);
  if (code !== 0) throw new Error(`the agent ended with ${code}:\n${stderr}`);
  return topOf(logged ? 'live, every call logged' : 'live, nothing logged', profileIn(folder.path));
}

async function replayProfile(format: 'summary' | 'ndjson', calls: number): Promise<ProfileRow[]> {
  using folder = new Folder();
  const { file } = await capture(calls);
  const main = join(SOURCE, 'cli/main.ts');
  const flags = ['--cpu-prof', `--cpu-prof-dir=${folder.path}`];
  const command = [process.execPath, ...flags, main, 'replay', '--format', format, file];
  await must(['sh', '-c', 'exec "$@" >/dev/null', 'sh', ...command], { timeoutMs: 120_000 });
  return topOf(`replay, ${format}`, profileIn(folder.path));
}

export const profile = section<ProfileRow>({
  name: 'profile',
  title: 'Profiles: own time of the ten largest functions, of the time in which the pipeline was busy',
  async rows({ seconds, quick }) {
    const calls = quick ? REPLAY_CALLS_QUICK : REPLAY_CALLS;
    return [
      ...(await liveProfile(false, seconds)),
      ...(await liveProfile(true, seconds)),
      ...(await replayProfile('summary', calls)),
      ...(await replayProfile('ndjson', calls)),
    ];
  },
  columns: [
    ['', ({ work }) => work],
    ['', ({ rank }) => String(rank)],
    ['own time', ({ self_share }) => `${(self_share * 100).toFixed(1)} %`],
    ['function', (row) => row.function],
    ['', ({ place }) => place],
  ],
});
