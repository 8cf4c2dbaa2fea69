/**
 * What is to be found out on a kernel: does it take the programs, at which price, and is everything that went over
 * loopback in the header log, HTTP/1 and HTTP/2, in clear and in TLS? Prints one line for each finding, the last one "vm: verdict right" or "vm: verdict wrong".
 * Its argument is the mount of cgroup v2, /sys/fs/cgroup without one.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { release } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LoadedProgram, loadCapture } from '../../src/kernel/load.ts';
import { probeKernel } from '../../src/kernel/probe.ts';
import { readPrograms } from '../../src/kernel/progstats.ts';
import { loadTaps } from '../../src/kernel/secrets.ts';

/** One call as calls.py says it was sent and answered. */
interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly request_body: number;
  readonly status: number;
  readonly response_body: number;
}

interface Status {
  readonly tls: { readonly taps: { readonly tapped: number } | null };
}

interface Logged {
  readonly type: string;
  readonly side: string;
  readonly outcome: string;
  readonly losses: readonly unknown[];
  readonly process?: { readonly name: string; readonly evidence: string };
  readonly request: {
    readonly method: string;
    readonly target: string;
    readonly headers: ReadonlyArray<readonly [string, string]>;
    readonly body_bytes: number;
  };
  readonly response: { readonly status: number; readonly body_bytes: number };
}

const CGROUP = join(process.argv[2] ?? '/sys/fs/cgroup', `headwater-vm-${process.pid}`);
/** Emulated machines are slow: a start of the agent takes half a minute there. */
const PATIENCE_MS = 300_000;

const say = (line: string): void => {
  process.stdout.write(`vm: ${line}\n`);
};

/** Loads as the agent does; false when the kernel refuses. */
function load(): boolean {
  const features = probeKernel();
  if (features.ok)
    say(`features ${features.value.map((f) => `${f.present ? '' : 'no '}${f.name.replaceAll('_', ' ')}`).join(', ')}`);
  const before = performance.now();
  const loaded = loadCapture();
  const ms = Math.round(performance.now() - before);
  if (!loaded.ok) {
    say(`refused after ${ms} ms: ${loaded.error.message}\n${loaded.error.detail}`);
    return false;
  }
  say(`loaded in ${ms} ms, owner by ${loaded.value.variant}; ${verified(loaded.value.programs)}`);
  loaded.value.close();
  const taps = loadTaps([]);
  if (!taps.ok) {
    say(`TLS taps refused: ${taps.error.message}\n${taps.error.detail}`);
    return false;
  }
  const programs = Object.entries(taps.value.programs).map(([name, fd]) => ({ name, fd }));
  say(`TLS taps loaded, ${taps.value.multi ? 'by links' : 'by perf events'}; ${verified(programs)}`);
  return true;
}

function verified(loaded: readonly LoadedProgram[]): string {
  const programs = readPrograms(loaded);
  return `instructions verified: ${programs.ok ? programs.value.map((p) => `${p.name} ${p.verifiedInstructions}`).join(', ') : '?'}`;
}

/** Waits until the agent says on stderr that it captures; what it says goes on to the console. */
function capturing(agent: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => agent.kill('SIGKILL'), PATIENCE_MS);
    agent.once('exit', () => reject(new Error('the agent ended before it captured')));
    agent.stderr!.on('data', (chunk: Buffer) => {
      process.stdout.write(chunk);
      if (!chunk.includes('capturing')) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** How many libraries and programs the agent has a probe on. */
function tapped(socketPath: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/v1/status' }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('end', () => resolve((JSON.parse(body) as Status).tls.taps?.tapped ?? 0));
    });
    asked.once('error', reject).end();
  });
}

/** One client and one server, on one connection. */
interface Run {
  readonly name: string;
  readonly protocol: 'http/1.1' | 'h2';
  /** Empty: in clear. */
  readonly certificate: readonly string[];
}

/** Runs the calls in the cgroup; those in TLS once the library that they use is tapped. Returns what was sent. */
async function call(folder: string, socket: string, { protocol, certificate }: Run): Promise<Sent[]> {
  const truth = join(folder, 'sent.json');
  const calls = spawn(
    'sh',
    [
      '-c',
      'echo $$ > "$0/cgroup.procs" && exec python3 -B tools/vm/calls.py "$@"',
      CGROUP,
      truth,
      protocol,
      ...certificate,
    ],
    { stdio: ['pipe', 'inherit', 'inherit'], timeout: PATIENCE_MS },
  );
  const ended = once(calls, 'exit');
  if (certificate.length > 0) {
    // Its time runs out where nothing is tapped.
    while ((await tapped(socket)) === 0 && calls.exitCode === null && calls.signalCode === null) await sleep(1_000);
    calls.stdin.on('error', () => undefined).write('\n');
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`calls.py ended with ${code}`);
  return JSON.parse(readFileSync(truth, 'utf8')) as Sent[];
}

/** A certificate for vm.test and its key. */
function makeCertificate(folder: string): string[] {
  const [certificate, key] = [join(folder, 'vm.crt'), join(folder, 'vm.key')];
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=vm.test'];
  const more = ['-addext', 'subjectAltName=DNS:vm.test', '-days', '3650', '-keyout', key, '-out', certificate];
  const made = spawnSync('openssl', ['req', '-x509', ...options, ...more], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (made.status !== 0) throw new Error(`openssl req ended with ${made.status}`);
  return [certificate, key];
}

/** Runs the agent on a cgroup of its own and the calls inside it; returns what was sent and what was logged. */
async function capture(folder: string): Promise<{ sent: Map<string, Sent[]>; logged: Logged[] }> {
  mkdirSync(CGROUP);
  try {
    const log = join(folder, 'calls.ndjson');
    const socket = join(folder, 'agent.sock');
    const agent = spawn('bin/headwater', ['run', '--cgroup', CGROUP, '--socket', socket, '--log', log, '--no-store'], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const ended = once(agent, 'exit');
    await capturing(agent);
    const certificate = makeCertificate(folder);
    const runs: readonly Run[] = [
      { name: 'HTTP/1 in clear', protocol: 'http/1.1', certificate: [] },
      { name: 'HTTP/2 in clear', protocol: 'h2', certificate: [] },
      { name: 'HTTP/1 in TLS', protocol: 'http/1.1', certificate },
      { name: 'HTTP/2 in TLS', protocol: 'h2', certificate },
    ];
    const sent = new Map<string, Sent[]>();
    for (const run of runs) sent.set(run.name, await call(folder, socket, run));
    agent.kill('SIGINT');
    await ended;
    const logged = readFileSync(log, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Logged);
    return { sent, logged: logged.filter((r) => r.type === 'exchange') };
  } finally {
    rmdirSync(CGROUP);
  }
}

/** What differs between a call and its record, as words. */
function differences(sent: Sent, logged: Logged): string[] {
  const pairs: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ['method', sent.method, logged.request.method],
    ['target', sent.path, logged.request.target],
    ['request headers', JSON.stringify(Object.entries(sent.headers)), JSON.stringify(logged.request.headers)],
    ['request body', sent.request_body, logged.request.body_bytes],
    ['status', sent.status, logged.response.status],
    ['response body', sent.response_body, logged.response.body_bytes],
    ['outcome', 'complete', logged.outcome],
    ['losses', '[]', JSON.stringify(logged.losses)],
  ];
  return pairs
    .filter(([, a, b]) => a !== b)
    .map(([what, a, b]) => `${what}: sent ${String(a).slice(0, 200)}, logged ${String(b).slice(0, 200)}`);
}

function compare(what: string, sent: readonly Sent[], logged: readonly Logged[]): boolean {
  const [run] = Object.values(sent[0]?.headers ?? {});
  let right = run !== undefined;
  for (const side of ['client', 'server']) {
    const records = logged.filter((r) => r.side === side && r.request.headers[0]?.[1] === run);
    const found = sent.flatMap((call, i) => {
      const record = records[i];
      return record === undefined
        ? [`${call.path}: not logged`]
        : differences(call, record).map((d) => `${call.path}: ${d}`);
    });
    say(`${what}, ${side}: ${sent.length} calls sent, ${records.length} logged, ${found.length} differences`);
    for (const difference of found) say(`  ${difference}`);
    right &&= found.length === 0 && records.length === sent.length;
  }
  return right;
}

say(`Linux ${release()}`);
let right = load();
if (right) {
  const folder = mkdtempSync('/tmp/headwater-vm-');
  try {
    const { sent, logged } = await capture(folder);
    for (const [run, calls] of sent) right = compare(run, calls, logged) && right;
    say(`owners: ${[...new Set(logged.map((r) => `${r.process?.name} by ${r.process?.evidence}`))].join(', ')}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
say(`verdict ${right ? 'right' : 'wrong'}`);
process.exitCode = right ? 0 : 1;
