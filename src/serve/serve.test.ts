/** The agent's servers over real sockets. */
import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sampleSource, sampleStatus } from '../../test/fixtures/samples.ts';
import { ask, metricsOf, metricsText, noHistory, ServeRig, value } from '../../test/unit/serve-rig.ts';
import { apiServer } from './api.ts';
import { AgentClient } from './client.ts';
import { readOnlyServer, sendJson } from './http.ts';
import { listenTcp } from './listen.ts';
import { isLoopback, publicServer, readToken } from './public.ts';

let rig: ServeRig;
beforeEach(() => {
  rig = new ServeRig();
});
afterEach(() => rig[Symbol.dispose]());

test('clients that never finish their request hold the server for a short time only, however many', async () => {
  const server = readOnlyServer((_, __, response) => sendJson(response, 200, { status: 'ok' }), 100);
  const listening = await listenTcp(server, '127.0.0.1', 0);
  if (!listening.ok) throw new Error(listening.message);
  rig.later(() => server.close());
  const [host, port] = listening.address.split(':') as [string, string];
  const slow = Array.from({ length: 200 }, () => createConnection(Number(port), host));
  const ended = slow.map((socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    return new Promise((resolve) => socket.once('close', resolve));
  });
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write('y');
  }, 20);
  rig.later(() => clearInterval(drip));
  // The server ends them; this test does not.
  await Promise.all(ended);
  expect((await ask({ host, port: Number(port) }, '/healthz')).status).toBe(200);
});

describe('the unix socket', () => {
  test('answers health, status and why', async () => {
    const { path } = await rig.agent();
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
      packets: null,
      why: async () => ({}),
      history: noHistory,
    });
    const path = rig.file('a.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    rig.later(() => server.close());
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
    const { path: socketPath } = await rig.agent();
    expect((await ask({ socketPath }, path, { method })).status).toBe(status);
  });

  test('survives what is not HTTP', async () => {
    const { path } = await rig.agent();
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
      packets: null,
      why: async () => ({}),
      history: noHistory,
    });
    const path = rig.file('b.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    rig.later(() => server.close());
    expect(await new AgentClient(path).status({ programs: false })).toEqual({
      ok: false,
      kind: 'refused',
      message: 'no kernel',
    });
    expect((await ask({ socketPath: path }, '/healthz')).status).toBe(200);
  });
});

describe('the TCP listener', () => {
  async function open(token: string | null, ready = true): Promise<{ host: string; port: number }> {
    const server = publicServer(metricsOf(sampleSource(sampleStatus({ ready }))), noHistory, token);
    const result = await listenTcp(server, '127.0.0.1', 0);
    if (!result.ok) throw new Error(result.message);
    rig.later(() => {
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

  test('without a token only loopback names are answered: a page of another name may have this address (DNS rebinding)', async () => {
    const where = await open(null);
    const asked = async (host: string, at = where): Promise<number> =>
      (await ask(at, '/api/v1', { headers: { host } })).status;
    for (const host of ['localhost', 'LOCALHOST:80', `127.0.0.1:${where.port}`, '[::1]:9464', '127.9.9.9'])
      expect(await asked(host), host).toBe(200);
    const foreign = [
      'evil.example',
      'evil.example:9464',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '10.0.0.1',
    ];
    for (const host of [...foreign, '[::2]', 'a b', '@localhost@evil', 'evil.example#localhost'])
      expect(await asked(host), host).toBe(421);
    expect(await asked('evil.example', await open('fake-token-for-this-test'))).toBe(401);
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
    const file = rig.file('token');
    const write = (text: string) => {
      writeFileSync(file, text);
      return readToken(file);
    };
    expect(write('fake-token-0123456789\n')).toEqual({ ok: true, token: 'fake-token-0123456789' });
    expect(write('short')).toMatchObject({ ok: false });
    expect(write('')).toMatchObject({ ok: false });
    expect(write('two lines of a token\nand another')).toMatchObject({ ok: false });
    expect(readToken(rig.file('none'))).toMatchObject({ ok: false, message: expect.stringContaining('none') });
  });
});
