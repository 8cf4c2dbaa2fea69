/**
 * Somebody sets the clock by an hour, forward and back, while the agent runs. It says so; calls keep their durations, their order and
 * their pairs, across the step as well, the store has all of them at the time at which they were, and a range "since" finds them.
 */
import { createConnection } from 'node:net';
import { expect, it } from 'vitest';
import { listens } from '../../bench/workload.ts';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { MovedClock } from '../rig/clock.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program } from '../rig/program.ts';
import { eventually, statusOf } from './live/truth.ts';

const HOUR_S = 3_600;
const MINUTE_S = 60;
const CALLS = 10;
/** Far from an hour, and from what a busy machine takes. */
const MINUTES_MS = 20 * 60_000;
const MACHINES_CLOCK = /^times of calls are (?:3599|3600)\.\d s (behind|ahead of) the machine's clock/;

/** Answers POST /ID with ID once its body of one byte has come; the connection stays. */
const SERVER = `
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = self.path.encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`;

/** One connection; a call's body can wait. */
class Caller {
  readonly #socket;
  #received = '';
  #calls = 0;

  constructor(port: number) {
    this.#socket = createConnection(port, '127.0.0.1').setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#received += text;
    });
  }

  /** Asks; the body, for which the server waits, goes when `during` is done. */
  async call(during: () => Promise<unknown> = async () => undefined): Promise<void> {
    const target = `/${this.#calls++}.`;
    this.#socket.write(`POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n`);
    await during();
    this.#socket.write('x');
    await eventually(() => expect(this.#received.endsWith(target)).toBe(true));
  }

  async calls(n: number): Promise<void> {
    for (let i = 0; i < n; i++) await this.call();
  }

  close(): void {
    this.#socket.destroy();
  }
}

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'clang',
  'python3',
  'unshare',
)('the clock is set by an hour, forward and back', async () => {
  await using cgroup = new Cgroup('clock');
  using folder = new Folder();
  const clock = await MovedClock.make(folder);
  const port = await freePort();
  await using server = new Program(['python3', '-c', SERVER, String(port)], { cgroup });
  await server.until('listening', () => listens(port));
  const began = Date.now();
  const data = folder.file('data');
  await using agent = await Agent.start({ cgroups: [cgroup], data, under: clock.under });
  const caller = new Caller(port);
  const problems = async (): Promise<readonly string[]> => (await statusOf(agent)).problems;
  const noticed = (what: RegExp | null) => async () =>
    await eventually(async () =>
      expect((await problems()).map((one) => MACHINES_CLOCK.exec(one)?.[1] ?? one)).toEqual(
        what === null ? [] : [expect.stringMatching(what)],
      ),
    );
  const step = async (aheadS: number, what: RegExp | null): Promise<void> => {
    // A call is under way while the clock is set.
    await caller.call(async () => {
      clock.set(aheadS);
      await noticed(what)();
    });
    await caller.calls(CALLS);
  };
  await caller.calls(CALLS);
  await step(HOUR_S, /^behind$/);
  await step(-HOUR_S, /^ahead of$/);
  await step(0, null);
  const calls = 4 * CALLS + 3;
  caller.close();

  const { ended, exchanges } = await agent.stop();
  const until = Date.now();
  expect(ended.code).toBe(0);
  // Two clocks are read one after the other: by as much as a thread waits in between they are off.
  const steps = [...ended.stderr.matchAll(/went (forward|back) by ([\d.]+) s/g)];
  expect(steps.map(([, way, by]) => [way, Math.round(Number(by) / MINUTE_S)])).toEqual([
    ['forward', 60],
    ['back', 120],
    ['forward', 60],
  ]);
  expect(exchanges.map(({ request }) => request!.target)).toEqual(Array.from({ length: calls }, (_, i) => `/${i}.`));
  let last = began;
  for (const { ts, outcome, losses, timing_ns: timing } of exchanges) {
    expect([outcome, losses]).toEqual(['complete', []]);
    const at = Date.parse(ts!);
    expect(at).toBeGreaterThanOrEqual(last - 1);
    expect(at).toBeLessThanOrEqual(until);
    last = at;
    const times = ['first_request_byte', 'last_request_byte', 'first_response_byte', 'last_response_byte'].map(
      (name) => timing[name]!,
    );
    expect(times.toSorted((a, b) => a - b)).toEqual(times);
    expect(times.at(-1)! / 1e6).toBeLessThan(MINUTES_MS);
  }
  const ask = async (...args: string[]) => await must([HEADWATER, ...args, '--data', data, '--json', '--since', '20m']);
  const stored = (await ask('query', '--limit', '1000')).trimEnd().split('\n');
  expect(stored).toHaveLength(calls);
  const report = JSON.parse(await ask('report')) as { routes: { count: number }[] };
  expect(report.routes.reduce((sum, { count }) => sum + count, 0)).toBe(calls);
});
