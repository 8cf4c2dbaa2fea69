/** Connections that were joined after their handshake: TLS that nobody can read, and named so. */
import { expect, test } from 'vitest';
import { Memory } from '../../../src/base/memory.ts';
import { isProtected } from '../../../src/tls/records.ts';
import { play, recording } from './rig.ts';

test.each(['tls13-h1', 'tls13-h2', 'tls12-gcm128', 'tls12-cbc-sha'])(
  '%s is counted as handshake_unseen',
  async (name) => {
    const { conversations, keylog } = await recording(name);
    const { events } = conversations[0]!;
    const first = events.findLastIndex((e) => e.what === 'data' && (e.bytes[0] === 20 || e.bytes[0] === 22));
    // A last alert tells nothing.
    const joined = events.slice(first + 1).filter((e) => e.what !== 'data' || e.bytes[0] === 23);
    const bytes = joined.reduce((sum, e) => sum + (e.what === 'data' ? e.bytes.length : 0), 0);
    expect(bytes).toBeGreaterThan(100);
    for (const e of joined)
      if (e.what === 'data') expect(isProtected(Memory.from(e.bytes), 0, e.bytes.length)).toBe(true);
    const played = play(joined, { keylog });
    expect(played.facts).toEqual([]);
    expect(played.connection.facts.unread).toBe('handshake_unseen');
    expect(played.shared.counters.unread.handshake_unseen).toEqual({ connections: 1, bytes });
    expect(played.losses.totals().map((l) => l.reason)).toEqual(['tls_no_secret']);
  },
);

test.each(['tls13-h1', 'tls12-gcm128'])(
  '%s without its SYN and without secrets: the client is who says hello',
  async (name) => {
    const { events, client } = (await recording(name)).conversations[0]!;
    const clients: number[] = [];
    play(events, { settled: ({ clientDirection }) => void clients.push(clientDirection) });
    expect(clients).toEqual([client]);
  },
);

test.each([
  ['a request', 'GET / HTTP/1.1\r\n\r\n'],
  ['another version', '\x17\x03\x01\x00\x40'],
  ['too short for a tag', '\x17\x03\x03\x00\x10'],
  ['too long', '\x17\x03\x03\xff\xff'],
  ['no header behind the first record', `\x17\x03\x03\x00\x11${'x'.repeat(30)}`],
  ['four bytes', '\x17\x03\x03\x00'],
])('%s is no TLS', (_, text) => {
  expect(isProtected(Memory.from(Buffer.from(text, 'latin1')), 0, text.length)).toBe(false);
});
