import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory } from '../base/memory.ts';
import { formatAddress } from './address.ts';
import { FlowTable } from './flow-table.ts';

describe('FlowTable', () => {
  it('finds what a map finds, while keys come, go and repeat', () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 300 }), (seed, steps) => {
        const table = new FlowTable(seed);
        const addresses = Memory.alloc(32);
        const expected = new Map<number, number[]>();
        const keyOf = (key: number): [number, number] => {
          addresses.view.setInt32(28, key >> 3);
          return [80, 60_000 + (key & 7)];
        };
        // Beyond the first capacity, so that growing is part of it.
        let slot = 1000;
        for (const [key, adding] of steps) {
          const slots = expected.get(key) ?? [];
          const [local, remote] = keyOf(key);
          if (adding) {
            table.add(slot, addresses, 0, local, remote);
            slots.push(slot++);
          } else if (slots.length > 0) table.remove(slots.splice(key % slots.length, 1)[0]!);
          expected.set(key, slots);
        }
        for (let key = 0; key <= 40; key++) {
          const [local, remote] = keyOf(key);
          expect(table.find(addresses, 0, local, remote)).toBe(expected.get(key)?.at(-1) ?? -1);
        }
      }),
    );
  });

  it('tells apart every word of a key', () => {
    const table = new FlowTable();
    const addresses = Memory.alloc(32);
    table.add(0, addresses, 0, 1, 2);
    for (let at = 0; at < 32; at++) {
      const other = Memory.from(addresses.buf);
      other.buf[at] = 1;
      expect(table.find(other, 0, 1, 2)).toBe(-1);
    }
    expect([table.find(addresses, 0, 2, 1), table.find(addresses, 0, 1, 2)]).toEqual([-1, 0]);
  });
});

describe('formatAddress', () => {
  it.each([
    ['00000000000000000000ffff7f000001', '127.0.0.1'],
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['20010db8000100010001000100010001', '2001:db8:1:1:1:1:1:1'],
    ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['fe800000000000000000000000000000', 'fe80::'],
    ['00010000000000020000000000000003', '1:0:0:2::3'],
    ['000000000000000000000000c0000201', '::c000:201'],
  ])('writes %s as RFC 5952 says', (hex, expected) => {
    expect(formatAddress(Memory.from(Buffer.from(`ff${hex}`, 'hex')), 1)).toBe(expected);
  });
});
