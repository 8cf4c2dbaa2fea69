/**
 * HTTP/2 with 10 streams on each of 10 connections: h2load against nginx with one worker, heads of 13 and 15 fields, an id never seen
 * before on most calls that comes back in the answer. What reading a capture costs, and live: what a call costs, which calls are
 * missing, and whether any has another one's answer.
 */
import { createReadStream, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { field, HEADWATER, type LoggedExchange } from '../test/rig/agent.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { freePort } from '../test/rig/ports.ts';
import { must, Program, run } from '../test/rig/program.ts';
import { cost, cpuOf, type Spread, settled, spread } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { OUT } from './out.ts';
import { microseconds, section } from './section.ts';
import { RESPONSE_FIELDS } from './workload.ts';

const CONNECTIONS = 10;
const STREAMS = 10;
const URLS = 20_000;
const CALLS = 200_000;
const CALLS_AT_SATURATION = 100_000;
const CALLS_QUICK = 5_000;
/** Slow enough that tcpdump misses nothing beside other work. */
const RECORDED_PER_S = 5_000;
const RATES = [5_000, 10_000, 20_000];
const RATES_QUICK = [2_000];
const TSHARK_PACKETS = 10_000;
const LOAD_TIMEOUT_MS = 120_000;

interface H2Row {
  readonly name: string;
  readonly calls: number;
  /** Headwater's CPU (all its processes), or the rival's. */
  readonly us_per_call: Spread;
  readonly live: LiveFigures | null;
}

interface LiveFigures {
  readonly per_s: number;
  readonly not_reported: number;
  /** Requests neither read nor counted as lost: 0 when the counts are exact. */
  readonly unaccounted: number;
  /** Calls with another one's answer; null: nothing was logged. */
  readonly mixed_up: number | null;
  readonly losses: string;
}

const REQUEST_FIELDS = [
  'accept: application/json',
  'accept-language: en-US,en;q=0.8',
  'authorization: Bearer not-a-real-token-0123456789',
  'x-api-version: 2026-11-01',
  'x-client-name: bench',
  'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  'cookie: session=not-a-real-session; theme=dark',
];

class H2Workload implements AsyncDisposable {
  readonly port: number;
  readonly #folder: Folder;
  readonly #server: Program;

  private constructor(port: number, folder: Folder, server: Program) {
    this.port = port;
    this.#folder = folder;
    this.#server = server;
  }

  static async start(cgroup: Cgroup): Promise<H2Workload> {
    const folder = new Folder();
    const port = await freePort();
    writeFileSync(
      folder.file('nginx.conf'),
      `daemon off; worker_processes 1; pid ${folder.file('pid')}; error_log ${folder.file('err')};
       events { worker_connections 1024; }
       http { access_log off; keepalive_requests 1000000000; server { listen 127.0.0.1:${port} http2;
         ${['X-Id $arg_id', ...RESPONSE_FIELDS].map((text) => `add_header ${text};`).join('\n')}
         location / { default_type application/json; return 200 "$arg_id"; } } }`,
    );
    const urls = Array.from({ length: URLS }, (_, i) => `http://127.0.0.1:${port}/v1/items/${i % 4}?id=${i}\n`);
    writeFileSync(folder.file('urls'), urls.join(''));
    const server = new Program(['nginx', '-c', folder.file('nginx.conf')], { cgroup });
    const workload = new H2Workload(port, folder, server);
    const ask = ['curl', '-s', '--http2-prior-knowledge', `http://127.0.0.1:${port}/`];
    await server.until('answer', async () => (await run(ask)).code === 0);
    return workload;
  }

  /** Makes `calls` calls, every one answered. `rate`: calls a second, 0: as many as are answered. Returns how many a second it was. */
  async load(calls: number, rate: number): Promise<number> {
    const options = ['-n', String(calls), '-c', String(CONNECTIONS), '-m', String(STREAMS)];
    const paced = rate > 0 ? ['--rps', String(rate / CONNECTIONS)] : [];
    const heads = REQUEST_FIELDS.flatMap((text) => ['-H', text]);
    const command = ['h2load', ...options, ...paced, ...heads, '-i', this.#folder.file('urls')];
    const said = await must(command, { timeoutMs: LOAD_TIMEOUT_MS });
    if (!said.includes(`${calls} succeeded`)) throw new Error(`h2load did not get every answer:\n${said}`);
    return Number(/([\d.]+) req\/s/.exec(said)![1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

async function recorded(calls: number): Promise<string> {
  mkdirSync(OUT, { recursive: true });
  const file = `${OUT}/h2-${calls}.pcap`;
  if (existsSync(file)) return file;
  const unfinished = `${file}.part`;
  await using cgroup = new Cgroup('bench');
  await using workload = await H2Workload.start(cgroup);
  const options = ['-i', 'lo', '-s', '0', '-B', '131072', '-Z', 'root', '-w', unfinished];
  await using tcpdump = new Program(['tcpdump', ...options, `tcp port ${workload.port}`]);
  await tcpdump.until('listening', () => tcpdump.stderr.includes('listening on'));
  await workload.load(calls, RECORDED_PER_S);
  await settled([tcpdump.pid]);
  const { stderr } = await tcpdump.stop('SIGINT');
  if (!/^0 packets dropped by kernel/m.test(stderr)) throw new Error(`tcpdump missed packets:\n${stderr}`);
  renameSync(unfinished, file);
  return file;
}

async function callsIn(file: string): Promise<number> {
  const last = (await must([HEADWATER, 'replay', '--format', 'summary', file])).trim().split('\n').at(-1)!;
  return (JSON.parse(last) as { exchanges_seen: number }).exchanges_seen;
}

async function replayed(rounds: number, recordedCalls: number): Promise<H2Row[]> {
  const file = await recorded(recordedCalls);
  // tcpdump may end with some packets unread.
  const calls = await callsIn(file);
  if (calls < recordedCalls * 0.99) throw new Error(`${calls} of ${recordedCalls} calls are found in ${file}`);
  using folder = new Folder();
  const part = folder.file('part.pcap');
  await must(['tcpdump', '-r', file, '-c', String(TSHARK_PACKETS), '-Z', 'root', '-w', part]);
  const port = /\.(\d+) > /.exec(
    await must(['tcpdump', '-nn', '-r', file, '-c', '1', 'tcp[tcpflags] = tcp-syn|tcp-ack']),
  )![1]!;
  const shown = ['http2.header.name', 'http2.header.value'].flatMap((name) => ['-e', name]);
  const contestants = [
    { name: 'replay', calls, command: [HEADWATER, 'replay', '--format', 'summary', file] },
    { name: 'replay, every call logged', calls, command: [HEADWATER, 'replay', '--format', 'ndjson', file] },
    {
      name: 'tshark, names and values',
      calls: await callsIn(part),
      command: ['tshark', '-n', '-r', part, '-d', `tcp.port==${port},http2`, '-Y', 'http2', '-T', 'fields', ...shown],
    },
  ];
  const costs = contestants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { calls: made, command }] of contestants.entries()) {
      const { cpu_s, code, stderr } = await cost(command);
      if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
      costs[i]!.push((cpu_s * 1e6) / made);
    }
  }
  return contestants.map(({ name, calls: made }, i) => ({
    name,
    calls: made,
    us_per_call: spread(costs[i]!),
    live: null,
  }));
}

/** Calls in a header log that have the answer of another one. */
async function mixedUp(log: string): Promise<number> {
  let mixed = 0;
  for await (const line of createInterface(createReadStream(log))) {
    const { type, request, response } = JSON.parse(line) as LoggedExchange;
    if (type !== 'exchange' || request === null || request.target === '') continue;
    const answered = field(response, 'x-id');
    if (answered !== undefined && answered !== request.target.split('id=')[1]) mixed++;
  }
  return mixed;
}

async function observed(logged: boolean, rate: number, seconds: number): Promise<H2Row> {
  await using cgroup = new Cgroup('bench');
  await using workload = await H2Workload.start(cgroup);
  await using observer = await HeadwaterObserver.start([cgroup], logged ? '' : 'stats_only: true\n');
  const calls = rate === 0 ? CALLS_AT_SATURATION : rate * seconds;
  const before = cpuOf(observer.pids);
  const per_s = await workload.load(calls, rate);
  await settled(observer.pids);
  const cpu_s = cpuOf(observer.pids) - before;
  const { exchanges, requests, losses } = await observer.lastWords();
  return {
    name: `live, ${rate === 0 ? 'as many as can be' : `${rate} a second`}${logged ? ', logged' : ''}`,
    calls,
    us_per_call: spread([(cpu_s * 1e6) / calls]),
    live: {
      per_s,
      not_reported: calls - exchanges,
      unaccounted: calls - requests.seen - requests.lost,
      mixed_up: logged ? await mixedUp(observer.agent.log) : null,
      losses,
    },
  };
}

const shown = (row: H2Row, text: (live: LiveFigures) => string): string => (row.live === null ? '' : text(row.live));

export const h2 = section<H2Row>({
  name: 'h2',
  title: 'HTTP/2, 10 connections of 10 streams: CPU for each call; live: calls that are missing or mixed up',
  async rows({ rounds, seconds, quick }) {
    const rows = await replayed(rounds, quick ? CALLS_QUICK : CALLS);
    for (const logged of [false, true]) {
      for (const rate of quick ? RATES_QUICK : [...RATES, 0]) rows.push(await observed(logged, rate, seconds));
    }
    return rows;
  },
  columns: [
    ['', ({ name }) => name],
    ['calls', ({ calls }) => String(calls)],
    ['us a call', ({ us_per_call }) => microseconds(us_per_call)],
    ['reached a second', (row) => shown(row, ({ per_s }) => per_s.toFixed(0))],
    ['not reported', (row) => shown(row, ({ not_reported }) => String(not_reported))],
    ['unaccounted', (row) => shown(row, ({ unaccounted }) => String(unaccounted))],
    ['mixed up', (row) => shown(row, ({ mixed_up }) => (mixed_up === null ? '' : String(mixed_up)))],
    ['reasons', (row) => shown(row, ({ losses }) => losses)],
  ],
});
