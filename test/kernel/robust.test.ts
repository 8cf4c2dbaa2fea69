/** What must hold when things go wrong: full rings, killed agents, no privileges; and what the verifier is asked to walk. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as abi from '../../src/kernel/abi.ts';
import { probeKernel } from '../../src/kernel/probe.ts';
import { readPrograms } from '../../src/kernel/progstats.ts';
import { RingReader } from '../../src/kernel/reader.ts';
import { INGRESS, SHED_BODY, SHED_HEAD } from '../../src/model/segment.ts';
import { when } from '../rig/need.ts';
import {
  Capture,
  Client,
  cleanUp,
  freePort,
  imbalance,
  makeCgroup,
  onCleanUp,
  start,
  startNginx,
  until,
  untilListening,
  untilQuiet,
  unwrap,
  whyNot,
} from './rig.ts';

let port = 0;
const here = import.meta.dirname;
const BODY = 'b'.repeat(900);
const CALLS_BEYOND_RING = 2_000;
const WAKEUPS = 4;

/** wrk from outside of the cgroup; returns how many requests it says were answered, and that none failed. */
function load(requests: string, connections: number, seconds: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const wrk = spawn('wrk', [
      '-t1',
      '--timeout',
      '60s',
      `-c${connections}`,
      `-d${seconds}s`,
      `http://127.0.0.1:${port}${requests}`,
    ]);
    let text = '';
    wrk.stdout.on('data', (chunk) => {
      text += chunk;
    });
    wrk.once('error', reject);
    wrk.once('exit', () => {
      const count = /(\d+) requests in/.exec(text);
      if (count === null || /Socket errors|Non-2xx/.test(text)) reject(new Error(text));
      else resolve(Number(count[1]));
    });
  });
}

const attached = (cgroup: string): unknown[] => {
  const shown = spawnSync('bpftool', ['cgroup', 'show', cgroup, '-j']).stdout.toString();
  return shown.trim() === '' ? [] : JSON.parse(shown);
};

describe.skipIf(whyNot !== '')('capture under stress', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  it('asks the verifier for at most 95,000 instructions a program', () => {
    for (const variant of ['writer', 'creator'] as const) {
      const cgroup = makeCgroup();
      const capture = new Capture(cgroup, { variant });
      for (const program of unwrap(readPrograms(capture.loaded.programs))) {
        process.stderr.write(`verified instructions: ${variant} ${program.name} ${program.verifiedInstructions}\n`);
        expect(program.verifiedInstructions, program.name).toBeLessThanOrEqual(95_000);
      }
      capture.loaded.close();
    }
  });

  it('loses nothing while it is read, and balances exactly', async () => {
    const cgroup = makeCgroup();
    await startNginx(cgroup, port, `listen ${port};`, `location / { return 200 "${BODY}"; }`);
    // Room for the pauses of this process, which keeps a copy of everything: no reason to shed.
    const capture = new Capture(cgroup, { ringBytes: 64 << 20 });
    const answered = await capture.during(load('/', 16, 2).finally(() => untilQuiet(port)));
    const counters = capture.counters.read();
    expect(imbalance(counters)).toEqual({ segments: 0, bytes: 0 });
    expect(counters.ledger.lost).toEqual({ segments: 0, bytes: 0 });
    expect(counters.recordsLost).toBe(0);
    expect(counters.ledger.copied).toEqual(counters.ledger.seen);
    // Requests in flight when wrk stops are sent and not counted by it.
    expect(counters.requests.seen - answered).toBeGreaterThanOrEqual(0);
    expect(counters.requests.seen - answered).toBeLessThanOrEqual(16);
    expect(capture.segments.filter((s) => s.length > 0)).toHaveLength(counters.ledger.seen.segments);
    expect(capture.ring.malformed).toBe(0);
  });

  it('keeps counts exact when a ring of 64 KiB overflows, and tells where', async () => {
    const cgroup = makeCgroup();
    await startNginx(cgroup, port, `listen ${port};`, `location / { return 200 "${BODY}"; }`);
    const capture = new Capture(cgroup, { ringBytes: 65536 });
    // However fast the machine is: many times what the ring holds.
    let answered = 0;
    while (answered < CALLS_BEYOND_RING) answered += await load('/', 8, 1);
    const counters = await capture.settled();
    // A call has two segments, one of which is larger than 900 bytes.
    const fit = 65536 / BODY.length;
    expect(counters.ledger.lost.bytes + counters.ledger.shed.bytes).toBeGreaterThan((answered - fit) * BODY.length);
    expect(counters.requests.lost).toBeGreaterThan(answered / 2);
    expect(capture.ring.used).toBeGreaterThan(65536 / 2);
    expect(capture.ring.used).toBeLessThanOrEqual(65536);

    // Emptied and filled again, with readers too slow for it: heads go call by call, and records say so.
    capture.drain();
    const client = await Client.open(port);
    client.write('GET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await client.untilEnded();
    capture.drain();
    expect(capture.requests(client.port)).toContain('GET /again');
    const slow = setInterval(() => capture.drain(), 20);
    await load('/', 8, 1);
    clearInterval(slow);
    capture.drain();
    await capture.settled();
    expect(capture.segments.some((s) => (s.shed & SHED_HEAD) !== 0)).toBe(true);
    expect(capture.segments.some((s) => (s.shed & (SHED_BODY | SHED_HEAD)) === 0)).toBe(true);

    // What records and closed connections tell is what was seen: no byte is missing from the sum.
    await until(() => {
      capture.drain();
      return capture.events.filter((e) => e.kind === 'closed').length > 0;
    }, 'connections closed');
    expect(capture.ring.malformed).toBe(0);
  });

  it('tells every lost and left-out byte of a connection in its next records', async () => {
    const cgroup = makeCgroup();
    const peer = start(cgroup, process.execPath, [join(here, 'peer.ts'), String(port), 'http']);
    await untilListening(port);
    expect(peer.exitCode).toBe(null);
    const capture = new Capture(cgroup, { ringBytes: 65536 });
    const client = await Client.open(port);
    const request = `GET / HTTP/1.1\r\nHost: x\r\nX-Fill: ${'f'.repeat(1000)}\r\n\r\n`;
    const rounds = 400;
    for (let i = 0; i < rounds; i++) {
      const before = client.total;
      client.write(request);
      await client.untilReceived(before + 40);
      if (i % 150 === 149) capture.drain();
    }
    client.socket.end();
    await until(() => {
      capture.drain();
      return capture.events.some((e) => e.kind === 'closed' && e.remotePort === client.port);
    }, 'the connection to close');
    const closed = capture.events.find((e) => e.kind === 'closed' && e.remotePort === client.port)!;
    const records = capture.segments.filter((s) => s.remotePort === client.port && s.direction === INGRESS);
    const told = records.reduce((sum, s) => sum + s.length + s.leftOut + s.lostBytes, 0);
    expect(told + closed.leftOut[INGRESS]! + closed.lostBytes[INGRESS]!).toBe(rounds * request.length);
    expect(records.some((s) => s.leftOut + s.lostBytes > 0)).toBe(true);
    expect(imbalance(capture.counters.read())).toEqual({ segments: 0, bytes: 0 });
  });

  it('leaves nothing attached when its process is killed', async () => {
    const cgroup = makeCgroup();
    const child = spawn(process.execPath, [join(here, 'holder.ts'), cgroup], { stdio: ['ignore', 'pipe', 'inherit'] });
    onCleanUp(() => {
      child.kill('SIGKILL');
    });
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    expect(attached(cgroup)).toHaveLength(3);
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
    await until(() => attached(cgroup).length === 0, 'the programs to be gone');
  });

  it('attaches beside another capture, and several cgroups at once', async () => {
    const outer = makeCgroup();
    await startNginx(outer, port, `listen ${port};`, 'location / { return 204; }');
    const one = new Capture(outer);
    const two = new Capture(outer);
    const other = makeCgroup();
    unwrap(two.loaded.attach(other)).detach();
    const client = await Client.open(port);
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.untilReceived(20);
    for (const capture of [one, two]) {
      capture.drain();
      expect(capture.requests(client.port)).toContain('GET / ');
    }
  });

  when(it, 'readable')('is read by a process of another user without any capability', async () => {
    const cgroup = makeCgroup();
    await startNginx(cgroup, port, `listen ${port};`, 'location / { return 204; }');
    const capture = new Capture(cgroup);
    const { ring, counters, control, unheard } = capture.loaded.descriptors;
    const NOBODY = 65534;
    const child = spawn(process.execPath, [join(here, 'unprivileged.ts'), JSON.stringify(capture.loaded.layout)], {
      stdio: ['pipe', 'pipe', 'inherit', ring, counters, control, unheard],
      uid: NOBODY,
      gid: NOBODY,
    });
    onCleanUp(() => {
      child.kill('SIGKILL');
    });
    let text = '';
    child.stdout!.on('data', (chunk) => {
      text += chunk;
    });
    await until(() => text.includes('ready'), 'the child to map the ring');
    const answered = await load('/', 4, 1);
    // nginx answers what wrk has left behind; the child reports when it has read all that was seen.
    await untilQuiet(port);
    child.stdin!.end();
    await until(() => text.includes('}'), 'the child to report');
    const report = JSON.parse(text.slice(text.indexOf('{')));
    expect(report).toMatchObject({ uid: NOBODY, capabilities: '0000000000000000', malformed: 0, lost: 0 });
    expect(report.requests).toBeGreaterThanOrEqual(answered);
    expect(report.seenByCounters).toBe(report.segments);
  });

  it('wakes a sleeping reader at once', async () => {
    const cgroup = makeCgroup();
    await startNginx(cgroup, port, `listen ${port};`, 'location / { return 204; }');
    const capture = new Capture(cgroup);
    const does = vi.spyOn(capture.ring, 'setReader');
    const reader = new RingReader(capture.ring, capture.loaded.descriptors.ring, capture);
    reader.start();
    onCleanUp(() => reader.stop());
    const client = await Client.open(port);
    // On a busy machine its safety look may come first now and then.
    for (let i = 1; reader.wakeups < WAKEUPS; i++) {
      expect(i).toBeLessThan(10 * WAKEUPS);
      await until(() => does.mock.lastCall?.[0] === abi.READER_SLEEPS, 'the reader to go to sleep');
      client.write(`GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await until(() => capture.requests(client.port).includes(`GET /${i} `), `request ${i}`);
    }
  });

  it('says what this kernel has', () => {
    const features = unwrap(probeKernel());
    for (const feature of features.filter((f) => f.needed)) expect(feature.present, feature.name).toBe(true);
  });
});
