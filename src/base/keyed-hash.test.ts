import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyedHash } from './keyed-hash.ts';

/** HalfSipHash-c-d as its paper describes it, on plain arrays; returns the final state. */
function halfSip(key: Uint8Array, bytes: Uint8Array, c: number, d: number, wide: boolean): number[] {
  const word = (from: Uint8Array, at: number): number =>
    [0, 1, 2, 3].reduce((w, i) => w | ((from[at + i] ?? 0) << (8 * i)), 0);
  const rotl = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
  const k0 = word(key, 0);
  const k1 = word(key, 4);
  const v = [k0, k1 ^ (wide ? 0xee : 0), 0x6c796765 ^ k0, 0x74656462 ^ k1];
  const round = (): void => {
    v[0] = (v[0]! + v[1]!) | 0;
    v[1] = rotl(v[1]!, 5) ^ v[0]!;
    v[0] = rotl(v[0]!, 16);
    v[2] = (v[2]! + v[3]!) | 0;
    v[3] = rotl(v[3]!, 8) ^ v[2]!;
    v[0] = (v[0]! + v[3]!) | 0;
    v[3] = rotl(v[3]!, 7) ^ v[0]!;
    v[2] = (v[2]! + v[1]!) | 0;
    v[1] = rotl(v[1]!, 13) ^ v[2]!;
    v[2] = rotl(v[2]!, 16);
  };
  const words: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) words.push(word(bytes, at));
  words.push(word(bytes.slice(bytes.length & ~3), 0) | (bytes.length << 24));
  for (const m of words) {
    v[3] = v[3]! ^ m;
    for (let i = 0; i < c; i++) round();
    v[0] = v[0]! ^ m;
  }
  v[2] = v[2]! ^ (wide ? 0xee : 0xff);
  for (let i = 0; i < d; i++) round();
  return v;
}

test('the test’s own HalfSipHash-2-4 gives the published vectors', () => {
  const key = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7]);
  const vectors = [0x5b9f35a9, 0xb85a4727, 0x03a662fa, 0x04e7fe8a, 0x89466e2a, 0x69b6fac5, 0x23fc6358, 0xc563cf8b];
  vectors.forEach((vector, length) => {
    const v = halfSip(
      key,
      Uint8Array.from({ length }, (_, i) => i),
      2,
      4,
      false,
    );
    expect((v[1]! ^ v[3]!) >>> 0).toBe(vector);
  });
});

test('both lanes are those of HalfSipHash-1-3 after its final rounds, for bytes and for text, at any offset', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(7),
      (key, bytes, offset) => {
        const [v0, v1, v2, v3] = halfSip(key, bytes, 1, 3, true) as [number, number, number, number];
        const lanes = [v1 ^ v3, v0 ^ v2];
        const hash = new KeyedHash(key);
        const memory = new Uint8Array(bytes.length + offset);
        memory.set(bytes, offset);
        hash.bytes(new DataView(memory.buffer), offset, bytes.length);
        expect([hash.low, hash.high]).toEqual(lanes);
        hash.text(Buffer.from(bytes).latin1Slice());
        expect([hash.low, hash.high]).toEqual(lanes);
      },
    ),
  );
});

test('another key gives other hashes', () => {
  const a = new KeyedHash(Buffer.alloc(8, 1));
  const b = new KeyedHash(Buffer.alloc(8, 2));
  a.text('value');
  b.text('value');
  expect([a.low, a.high]).not.toEqual([b.low, b.high]);
  expect(a.id).not.toBe(b.id);
});
