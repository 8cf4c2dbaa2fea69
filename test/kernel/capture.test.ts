/** What leaves the kernel of real connections: header blocks whole, bodies by window, every byte in exactly one class. */
import { execFile, spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EGRESS, INGRESS, TCP_FIN, TCP_SYN } from '../../src/model/segment.ts';
import {
  Capture,
  Client,
  cleanUp,
  expectSame,
  freePort,
  imbalance,
  LOOPBACK6,
  MAPPED_LOOPBACK,
  makeCgroup,
  start,
  startNginx,
  untilListening,
  untilQuiet,
  whyNot,
} from './rig.ts';

let port = 0;
const peer = join(import.meta.dirname, 'peer.ts');

async function startPeer(cgroup: string, behaviour: string): Promise<number> {
  const child = start(cgroup, process.execPath, [peer, String(port), behaviour]);
  await untilListening(port);
  return child.pid!;
}

/** What a capture sees of a peer while one client says `request`, until `answered`. */
async function asked(
  behaviour: string,
  request: string,
  answered: (client: Client) => Promise<void>,
): Promise<{ capture: Capture; client: Client }> {
  const cgroup = makeCgroup();
  await startPeer(cgroup, behaviour);
  const capture = new Capture(cgroup);
  const client = await Client.open(port);
  client.write(request);
  await capture.during(answered(client));
  return { capture, client };
}

/** Of src/kernel/load.ts. */
const SMALL_SEGMENT_BYTES = 2_048;
const balanced = { segments: 0, bytes: 0 };

describe.skipIf(whyNot !== '')('capture', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  it('gives every byte of keep-alive calls, both ways, in order', async () => {
    const cgroup = makeCgroup();
    await startNginx(
      cgroup,
      port,
      `listen ${port};`,
      `location / { add_header x-echo $http_x_id; return 200 "hello $http_x_id"; }`,
    );
    const capture = new Capture(cgroup);
    const client = await Client.open(port);
    let sent = '';
    await capture.during(
      (async () => {
        for (let i = 0; i < 50; i++) {
          const request = `GET /item/${i} HTTP/1.1\r\nHost: localhost\r\nX-Id: ${i}-${'v'.repeat(i * 7)}\r\n\r\n`;
          sent += request;
          const before = client.total;
          client.write(request);
          await client.untilReceived(before + 1);
        }
      })(),
    );
    expectSame(capture.requests(client.port), sent);
    expectSame(capture.responses(client.port), client.received.latin1Slice());
    const counters = capture.counters.read();
    expect(imbalance(counters)).toEqual(balanced);
    expect(counters.ledger.copied).toEqual(counters.ledger.seen);
    expect(counters.requests).toEqual({ seen: 50, lost: 0 });
    expect(counters.responses).toEqual({ seen: 50, lost: 0 });
    expect(capture.ring.malformed).toBe(0);
  });

  it('captures a 64 KiB response header block whole and leaves the body after it out', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
    const { capture, client } = await asked('bigHead', request, (client) => client.untilEnded());
    const headEnd = client.received.indexOf('\r\n\r\n') + 4;
    expect(headEnd).toBeGreaterThan(64_000);
    const captured = capture.responses(client.port);
    expect(captured.length).toBeGreaterThanOrEqual(headEnd);
    expectSame(captured, client.received.latin1Slice(0, captured.length));
    expect(capture.counters.read().ledger.copied.bytes).toBeLessThan(100_000);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('captures a 60 KiB request header block whole, however it is cut', async () => {
    const cgroup = makeCgroup();
    await startPeer(cgroup, 'http');
    const capture = new Capture(cgroup);
    const request = `GET / HTTP/1.1\r\nHost: x\r\n${`Cookie: ${'c'.repeat(990)}\r\n`.repeat(60)}\r\n`;
    for (const cut of [1, 17, 700, 1300, 5000, 30_000, request.length]) {
      const client = await Client.open(port);
      await capture.during(
        (async () => {
          // Byte by byte only up to where classification is settled: the point is made, and the test stays short.
          for (let at = 0, n = 0; at < request.length; n++) {
            const size = cut < 20 && n > 60 ? 4000 : cut;
            client.write(request.slice(at, at + size));
            at += size;
            await new Promise((resolve) => setImmediate(resolve));
          }
          await client.untilReceived(40);
        })(),
      );
      expectSame(capture.requests(client.port), request, `cut ${cut}`);
      client.socket.destroy();
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('counts a download of 5 GiB, more than sequence numbers have, and copies a bounded part of it', async () => {
    const cgroup = makeCgroup();
    const folder = await startNginx(cgroup, port, `listen ${port};`, '');
    const SIZE = 5 * 2 ** 30;
    writeFileSync(join(folder, 'big'), '');
    truncateSync(join(folder, 'big'), SIZE);
    const capture = new Capture(cgroup);
    const said = '%{local_port} %{size_header} %{size_download}';
    const curl = promisify(execFile)('curl', ['-s', '-o', '/dev/null', '-w', said, `http://127.0.0.1:${port}/big`]);
    const [from, head, body] = (await capture.during(curl)).stdout.split(' ').map(Number);
    expect(body).toBe(SIZE);
    const total = head! + SIZE;
    const counters = capture.counters.read();
    expect(imbalance(counters)).toEqual(balanced);
    expect(counters.ledger.seen.bytes).toBeGreaterThanOrEqual(total);
    // The window, and the budget for small segments.
    expect(counters.ledger.copied.bytes).toBeLessThan(8192 + 256 * 1024 + 4096);
    expect(counters.ledger.lost.bytes).toBe(0);
    const records = capture.of(from!, EGRESS);
    expect(records[0]!.payload.latin1Slice()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n/);
    // Every gap between the ranges of the records is explained by the record behind it.
    const origin = records[0]!.seq;
    let end = 0;
    for (const s of records) {
      const at = end + ((s.seq - origin - end) | 0);
      if (at > end) expect(s.leftOut, `before byte ${at}`).toBe(at - end);
      end = Math.max(end, at + s.length);
    }
    expect(end).toBe(total);
    expect(capture.segments.some((s) => s.direction === EGRESS && (s.flags & TCP_FIN) !== 0)).toBe(true);
  });

  it('follows chunk sizes through a long chunked body', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
    const { capture, client } = await asked('chunked', request, (client) => client.untilEnded());
    const segments = capture.of(client.port, EGRESS);
    const origin = segments[0]!.seq;
    const held = Buffer.alloc(client.total);
    const have = new Uint8Array(client.total);
    for (const s of segments) {
      const at = (s.seq - origin) | 0;
      s.payload.copy(held, at);
      have.fill(1, at, at + s.payload.length);
    }
    let at = client.received.indexOf('\r\n\r\n') + 4;
    let chunks = 0;
    for (;;) {
      const line = client.received.indexOf('\r\n', at);
      const size = Number.parseInt(client.received.latin1Slice(at, line), 16);
      for (let i = at; i < line + 2; i++) expect(have[i], `byte ${i} of chunk ${chunks}'s size line`).toBe(1);
      expect(held.latin1Slice(at, line)).toBe(client.received.latin1Slice(at, line));
      if (size === 0) break;
      at = line + 2 + size + 2;
      chunks++;
    }
    expect(chunks).toBe(300);
    for (let i = at; i < client.total; i++) expect(have[i], `trailer byte ${i}`).toBe(1);
    expect(capture.counters.read().ledger.copied.bytes).toBeLessThan(client.total / 50);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('keeps copying small segments of a long response', async () => {
    const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
    const { capture, client } = await asked('events', request, (client) => client.untilEnded());
    expect(client.total).toBeGreaterThan(45_000);
    const segments = capture.of(client.port, EGRESS);
    const small = segments.filter(({ length }) => length <= SMALL_SEGMENT_BYTES);
    for (const { seq, length, payload } of small) {
      const at = (seq - segments[0]!.seq) >>> 0;
      expectSame(payload.latin1Slice(), client.received.latin1Slice(at, at + length), `at ${at}`);
    }
    expect(small.length).toBeGreaterThan(20);
    // On a busy machine events wait for one another and leave together: those segments are long ones.
    for (const { leftOut } of segments) if (leftOut > 0) expect(leftOut).toBeGreaterThan(SMALL_SEGMENT_BYTES);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('sees pipelined requests in one segment and all their responses', async () => {
    const request = `GET /p HTTP/1.1\r\nHost: x\r\nX-Fill: ${'p'.repeat(400)}\r\n\r\n`.repeat(30);
    const { capture, client } = await asked('http', request, (client) => client.untilReceived(30 * 40));
    expectSame(capture.requests(client.port), request);
    expectSame(capture.responses(client.port), client.received.latin1Slice());
    expect(capture.counters.read().requests.seen).toBe(30);
  });

  it.each(['PURGE', 'X-CUSTOM_method!1', 'a', 'M'.repeat(32)])('takes any token for a method: %s', async (method) => {
    const request = `\r\n${method} /x HTTP/1.1\r\nHost: x\r\n\r\n`;
    const { capture, client } = await asked('http', request, (client) => client.untilReceived(40));
    expectSame(capture.requests(client.port), request);
    expect(capture.counters.read().requests.seen).toBe(1);
  });

  it('leaves other protocols out, counts them, and notices when HTTP begins', async () => {
    const cgroup = makeCgroup();
    await startPeer(cgroup, 'banner');
    const capture = new Capture(cgroup);
    const client = await Client.open(port);
    await capture.during(
      (async () => {
        await client.untilReceived(9);
        for (let i = 0; i < 20; i++) {
          const before = client.total;
          client.write(Buffer.from(`\x00\x02${'z'.repeat(100)}`, 'latin1'));
          await client.untilReceived(before + 1000);
        }
        const before = client.total;
        client.write('GET /late HTTP/1.1\r\nHost: x\r\n\r\n');
        await client.untilReceived(before + 1000);
      })(),
    );
    const counters = capture.counters.read();
    expect(imbalance(counters)).toEqual(balanced);
    expect(counters.classes.other.bytes).toBeGreaterThan(19 * 1100);
    expect(counters.requests.seen).toBe(1);
    expect(capture.segments.some((s) => s.payload.latin1Slice().startsWith('GET /late'))).toBe(true);
  });

  it('joins connections older than itself at the next message', async () => {
    const cgroup = makeCgroup();
    await startPeer(cgroup, 'http');
    const client = await Client.open(port);
    client.write('GET /before HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.untilReceived(40);
    const capture = new Capture(cgroup);
    await capture.during(
      (async () => {
        client.write('GET /after HTTP/1.1\r\nHost: x\r\n\r\n');
        await client.untilReceived(80);
      })(),
    );
    expectSame(capture.requests(client.port), 'GET /after HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(capture.responses(client.port)).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(capture.events.some((e) => e.kind === 'opened')).toBe(false);
  });

  it('names addresses: IPv6, and IPv4 on a dual-stack socket as mapped', async () => {
    const cgroup = makeCgroup();
    await startPeer(cgroup, 'http');
    const capture = new Capture(cgroup);
    const four = await Client.open(port, '127.0.0.1');
    const six = await Client.open(port, '::1');
    await capture.during(
      (async () => {
        for (const client of [four, six]) {
          client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
          await client.untilReceived(40);
        }
      })(),
    );
    const addresses = (port: number) => capture.of(port, INGRESS).map((s) => [s.local, s.localPort, s.remote]);
    expect(addresses(four.port)).toEqual([[MAPPED_LOOPBACK, port, MAPPED_LOOPBACK]]);
    expect(addresses(six.port)).toEqual([[LOOPBACK6, port, LOOPBACK6]]);
  });

  it('tells both ends of a connection apart, and who owns them', async () => {
    const cgroup = makeCgroup();
    const server = await startPeer(cgroup, 'http');
    const capture = new Capture(cgroup);
    const curl = start(cgroup, 'curl', ['-s', '-o', '/dev/null', `http://127.0.0.1:${port}/both`]);
    // The server closes its end later.
    await capture.during(new Promise((resolve) => curl.once('exit', resolve)).then(() => untilQuiet(port)));
    const opened = capture.events.filter((e) => e.kind === 'opened');
    expect(opened.map((e) => e.accepted).sort()).toEqual([false, true]);
    expect(new Set(opened.map((e) => e.flow)).size).toBe(2);
    expect(capture.events.filter((e) => e.kind === 'closed')).toHaveLength(2);
    expect(capture.loaded.variant === 'writer' || capture.loaded.variant === 'creator').toBe(true);
    const owner = (accepted: boolean) => {
      const flow = opened.find((e) => e.accepted === accepted)!.flow;
      return capture.events.filter((e) => e.kind === 'owner' && e.flow === flow).at(-1)!;
    };
    expect(owner(true).pid).toBe(server);
    expect(owner(false)).toMatchObject({ pid: curl.pid, comm: 'curl' });
    expect(owner(true).cgroupId).toBe(owner(false).cgroupId);
    expect(owner(true).cgroupId).toBe(Number(spawnSync('stat', ['-c', '%i', cgroup]).stdout.toString()));
  });

  it('finds owners without asking writers, too', async () => {
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup, { variant: 'creator' });
    const server = start(cgroup, process.execPath, [peer, String(port), 'http']);
    await untilListening(port);
    const client = await Client.open(port);
    await capture.during(
      (async () => {
        client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        await client.untilReceived(40);
      })(),
    );
    const flow = capture.of(client.port, INGRESS)[0]!.flow;
    const owners = capture.events.filter((e) => e.kind === 'owner' && e.flow === flow);
    expect(owners).toMatchObject([{ pid: server.pid, evidence: 'creator' }]);
    expect(capture.loaded.programs.map((p) => p.name)).toContain('headwater_make');
  });

  it('attributes the first request of a deferred accept to its connection', async () => {
    const cgroup = makeCgroup();
    await startNginx(cgroup, port, `listen 127.0.0.1:${port} deferred;`, 'location / { return 204; }');
    const capture = new Capture(cgroup);
    const client = await Client.open(port);
    const request = 'GET /deferred HTTP/1.1\r\nHost: x\r\n\r\n';
    await capture.during(
      (async () => {
        client.write(request);
        await client.untilReceived(20);
      })(),
    );
    expectSame(capture.requests(client.port), request);
    expect(capture.of(client.port, INGRESS)[0]).toMatchObject({ flow: 0, localPort: port, remote: MAPPED_LOOPBACK });
    expect(capture.responses(client.port)).toMatch(/^HTTP\/1\.1 204 /);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('sees the request that a fast-open SYN carries, on both ends', async () => {
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup);
    const script = start(cgroup, 'python3', [join(import.meta.dirname, 'fastopen.py'), String(port)]);
    const code = await capture.during(new Promise((resolve) => script.once('exit', resolve)));
    expect(code).toBe(0);
    const carried = capture.segments.filter((s) => s.payload.latin1Slice().startsWith('GET /fast/2'));
    expect(carried.map((s) => s.direction).sort()).toEqual([INGRESS, EGRESS]);
    for (const s of carried) expect(s.flags & TCP_SYN, `direction ${s.direction}`).toBe(TCP_SYN);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('sees calls behind IPv6 extension headers, on both ends', async () => {
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup);
    const script = start(cgroup, 'python3', [join(import.meta.dirname, 'extensions.py')]);
    const code = await capture.during(new Promise((resolve) => script.once('exit', resolve)));
    expect(code).toBe(0);
    for (const start of ['GET /behind HTTP/1.1\r\n', 'HTTP/1.1 200 OK\r\n']) {
      const carried = capture.segments.filter((s) => s.payload.latin1Slice().startsWith(start));
      expect(carried.map((s) => s.direction).sort(), start).toEqual([INGRESS, EGRESS]);
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });
});
