/** The client that the commands use. */
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ServeRig } from '../../test/unit/serve-rig.ts';
import { AgentClient } from './client.ts';

let rig: ServeRig;
beforeEach(() => {
  rig = new ServeRig();
});
afterEach(() => rig[Symbol.dispose]());

describe('the client', () => {
  test('says that nobody is there', async () => {
    expect(await new AgentClient(rig.file('none.sock')).status({ programs: false })).toEqual({
      ok: false,
      kind: 'absent',
    });
    const stale = rig.file('stale.sock');
    writeFileSync(stale, '');
    expect(await new AgentClient(stale).tail(null)).toEqual({ ok: false, kind: 'absent' });
    expect(await new AgentClient(join(stale, 'x.sock')).why()).toEqual({ ok: false, kind: 'absent' });
  });

  test.skipIf(process.getuid?.() === 0)('says that it may not', async () => {
    const { path } = await rig.agent();
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
    const path = rig.file('odd.sock');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(bytes));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    rig.later(() => server.close());
    expect(await new AgentClient(path).status({ programs: false })).toMatchObject({ ok: false, kind: 'broken' });
  });
});
