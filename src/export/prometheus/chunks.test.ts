import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Chunks, NUMBER_MAX, UTF8_MAX } from './chunks.ts';

const written = (out: Chunks): string => Buffer.concat([...out.chunks()]).toString();

test('numbers are as JavaScript writes them', () => {
  const numbers = fc.oneof(
    fc.integer(),
    fc.nat(),
    fc.maxSafeNat(),
    fc.double(),
    fc.constantFrom(-0, 0, 2 ** 32 - 1, 2 ** 32),
  );
  fc.assert(
    fc.property(fc.array(numbers), (all) => {
      const out = new Chunks();
      for (const number of all) {
        out.room(NUMBER_MAX + 1);
        out.number(number);
        out.text(' ');
      }
      expect(written(out)).toBe(all.map((number) => `${number} `).join(''));
    }),
  );
});

test('texts of any length and script, copied within their chunk, arrive in order', () => {
  const texts = fc.array(fc.string({ unit: 'binary', maxLength: 400 }), { maxLength: 40 });
  fc.assert(
    fc.property(texts, (all) => {
      const out = new Chunks();
      expect(out.empty).toBe(true);
      for (const text of all) {
        out.room(2 * UTF8_MAX * text.length + 1);
        const from = out.at;
        out.text(text);
        const to = out.at;
        out.bytes(Buffer.from('|'));
        out.again(from, to);
      }
      expect(written(out)).toBe(all.map((text) => `${text}|${text}`).join(''));
      expect(out.empty).toBe(all.length === 0 || (all.every((text) => text === '') && written(out) === ''));
    }),
  );
});
