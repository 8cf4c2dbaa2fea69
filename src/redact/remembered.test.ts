import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Memory } from '../base/memory.ts';
import { HeaderName } from '../model/fields.ts';
import { Fingerprinter } from './fingerprint.ts';
import { CredentialPolicy } from './policy.ts';

const policy = new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 1)));
const names = ['authorization', 'cookie', 'set-cookie', 'www-authenticate', 'accept', 'x-nobody-knows'].map(
  (lower, i) => new HeaderName(i + 1, lower),
);

/** The value as it stands in a JSON string, if the policy has it at hand. */
function credential(name: HeaderName, value: string): string | null {
  const memory = Memory.from(Buffer.from(`--${value}--`, 'latin1'));
  const shown = policy.credential(name, memory, 2, value.length);
  return shown === null ? null : Buffer.from(shown).latin1Slice();
}

test('a credential that comes again is shown as it is without being remembered', () => {
  const [authorization, cookie] = names as [HeaderName, HeaderName];
  const value = 'session=not-a-real-session; theme=dark';
  for (const name of [authorization, cookie]) {
    expect(credential(name, value)).toBeNull();
    for (let i = 0; i < 3; i++) expect(credential(name, value)).toBe(policy.value(name, value));
  }
});

test('names that hold no credentials are none of its business', () => {
  for (const name of names.slice(4)) for (let i = 0; i < 3; i++) expect(credential(name, 'x')).toBeNull();
});

test('whatever came before, what is shown is what the policy shows, and needs no escaping', () => {
  const value = fc.oneof(
    fc.constantFrom(
      'a=b',
      'Bearer not-a-real-token-0123456789',
      'Basic bm90OnJlYWw=',
      'Digest realm="a", nonce="b"',
      '',
    ),
    fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: 40 }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 8 }), (pairs) => {
      for (const [name, text] of [...pairs, ...pairs, ...pairs]) {
        const shown = credential(name, text);
        if (shown === null) continue;
        expect(shown).toBe(policy.value(name, text));
        expect(JSON.stringify(shown)).toBe(`"${shown}"`);
      }
    }),
    { numRuns: 500 },
  );
});
