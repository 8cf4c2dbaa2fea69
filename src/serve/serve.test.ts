/** The agent's servers over real sockets, and the client that the commands use. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request, type Server } from 'node:http';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sampleRecord, sampleSource, sampleStatus } from '../../test/fixtures/samples.ts';
import { writeAgent } from '../export/prometheus/agent.ts';
import { TextExposition } from '../export/prometheus/text.ts';
import { LOSS_REASONS, LossLedger } from '../model/loss.ts';
import type { ExchangeRecord } from '../model/record.ts';
import type { StatusSource } from '../model/status.ts';
import { RecordSubject } from '../query/record-subject.ts';
import { apiServer } from './api.ts';
import { AgentClient, type ClientResult } from './client.ts';
import { listenTcp } from './listen.ts';
import { isLoopback, publicServer, readToken } from './public.ts';
import type { MetricsSource } from './scrape.ts';
import { TailHub, VIEWERS_MAX } from './tail.ts';
import type { HistorySource } from './v1.ts';

const CREATED_MS = 1_763_827_445_000;

/** No store, no statistics. */
const noHistory: HistorySource = {
  report: async () => ({ ok: false, error: { type: 'unavailable', message: 'no statistics' } }),
  calls: async () => ({ ok: false, error: { type: 'unavailable', message: 'no store' } }),
  sql: async () => ({ ok: false, error: { type: 'unavailable', message: 'no store' } }),
};
const metricsOf = (status: StatusSource): MetricsSource => ({ status, createdMs: CREATED_MS, *statistics() {} });

function metricsText(status: ReturnType<typeof sampleStatus>): string {
  const out = new TextExposition(CREATED_MS);
  writeAgent(status, out);
  return [...out.finish()].join('');
}

let folder: string;
const closing: Array<() => void> = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-serve-'));
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

function ask(
  where: { socketPath: string } | { host: string; port: number },
  path: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...where, path, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

async function agent(
  options: { tail?: TailHub | null } = {},
): Promise<{ path: string; hub: TailHub; losses: LossLedger; server: Server }> {
  const losses = new LossLedger();
  const hub = new TailHub(losses);
  const server = apiServer({
    status: sampleSource(),
    tail: options.tail === null ? null : hub,
    why: async () => ({ sockets: 3 }),
    history: noHistory,
  });
  const path = join(folder, 'agent.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closing.push(() => {
    hub.close();
    server.close();
    server.closeAllConnections();
  });
  return { path, hub, losses, server };
}

const publish = (hub: TailHub, change: Partial<ExchangeRecord> = {}): void => {
  const record = sampleRecord(change);
  hub.publish(new RecordSubject(record), () => JSON.stringify(record));
};

function value<T>(result: ClientResult<T>): T {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result)}`);
  return result.value;
}

async function take(lines: AsyncIterable<string>, n: number): Promise<Array<Record<string, unknown>>> {
  const taken: Array<Record<string, unknown>> = [];
  for await (const line of lines) {
    taken.push(JSON.parse(line));
    if (taken.length === n) break;
  }
  return taken;
}

/** The viewer's request is on its way: wait until the agent has it. */
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('the unix socket', () => {
  test('answers health, status and why', async () => {
    const { path } = await agent();
    const client = new AgentClient(path);
    expect((await ask({ socketPath: path }, '/healthz')).body).toBe('{"status":"ok"}\n');
    expect(value(await client.status({ programs: true }))).toEqual(sampleStatus());
    expect(value(await client.why())).toEqual({ sockets: 3 });
  });

  test('asks for program statistics only when told to', async () => {
    const asked: boolean[] = [];
    const server = apiServer({
      status: {
        ready: () => true,
        status: async ({ programs }) => {
          asked.push(programs);
          return sampleStatus();
        },
      },
      tail: null,
      why: async () => ({}),
      history: noHistory,
    });
    const path = join(folder, 'a.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    closing.push(() => server.close());
    await new AgentClient(path).status({ programs: false });
    await new AgentClient(path).status({ programs: true });
    expect(asked).toEqual([false, true]);
  });

  test.each([
    ['POST', '/v1/status', 405],
    ['DELETE', '/', 405],
    ['GET', '/', 404],
    ['GET', '/v1/statusx', 404],
    ['HEAD', '/healthz', 200],
    ['GET', '//x/../y', 404],
    ['GET', '/v1/tail?filter=', 400],
    ['GET', '/v1/tail?filter=foo', 400],
  ])('%s %s gives %d', async (method, path, status) => {
    const { path: socketPath } = await agent();
    expect((await ask({ socketPath }, path, { method })).status).toBe(status);
  });

  test('survives what is not HTTP', async () => {
    const { path } = await agent();
    for (const bytes of [
      '\0\0\0',
      'GET / HTTP/1.1\r\n'.repeat(2_000),
      'GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n',
      'GET /\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      `GET /${'a'.repeat(70_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      await new Promise<void>((resolve) => {
        const socket = createConnection(path, () => socket.end(bytes));
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
      });
    }
    expect((await ask({ socketPath: path }, '/healthz')).status).toBe(200);
  });

  test('a source that fails answers 500 and nothing else breaks', async () => {
    const server = apiServer({
      status: { ready: () => true, status: () => Promise.reject(new Error('no kernel')) },
      tail: null,
      why: async () => ({}),
      history: noHistory,
    });
    const path = join(folder, 'b.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    closing.push(() => server.close());
    expect(await new AgentClient(path).status({ programs: false })).toEqual({
      ok: false,
      kind: 'refused',
      message: 'no kernel',
    });
    expect((await ask({ socketPath: path }, '/healthz')).status).toBe(200);
  });
});

describe('tail', () => {
  test('pushes calls as they come, and only those that match', async () => {
    const { path, hub } = await agent();
    const all = value(await new AgentClient(path).tail(null));
    const errors = value(await new AgentClient(path).tail('response.code >= 500'));
    await until(() => hub.status().viewers === 2);
    publish(hub, { id: 'a' });
    publish(hub, { id: 'b', response: { ...sampleRecord().response!, status: 503 } });
    publish(hub, { id: 'c' });
    expect((await take(all.lines, 3)).map((r) => r['id'])).toEqual(['a', 'b', 'c']);
    expect((await take(errors.lines, 1)).map((r) => r['id'])).toEqual(['b']);
    expect(hub.status()).toMatchObject({ sent: 4, lost: 0 });
  });

  test('a call that nobody wants is not formatted', async () => {
    const { path, hub } = await agent();
    expect(hub.watched).toBe(false);
    value(await new AgentClient(path).tail('side == "client"'));
    await until(() => hub.watched);
    hub.publish(new RecordSubject(sampleRecord()), () => {
      throw new Error('formatted');
    });
    expect(hub.status().sent).toBe(0);
  });

  test('a bad filter comes back with its column', async () => {
    const { path } = await agent();
    expect(await new AgentClient(path).tail('true && foo')).toMatchObject({
      ok: false,
      kind: 'bad_filter',
      filter: { column: 9, message: 'unknown attribute "foo"' },
    });
  });

  test('a slow viewer loses lines, is told how many, and holds up nobody', async () => {
    const { path, hub, losses } = await agent();
    const slow = await new Promise<Socket>((resolve) => {
      const socket = createConnection(path, () => {
        socket.write('GET /v1/tail HTTP/1.1\r\nhost: a\r\n\r\n');
        socket.pause();
        resolve(socket);
      });
    });
    await until(() => hub.status().viewers === 1);
    const body = 'x'.repeat(10_000);
    const total = 2_000;
    for (let i = 0; i < total; i++) {
      publish(hub, { id: `${i}`, service: body });
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { sent, lost } = hub.status();
    expect(lost).toBeGreaterThan(0);
    expect(sent + lost).toBe(total);
    expect(losses.totals()).toEqual([{ reason: 'tail_slow', count: lost, bytes: expect.any(Number) }]);
    // It wakes up: everything sent arrives, and the number that did not.
    let text = '';
    slow.setEncoding('utf8');
    slow.on('data', (chunk) => {
      text += chunk;
    });
    slow.resume();
    await until(() => (text.match(/"type":"exchange"/g) ?? []).length === sent && text.includes('tail_lost'));
    const told = [...text.matchAll(/\{"type":"tail_lost","count":(\d+)\}/g)].reduce((sum, [, n]) => sum + Number(n), 0);
    expect(told).toBe(lost);
    slow.destroy();
    await until(() => hub.status().viewers === 0);
  });

  test('ends with the agent', async () => {
    const { path, hub } = await agent();
    const stream = value(await new AgentClient(path).tail(null));
    await until(() => hub.watched);
    publish(hub);
    hub.close();
    const lines: string[] = [];
    for await (const line of stream.lines) lines.push(line);
    expect(lines).toHaveLength(1);
  });

  test('is refused when the agent keeps records to itself, and beyond the bound', async () => {
    const closed = await agent({ tail: null });
    expect(await new AgentClient(closed.path).tail(null)).toMatchObject({
      ok: false,
      kind: 'refused',
      message: expect.stringContaining('stats_only'),
    });
    rmSync(closed.path, { force: true });
    const { path, hub } = await agent();
    for (let i = 0; i < VIEWERS_MAX; i++) value(await new AgentClient(path).tail(null));
    await until(() => hub.full);
    expect(await new AgentClient(path).tail(null)).toMatchObject({
      ok: false,
      kind: 'refused',
      message: expect.stringContaining('too many'),
    });
  });
});

describe('the client', () => {
  test('says that nobody is there', async () => {
    expect(await new AgentClient(join(folder, 'none.sock')).status({ programs: false })).toEqual({
      ok: false,
      kind: 'absent',
    });
    const stale = join(folder, 'stale.sock');
    writeFileSync(stale, '');
    expect(await new AgentClient(stale).tail(null)).toEqual({ ok: false, kind: 'absent' });
    expect(await new AgentClient(join(stale, 'x.sock')).why()).toEqual({ ok: false, kind: 'absent' });
  });

  test.skipIf(process.getuid?.() === 0)('says that it may not', async () => {
    const { path } = await agent();
    chmodSync(path, 0);
    expect(await new AgentClient(path).why()).toEqual({ ok: false, kind: 'denied' });
  });

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['no JSON', 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'],
    ['a cut answer', 'HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"a":'],
    ['an error of another kind', 'HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n'],
    ['nothing', ''],
  ])('says that what is there is no agent: %s', async (_, bytes) => {
    const path = join(folder, 'odd.sock');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(bytes));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    closing.push(() => server.close());
    expect(await new AgentClient(path).status({ programs: false })).toMatchObject({ ok: false, kind: 'broken' });
  });
});

describe('the TCP listener', () => {
  async function open(token: string | null, ready = true): Promise<{ host: string; port: number }> {
    const server = publicServer(metricsOf(sampleSource(sampleStatus({ ready }))), noHistory, token);
    const result = await listenTcp(server, '127.0.0.1', 0);
    if (!result.ok) throw new Error(result.message);
    closing.push(() => {
      server.close();
      server.closeAllConnections();
    });
    return { host: '127.0.0.1', port: Number(result.address.split(':')[1]) };
  }

  test('health, readiness, metrics', async () => {
    const where = await open(null);
    expect((await ask(where, '/healthz')).status).toBe(200);
    expect((await ask(where, '/readyz')).body).toBe('{"status":"ready"}\n');
    const metrics = await ask(where, '/metrics');
    expect(metrics.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(metrics.body).toBe(metricsText(sampleStatus()));
    expect((await ask(where, '/v1/status')).status).toBe(404);
    expect((await ask(where, '/metrics', { method: 'POST' })).status).toBe(405);
    expect((await ask(await open(null, false), '/readyz')).status).toBe(503);
  });

  test('with a token, nothing without it', async () => {
    const token = 'fake-token-for-this-test';
    const where = await open(token);
    for (const path of ['/healthz', '/readyz', '/metrics', '/nothing']) {
      expect((await ask(where, path)).status).toBe(401);
      expect((await ask(where, path, { headers: { authorization: `Bearer ${token}x` } })).status).toBe(401);
      expect((await ask(where, path, { headers: { authorization: `Basic ${token}` } })).status).toBe(401);
      expect((await ask(where, path, { headers: { authorization: `Bearer ${token}` } })).status).toBe(
        path === '/nothing' ? 404 : 200,
      );
    }
  });

  test('a port in use, an address that is not ours, a port that is not allowed', async () => {
    const { port } = await open(null);
    expect(await listenTcp(publicServer(metricsOf(sampleSource()), noHistory, null), '127.0.0.1', port)).toMatchObject({
      ok: false,
      reason: 'in_use',
      message: `127.0.0.1:${port} is in use by another program`,
    });
    expect(await listenTcp(publicServer(metricsOf(sampleSource()), noHistory, null), '192.0.2.1', 0)).toMatchObject({
      ok: false,
      reason: 'bad_address',
    });
    expect(
      await listenTcp(publicServer(metricsOf(sampleSource()), noHistory, null), 'no-such-host.invalid', 0),
    ).toMatchObject({
      ok: false,
      reason: 'bad_address',
    });
  });

  test.each([
    ['127.0.0.1', true],
    ['127.255.0.9', true],
    ['::1', true],
    ['localhost', true],
    ['0.0.0.0', false],
    ['::', false],
    ['10.0.0.1', false],
    ['::ffff:10.0.0.1', false],
    ['example.org', false],
    ['localhost.evil.example', false],
  ])('%s is loopback: %s', (host, loopback) => expect(isLoopback(host)).toBe(loopback));

  test('token files', () => {
    const file = join(folder, 'token');
    const write = (text: string) => {
      writeFileSync(file, text);
      return readToken(file);
    };
    expect(write('fake-token-0123456789\n')).toEqual({ ok: true, token: 'fake-token-0123456789' });
    expect(write('short')).toMatchObject({ ok: false });
    expect(write('')).toMatchObject({ ok: false });
    expect(write('two lines of a token\nand another')).toMatchObject({ ok: false });
    expect(readToken(join(folder, 'none'))).toMatchObject({ ok: false, message: expect.stringContaining('none') });
  });
});

describe('metrics', () => {
  const text = metricsText(sampleStatus());

  test('are well-formed OpenMetrics: each family declared once before its samples, ended by # EOF', () => {
    const lines = text.split('\n');
    expect(lines.slice(-2)).toEqual(['# EOF', '']);
    const types = new Map<string, string>();
    const seen = new Set<string>();
    let family = '';
    for (const line of lines.slice(0, -2)) {
      const declared = /^# (TYPE|UNIT|HELP) (\S+) (.+)$/.exec(line);
      if (declared !== null) {
        const [, kind, name, rest] = declared;
        if (kind === 'TYPE') {
          expect(types.has(name!)).toBe(false);
          types.set(name!, rest!);
          family = name!;
        }
        expect(name).toBe(family);
        if (kind === 'UNIT') expect(name!.endsWith(`_${rest}`)).toBe(true);
        continue;
      }
      const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(
        line,
      );
      expect(sample, line).not.toBeNull();
      const suffix = { counter: '_total', gauge: '', info: '_info' }[types.get(family)!];
      const created = types.get(family) === 'counter' ? `${family}_created` : '';
      expect([`${family}${suffix}`, created]).toContain(sample![1]);
      expect(seen.has(`${sample![1]}${sample![2]}`)).toBe(false);
      seen.add(`${sample![1]}${sample![2]}`);
    }
  });

  test('hold the ledger, every loss reason also at zero, ring and CPU', () => {
    expect(text).toContain('headwater_exchanges_total 1204331\n');
    for (const reason of LOSS_REASONS) expect(text).toContain(`headwater_losses_total{reason="${reason}"}`);
    expect(text).toContain('headwater_losses_total{reason="ring_full"} 212\n');
    expect(text).toContain('headwater_losses_total{reason="log_queue_full"} 0\n');
    expect(text).toContain('headwater_segments_total{class="copied"} 2410000\n');
    expect(text).toContain('headwater_ring_bytes{state="peak"} 4194304\n');
    expect(text).toContain('headwater_agent_cpu_seconds_total{process="pipeline"} 9.31\n');
  });
});
