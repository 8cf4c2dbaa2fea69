/** `replay` against what Debian has for reading a capture file, on the same file, in interleaved rounds. */
import { HEADWATER } from '../test/rig/agent.ts';
import { Folder } from '../test/rig/folder.ts';
import { must } from '../test/rig/program.ts';
import { type Capture, capture, firstPackets } from './capture.ts';
import { cost, type Spread, spread } from './measure.ts';
import { httpryCalls } from './observers.ts';
import { figure, microseconds, section } from './section.ts';

const CALLS = 214_000;
const CALLS_QUICK = 10_000;
/** tshark needs minutes for all of it: it gets the first packets, and its cost is for each call in these. */
const TSHARK_PACKETS = 60_000;

interface ReplayRow {
  readonly name: string;
  readonly what: string;
  readonly calls: number;
  /** CPU time, with the start of the program. */
  readonly us_per_call: Spread;
  /** CPU time as a multiple of headwater's in the same round. */
  readonly ratio: Spread;
  readonly rss_mb: number;
}

interface Contestant {
  readonly name: string;
  readonly what: string;
  readonly capture: Capture;
  readonly command: readonly string[];
}

const TSHARK_FIELDS = ['http.request.line', 'http.response.line', 'http.response_for.uri'];

function contestants(small: Capture, large: Capture, part: Capture): Contestant[] {
  const summary = (file: string): string[] => [HEADWATER, 'replay', '--format', 'summary', file];
  const { file } = small;
  return [
    { name: 'headwater replay', what: 'all headers, paired, ledger', capture: small, command: summary(file) },
    {
      name: 'headwater, 4x the file',
      what: 'the same work: memory must not grow',
      capture: large,
      command: summary(large.file),
    },
    {
      name: 'headwater ndjson',
      what: 'every call logged, all headers',
      capture: small,
      command: [HEADWATER, 'replay', '--format', 'ndjson', file],
    },
    {
      name: 'httpry',
      what: 'named fields, unpaired',
      capture: small,
      // Without an expression it looks at ports 80 and 8080 only.
      command: ['httpry', '-q', '-r', file, '-o', '/dev/null', 'tcp'],
    },
    {
      name: 'tcpdump',
      what: 'parses nothing',
      capture: small,
      command: ['tcpdump', '-nn', '-r', file, '-w', '/dev/null', '-Z', 'root'],
    },
    {
      name: 'tshark',
      what: `all headers, of the first ${part.calls} calls`,
      capture: part,
      command: [
        'tshark',
        '-n',
        '-r',
        part.file,
        '-Y',
        'http',
        '-T',
        'fields',
        ...TSHARK_FIELDS.flatMap((f) => ['-e', f]),
      ],
    },
  ];
}

/** The rivals must have read what they are compared on: calls that each finds, once. */
async function checkRivals({ file, calls }: Capture, part: Capture): Promise<void> {
  using folder = new Folder();
  const lines = folder.file('httpry');
  await must(['httpry', '-q', '-r', file, '-o', lines, 'tcp'], { timeoutMs: 120_000 });
  const seen = httpryCalls(lines);
  if (seen < calls * 0.9) throw new Error(`httpry finds ${seen} of ${calls} calls: the comparison is not fair`);
  const frames = await must(
    ['tshark', '-n', '-r', part.file, '-Y', 'http.request', '-T', 'fields', '-e', 'frame.number'],
    {
      timeoutMs: 120_000,
    },
  );
  const found = frames.trim().split('\n').length;
  if (found < part.calls * 0.9)
    throw new Error(`tshark finds ${found} of ${part.calls} calls: the comparison is not fair`);
}

export const replay = section<ReplayRow>({
  name: 'replay',
  title: 'Reading a capture file: CPU a call, program start included',
  async rows({ rounds, quick }) {
    const calls = quick ? CALLS_QUICK : CALLS;
    const small = await capture(calls);
    const large = await capture(4 * calls);
    const part = await firstPackets(small, quick ? TSHARK_PACKETS / 20 : TSHARK_PACKETS);
    await checkRivals(small, part);
    const all = contestants(small, large, part);
    const figures = all.map(() => ({ us: [] as number[], rss: 0 }));
    for (let round = 0; round < rounds; round++) {
      for (const [i, { command, capture }] of all.entries()) {
        const run = await cost(command);
        if (run.code !== 0) throw new Error(`${command.join(' ')}: exit code ${run.code}\n${run.stderr}`);
        figures[i]!.us.push((run.cpu_s / capture.calls) * 1e6);
        figures[i]!.rss = Math.max(figures[i]!.rss, run.rss_bytes);
      }
    }
    return all.map(({ name, what, capture }, i) => ({
      name,
      what,
      calls: capture.calls,
      us_per_call: spread(figures[i]!.us),
      ratio: spread(figures[i]!.us.map((us, round) => us / figures[0]!.us[round]!)),
      rss_mb: figures[i]!.rss / 1e6,
    }));
  },
  columns: [
    ['', ({ name }) => name],
    ['us CPU a call', ({ us_per_call }) => microseconds(us_per_call)],
    ['x headwater', ({ ratio }) => figure(ratio, 2)],
    ['MB', ({ rss_mb }) => rss_mb.toFixed(0)],
    ['calls', ({ calls }) => String(calls)],
    ['does', ({ what }) => what],
  ],
});
