/** `replay` against what Debian has for reading a capture file, on the same file, in interleaved rounds. */
import { existsSync, mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { HEADWATER } from '../test/rig/agent.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { must, Program } from '../test/rig/program.ts';
import { cost, type Spread, spread } from './measure.ts';
import { OUT } from './out.ts';
import { Workload } from './workload.ts';

/** tshark needs minutes for all of it: it gets the first packets, and its cost is for each call in these. */
const TSHARK_PACKETS = 60_000;
const CAPTURE_SECONDS = 3;

export interface ReplayRow {
  readonly name: string;
  readonly what: string;
  readonly us_per_call: Spread;
  readonly rss_mb: number;
}

/** A capture of the common workload: a few hundred thousand calls. Made once. */
async function capture(): Promise<{ file: string; calls: number }> {
  mkdirSync(OUT, { recursive: true });
  const file = `${OUT}/calls.pcap`;
  if (!existsSync(file)) {
    await using cgroup = new Cgroup('bench');
    await using workload = await Workload.start(cgroup);
    const filter = `tcp port ${workload.port}`;
    await using tcpdump = new Program([
      'tcpdump',
      '-i',
      'lo',
      '-s',
      '0',
      '-B',
      '131072',
      '-Z',
      'root',
      '-w',
      file,
      filter,
    ]);
    await tcpdump.until('listening', () => tcpdump.stderr.includes('listening on'));
    await workload.load(CAPTURE_SECONDS);
    await sleep(500);
    await tcpdump.stop('SIGINT');
  }
  const summary = (await must([HEADWATER, 'replay', '--format', 'summary', file])).trim().split('\n').at(-1)!;
  return { file, calls: (JSON.parse(summary) as { exchanges_seen: number }).exchanges_seen };
}

export async function replayBench(rounds: number): Promise<ReplayRow[]> {
  const { file, calls } = await capture();
  const small = `${OUT}/calls-small.pcap`;
  await must(['tcpdump', '-r', file, '-c', String(TSHARK_PACKETS), '-Z', 'root', '-w', small]);
  const smallCalls = (
    JSON.parse((await must([HEADWATER, 'replay', '--format', 'summary', small])).trim().split('\n').at(-1)!) as {
      exchanges_seen: number;
    }
  ).exchanges_seen;
  const contestants = [
    {
      name: 'headwater replay',
      what: 'all headers, paired, ledger',
      calls,
      command: [HEADWATER, 'replay', '--format', 'summary', file],
    },
    {
      name: 'headwater replay ndjson',
      what: 'the same, every call logged',
      calls,
      command: [HEADWATER, 'replay', '--format', 'ndjson', file],
    },
    { name: 'httpry', what: 'named fields, unpaired', calls, command: ['httpry', '-q', '-r', file, '-o', '/dev/null'] },
    {
      name: 'tcpdump',
      what: 'parses nothing',
      calls,
      command: ['tcpdump', '-nn', '-r', file, '-w', '/dev/null', '-Z', 'root'],
    },
    {
      name: 'tshark',
      what: 'all headers',
      calls: smallCalls,
      command: [
        'tshark',
        '-n',
        '-r',
        small,
        '-Y',
        'http',
        '-T',
        'fields',
        '-e',
        'http.request.line',
        '-e',
        'http.response.line',
        '-e',
        'http.response_for.uri',
      ],
    },
  ];
  const figures = contestants.map(() => ({ us: [] as number[], rss: 0 }));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { command, calls: n }] of contestants.entries()) {
      const run = await cost(command);
      if (run.code !== 0) throw new Error(`${command.join(' ')}: exit code ${run.code}\n${run.stderr}`);
      figures[i]!.us.push((run.cpu_s / n) * 1e6);
      figures[i]!.rss = Math.max(figures[i]!.rss, run.rss_bytes);
    }
  }
  return contestants.map(({ name, what }, i) => ({
    name,
    what,
    us_per_call: spread(figures[i]!.us),
    rss_mb: figures[i]!.rss / 1e6,
  }));
}
