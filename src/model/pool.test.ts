import { expect, test } from 'vitest';
import { MessagePool, SLAB_SIZES } from './pool.ts';

const BOUNDS = { freeMessages: 2, freeSlabBytes: 8_192, largeBytes: 100_000 };

test('a message comes back empty, and keeps its first slab', () => {
  const pool = new MessagePool(BOUNDS);
  const message = pool.take('request');
  expect(pool.reserve(message.fields, 0, 10)).toBe(true);
  const slab = message.fields.memory;
  message.target = '/secret';
  message.anomalies = 7;
  message.lose('gap', 3);
  message.trailers = pool.takeBlock();
  pool.give(message);
  const again = pool.take('response');
  expect(again).toBe(message);
  expect([again.kind, again.target, again.anomalies, again.losses, again.trailers]).toEqual([
    'response',
    '',
    0,
    [],
    null,
  ]);
  expect(again.fields.memory).toBe(slab);
  expect(pool.taken).toBe(1);
});

test('memory grows by slabs, keeps what was there, and large slabs go back', () => {
  const pool = new MessagePool(BOUNDS);
  const message = pool.take('request');
  pool.reserve(message.fields, 0, 4);
  message.fields.memory.buf.write('abcd');
  expect(pool.reserve(message.fields, 4, 5_000)).toBe(true);
  expect(message.fields.memory.size).toBe(16_384);
  expect(message.fields.memory.buf.toString('latin1', 0, 4)).toBe('abcd');
  expect(pool.largeBytes).toBe(16_384);
  pool.give(message);
  expect(pool.largeBytes).toBe(0);
  expect(message.fields.memory.size).toBe(0);
});

test('large slabs are bounded in all; a refusal leaves the block as it was', () => {
  const pool = new MessagePool(BOUNDS);
  const messages = Array.from({ length: 10 }, () => pool.take('request'));
  const got = messages.map((m) => pool.reserve(m.fields, 0, 16_384));
  expect(got.filter(Boolean)).toHaveLength(6);
  expect(pool.largeBytes).toBeLessThanOrEqual(BOUNDS.largeBytes);
  expect(messages.at(-1)!.fields.memory.size).toBe(0);
  for (const m of messages) pool.give(m);
  expect([pool.largeBytes, pool.taken, pool.free]).toEqual([0, 0, BOUNDS.freeMessages]);
});

test('more than the largest slab is a mistake of the caller', () => {
  const pool = new MessagePool();
  expect(() => pool.reserve(pool.take('request').fields, 0, SLAB_SIZES.at(-1)! + 1)).toThrow(/largest slab/);
});
