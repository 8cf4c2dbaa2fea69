import { expect, test } from 'vitest';
import { SecretMemory, SLOT_BYTES, SLOTS_MAX } from './secret-memory.ts';

test('as many slots as there can be, and what is counted as memory is what they were used for', () => {
  const before = process.memoryUsage().external;
  const memory = new SecretMemory();
  expect(process.memoryUsage().external - before).toBeLessThan(1 << 20);
  for (let i = 0; i < 5_000; i++) {
    const slot = memory.take();
    expect(slot).toBe(i);
    memory.memory.buf.writeUInt32LE(i, slot * SLOT_BYTES);
  }
  // What was written through an earlier view is in the later, longer ones.
  for (let i = 0; i < 5_000; i++) expect(memory.memory.buf.readUInt32LE(i * SLOT_BYTES)).toBe(i);
  memory.give(4_321);
  expect(memory.memory.buf.readUInt32LE(4_321 * SLOT_BYTES)).toBe(0);
  expect([memory.take(), memory.used]).toEqual([4_321, 5_000]);
  while (memory.take() >= 0);
  expect(memory.used).toBe(SLOTS_MAX);
  memory.memory.buf[SLOTS_MAX * SLOT_BYTES - 1] = 1;
  memory.close();
});
