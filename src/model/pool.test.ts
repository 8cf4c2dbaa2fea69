import { expect, test } from 'vitest';
import { FieldLine, HeaderName } from './fields.ts';
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

test('what is short takes little, and neither small slab counts as large', () => {
  const pool = new MessagePool(BOUNDS);
  const { fields } = pool.take('request');
  expect(pool.reserve(fields, 0, 60)).toBe(true);
  expect(fields.memory.size).toBe(256);
  fields.memory.buf.write('abcd');
  expect(pool.reserve(fields, 4, 300)).toBe(true);
  expect([fields.memory.size, fields.memory.buf.toString('latin1', 0, 4), pool.largeBytes]).toEqual([1_024, 'abcd', 0]);
});

test('messages of thousands of lines come back to whoever expects as many, without their lines, and boundedly many', () => {
  const pool = new MessagePool();
  const line = new FieldLine(new HeaderName(0, 'x'), 'X', '1');
  const messages = Array.from({ length: 40 }, () => pool.take('request'));
  for (const { fields } of messages) for (let i = 0; i < 4_000; i++) fields.push(line, 0, 0);
  for (const message of messages) pool.give(message);
  expect(pool.take('request').fields.lines.length).toBe(0);
  const again = Array.from({ length: 40 }, () => pool.take('request', true));
  const wide = again.filter(({ fields }) => fields.lines.length > 0);
  expect(wide.length).toBe(Math.floor(65_536 / 4_000));
  for (const { fields } of wide) expect([fields.count, fields.lines.includes(line)]).toEqual([0, false]);
});
