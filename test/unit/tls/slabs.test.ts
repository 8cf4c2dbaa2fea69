/** Memory for records that come in pieces. */
import { expect, test } from 'vitest';
import { Memory } from '../../../src/base/memory.ts';
import { Connection } from '../../../src/model/connection.ts';
import { LossLedger } from '../../../src/model/loss.ts';
import { TlsConnection } from '../../../src/tls/connection.ts';
import { TlsShared } from '../../../src/tls/shared.ts';
import { SEARCH_BYTES_MAX, Slabs } from '../../../src/tls/slabs.ts';
import { Listener, newStore, play, recording } from './rig.ts';

test('a block that was given back is taken again, by whoever needs as much', () => {
  const slabs = new Slabs();
  const first = slabs.take(5);
  expect(first.size).toBe(Slabs.sizeOf(5));
  expect(slabs.take(5)).not.toBe(first);
  slabs.give(first);
  expect(slabs.take(3_000)).not.toBe(first);
  expect(slabs.take(1_000)).toBe(first);
});

test('what is kept is bounded', () => {
  const slabs = new Slabs();
  const taken = Array.from({ length: 100 }, () => slabs.take(SEARCH_BYTES_MAX));
  for (const slab of taken) slabs.give(slab);
  const kept = Array.from({ length: 100 }, () => slabs.take(SEARCH_BYTES_MAX)).filter((slab) => taken.includes(slab));
  expect(kept.length).toBe(Math.floor((1 << 20) / SEARCH_BYTES_MAX));
});

test('connections that take turns in pieces of any size do not see each other', async () => {
  const names = ['tls13-h1', 'tls13-h2', 'tls12-gcm128'];
  const recordings = await Promise.all(names.map(recording));
  const shared = new TlsShared({
    store: newStore(recordings.map(({ keylog }) => keylog).join('\n')),
    losses: new LossLedger(),
    verify: 'bound',
  });
  const address = { address: '127.0.0.1', port: 1 };
  const all = recordings.flatMap(({ conversations, keylog }) =>
    conversations.map(({ events }) => {
      const listener = new Listener();
      const tls = new TlsConnection(new Connection(1, address, address), shared, listener.factory);
      return { events, at: 0, offset: 0, listener, tls, expected: play(events, { keylog }) };
    }),
  );
  const pieces = [1, 4, 700, 33, 2_900, 5, 1_448];
  for (let turn = 0; all.some(({ at, events }) => at < events.length); turn++) {
    const one = all[turn % all.length]!;
    const event = one.events[one.at];
    if (event === undefined) continue;
    const stream = one.tls.streams[event.direction];
    if (event.what === 'end') stream.end(event.how, event.ts);
    if (event.what === 'data') {
      const part = event.bytes.subarray(one.offset, one.offset + pieces[turn % pieces.length]!);
      stream.data(Memory.from(part), 0, part.length, event.position + one.offset, event.ts, event.ack);
      one.offset += part.length;
      if (one.offset < event.bytes.length) continue;
    }
    one.at++;
    one.offset = 0;
  }
  expect(shared.held).toBe(0);
  expect(all.length).toBeGreaterThan(2);
  for (const { listener, expected } of all) {
    expect(expected.plain[0].length + expected.plain[1].length).toBeGreaterThan(100);
    expect(listener.heard.plain).toEqual(expected.plain);
    expect(listener.heard.gaps).toEqual([]);
  }
  shared.store.close();
});
