/** Live calls over a real socket. */
import { rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/fixtures/samples.ts';
import { publish, ServeRig, take, until, value } from '../../test/unit/serve-rig.ts';
import { RecordSubject } from '../query/record-subject.ts';
import { AgentClient } from './client.ts';
import { VIEWERS_MAX } from './tail.ts';

let rig: ServeRig;
beforeEach(() => {
  rig = new ServeRig();
});
afterEach(() => rig[Symbol.dispose]());

describe('tail', () => {
  test('pushes calls as they come, and only those that match', async () => {
    const { path, hub } = await rig.agent();
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
    const { path, hub } = await rig.agent();
    expect(hub.watched).toBe(false);
    value(await new AgentClient(path).tail('side == "client"'));
    await until(() => hub.watched);
    hub.publish(new RecordSubject(sampleRecord()), () => {
      throw new Error('formatted');
    });
    expect(hub.status().sent).toBe(0);
  });

  test('a bad filter comes back with its column', async () => {
    const { path } = await rig.agent();
    expect(await new AgentClient(path).tail('true && foo')).toMatchObject({
      ok: false,
      kind: 'bad_filter',
      filter: { column: 9, message: 'unknown attribute "foo"' },
    });
  });

  test('a slow viewer loses lines, is told how many, and holds up nobody', async () => {
    const { path, hub, losses } = await rig.agent();
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
    const { path, hub } = await rig.agent();
    const stream = value(await new AgentClient(path).tail(null));
    await until(() => hub.watched);
    publish(hub);
    hub.close();
    const lines: string[] = [];
    for await (const line of stream.lines) lines.push(line);
    expect(lines).toHaveLength(1);
  });

  test('is refused when the agent keeps records to itself, and beyond the bound', async () => {
    const closed = await rig.agent({ tail: null });
    expect(await new AgentClient(closed.path).tail(null)).toMatchObject({
      ok: false,
      kind: 'refused',
      message: expect.stringContaining('stats_only'),
    });
    rmSync(closed.path, { force: true });
    const { path, hub } = await rig.agent();
    for (let i = 0; i < VIEWERS_MAX; i++) value(await new AgentClient(path).tail(null));
    await until(() => hub.full);
    expect(await new AgentClient(path).tail(null)).toMatchObject({
      ok: false,
      kind: 'refused',
      message: expect.stringContaining('too many'),
    });
  });
});

describe('WebSockets', () => {
  test('their sessions go to whoever was shown the handshake, once', async () => {
    const { path, hub } = await rig.agent();
    const all = value(await new AgentClient(path).tail(null));
    const others = value(await new AgentClient(path).tail('response.code == 200'));
    await until(() => hub.status().viewers === 2);
    const handshake = sampleRecord({ id: 'w', response: { ...sampleRecord().response!, status: 101 } });
    hub.publish(new RecordSubject(handshake), () => JSON.stringify(handshake), handshake.id);
    const session = { type: 'websocket', exchange: 'w' };
    for (let twice = 0; twice < 2; twice++) hub.websocket('w', () => JSON.stringify(session));
    hub.websocket('of a handshake that nobody saw', () => {
      throw new Error('formatted');
    });
    publish(hub, { id: 'last' });
    expect((await take(all.lines, 3)).map((r) => r['exchange'] ?? r['id'])).toEqual(['w', 'w', 'last']);
    expect((await take(others.lines, 1)).map((r) => r['id'])).toEqual(['last']);
  });
});
