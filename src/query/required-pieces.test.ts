import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Condition, Need } from './condition.ts';
import { compileLinear } from './linear-regexp.ts';
import { requiredBy } from './required-pieces.ts';

const asked = (pattern: string): Need =>
  requiredBy(pattern, (text, first): Condition => ({ sql: '', need: { type: 'piece', text, first } })).need;

const piece = (text: string, first = false): Need => ({ type: 'piece', text, first });

test.each<[string, Need]>([
  ['abc', piece('abc')],
  ['^/v1/users/[0-9]+$', piece('/v1/users/', true)],
  ['^a?bcd', piece('bcd')],
  ['ab+cd', { type: 'all', of: [piece('ab'), piece('cd')] }],
  ['abc{0,2}', piece('ab')],
  ['abc{2}de', { type: 'all', of: [piece('abc'), piece('de')] }],
  ['(curl|wget)/', { type: 'any', of: [piece('curl'), piece('wget')] }],
  ['^ab|cd', { type: 'any', of: [piece('ab', true), piece('cd')] }],
  ['(?<id>abc)+', piece('abc')],
  ['(abc)*de', piece('de')],
  [String.raw`\.example\.com$`, piece('.example.com')],
  [String.raw`a[\]x]bc\dde`, { type: 'all', of: [piece('bc'), piece('de')] }],
  ['caf\u00e9s', piece('caf')],
])('%s', (pattern, need) => {
  expect(compileLinear(pattern)).not.toBeNull();
  expect(asked(pattern)).toEqual(need);
});

test.each(['', '.*', 'a|', '(?i:abc)', String.raw`\x41bc`, 'ab{', `${'('.repeat(21)}abc${')'.repeat(21)}`])(
  'nothing is known of a text that %s matches',
  (pattern) => {
    expect(asked(pattern)).toBeNull();
  },
);

test('a pattern of thousands of pieces asks for none of them', () => {
  expect(asked(Array.from({ length: 500 }, (_, n) => `id-${n}`).join('|'))).toBeNull();
});

const holds = (need: Need, text: string): boolean => {
  if (need === null) return true;
  if (need.type === 'all') return need.of.every((one) => holds(one, text));
  if (need.type === 'any') return need.of.some((one) => holds(one, text));
  if (need.type !== 'piece') throw new Error(need.type);
  return need.first ? text.startsWith(need.text) : text.includes(need.text);
};

const atom = fc.constantFrom(
  'a',
  'b',
  'ab',
  '.',
  '[ab]',
  '[^a]',
  String.raw`\.`,
  String.raw`\w`,
  '^',
  '$',
  '\u00e9',
  '{',
);
const count = fc.constantFrom('', '', '', '', '*', '+', '?', '{2}', '{0,1}', '{1,}', '+?', '*?');
const pattern = fc.letrec<{ all: string; term: string }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 3 },
    fc.tuple(atom, count).map(([a, n]) => a + n),
    fc
      .tuple(fc.constantFrom('(', '(?:', '(?<n>'), tie('all'), fc.constantFrom(')', ')?', ')*', ')+'))
      .map((p) => p.join('')),
  ),
  all: fc
    .array(
      fc.array(tie('term'), { maxLength: 4 }).map((terms) => terms.join('')),
      { minLength: 1, maxLength: 3 },
    )
    .map((sequences) => sequences.join('|')),
})).all;
const text = fc
  .array(fc.constantFrom('a', 'b', 'ab', '.', '{', '\u00e9', '\n'), { maxLength: 8 })
  .map((parts) => parts.join(''));

test('whatever matches has what is asked for', () => {
  let told = 0;
  fc.assert(
    fc.property(pattern, fc.array(text, { minLength: 20, maxLength: 20 }), (one, texts) => {
      const compiled = compileLinear(one);
      fc.pre(compiled !== null);
      const need = asked(one);
      for (const each of texts) {
        if (!compiled.test(each)) continue;
        if (need !== null) told++;
        expect(holds(need, each), `${one} matches ${JSON.stringify(each)}`).toBe(true);
      }
    }),
    { numRuns: 5_000 },
  );
  // The property says nothing where nothing is asked for.
  expect(told).toBeGreaterThan(200);
});
