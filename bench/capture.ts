/** The capture files that the replay is measured on: made once, kept in bench/out. */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADWATER } from '../test/rig/agent.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { must, Program } from '../test/rig/program.ts';
import { OUT } from './out.ts';
import { Workload } from './workload.ts';

/** Slow enough that tcpdump misses nothing beside other work. */
const CALLS_PER_S = 15_000;

export interface Capture {
  readonly file: string;
  /** Calls that it holds. */
  readonly calls: number;
}

/** A capture of `calls` calls of the common workload. */
export async function capture(calls: number): Promise<Capture> {
  mkdirSync(OUT, { recursive: true });
  const file = `${OUT}/calls-${calls}.pcap`;
  if (!existsSync(file)) {
    const unfinished = `${file}.part`;
    await using cgroup = new Cgroup('bench');
    await using workload = await Workload.start(cgroup);
    const filter = `tcp port ${workload.port}`;
    const options = ['-i', 'lo', '-s', '0', '-B', '131072', '-Z', 'root', '-w', unfinished];
    await using tcpdump = new Program(['tcpdump', ...options, filter]);
    await tcpdump.until('listening', () => tcpdump.stderr.includes('listening on'));
    await workload.paced(CALLS_PER_S, calls / CALLS_PER_S);
    await sleep(500);
    const { stderr } = await tcpdump.stop('SIGINT');
    if (!/^0 packets dropped by kernel/m.test(stderr)) throw new Error(`tcpdump missed packets:\n${stderr}`);
    renameSync(unfinished, file);
  }
  return { file, calls: await callsIn(file) };
}

/** The first packets of a capture. */
export async function firstPackets(from: Capture, packets: number): Promise<Capture> {
  const file = `${OUT}/first-${packets}.pcap`;
  await must(['tcpdump', '-r', from.file, '-c', String(packets), '-Z', 'root', '-w', file]);
  return { file, calls: await callsIn(file) };
}

async function callsIn(file: string): Promise<number> {
  const summary = (await must([HEADWATER, 'replay', '--format', 'summary', file])).trim().split('\n').at(-1)!;
  return (JSON.parse(summary) as { exchanges_seen: number }).exchanges_seen;
}
