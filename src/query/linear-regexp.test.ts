import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileLinear } from './linear-regexp.ts';

test('written-out counts match what the counted pattern matches', () => {
  const atom = fc.constantFrom('a', '[ab]', '[^a]', '\\d', '\\x61', '.', '\\.', '[\\]a]');
  const quantifier = fc.oneof(
    fc.constantFrom('', '*', '+', '?'),
    fc.tuple(fc.nat(20), fc.nat(4)).map(([n, more]) => `{${n},${n + more}}`),
    fc.nat(20).map((n) => `{${n}}`),
    fc.nat(20).map((n) => `{${n},}`),
    fc.nat(20).map((n) => `{${n},}?`),
  );
  const pattern = fc
    .array(fc.tuple(atom, quantifier), { minLength: 1, maxLength: 4 })
    .map((parts) => `^${parts.map(([a, q]) => a + q).join('')}$`);
  const text = fc.array(fc.constantFrom('a', 'b', '1', '.', ']'), { maxLength: 40 }).map((c) => c.join(''));
  fc.assert(
    fc.property(pattern, fc.array(text, { maxLength: 5 }), (source, texts) => {
      const linear = compileLinear(source);
      expect(linear, source).not.toBeNull();
      const plain = new RegExp(source);
      for (const t of texts) expect([source, t, linear!.test(t)]).toEqual([source, t, plain.test(t)]);
    }),
    { numRuns: 2_000 },
  );
});

test.each(['(', '[', '(?=a)', '(a)\\1', 'a{2,1}', 'a{9999}{9999}', '*', `${'a{1000}'.repeat(20)}`])(
  '%s is refused',
  (pattern) => expect(compileLinear(pattern)).toBeNull(),
);

test.each([
  '',
  'a',
  '^[0-9a-f]{8}-[0-9a-f]{4}$',
  '(?:a|b)+',
  '\\bfoo\\b',
  '[^{}]{2}',
  'a|b{3}',
  '\\{3}',
  'x{',
  '(ab){3}',
])('%s is a pattern', (pattern) => expect(compileLinear(pattern)).not.toBeNull());
