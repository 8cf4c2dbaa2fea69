/** Records of TLS 1.2 with CBC, made with node:crypto (RFC 5246 6.2.3.2, RFC 7366): any padding, either order of the MAC, cut short. */
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { Memory } from '../../../src/base/memory.ts';
import { RecordProtection } from '../../../src/tls/protection.ts';
import { SecretMemory } from '../../../src/tls/secret-memory.ts';
import { suiteOf } from '../../../src/tls/suites.ts';
import { Workspace } from '../../../src/tls/workspace.ts';

const KEY_AT = 2_432;
const MAC_AT = 2_500;
const w = new Workspace();
const secrets = new SecretMemory();
const key = Buffer.alloc(16, 7);
const macKey = Buffer.alloc(20, 9);
afterAll(() => w.close());

const AES128_SHA = suiteOf(0xc009).cipher!;

function keys(encryptThenMac: boolean): RecordProtection {
  key.copy(w.memory.buf, KEY_AT);
  macKey.copy(w.memory.buf, MAC_AT);
  return RecordProtection.tls12(w, AES128_SHA, { key: KEY_AT, iv: 0, mac: MAC_AT, encryptThenMac }, secrets)!;
}

/** `more`: blocks of padding beyond the least. */
function seal(content: Buffer, sequence: number, encryptThenMac: boolean, more: number): Buffer {
  const mac = (body: Buffer): Buffer => {
    const pseudo = Buffer.alloc(13);
    pseudo.writeBigUInt64BE(BigInt(sequence));
    Buffer.from([23, 3, 3]).copy(pseudo, 8);
    pseudo.writeUInt16BE(body.length, 11);
    return createHmac('sha1', macKey).update(pseudo).update(body).digest();
  };
  const inner = encryptThenMac ? content : Buffer.concat([content, mac(content)]);
  const padding = 15 - (inner.length % 16) + 16 * more;
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', key, iv).setAutoPadding(false);
  const sealed = [iv, cipher.update(Buffer.concat([inner, Buffer.alloc(padding + 1, padding)])), cipher.final()];
  const fragment = Buffer.concat(encryptThenMac ? [...sealed, mac(Buffer.concat(sealed))] : sealed);
  const header = Buffer.from([23, 3, 3, 0, 0]);
  header.writeUInt16BE(fragment.length, 3);
  return Buffer.concat([header, fragment]);
}

const memoryOf = (bytes: Buffer): Memory => new Memory(new Uint8Array(bytes).buffer);

describe.each([false, true])('encrypt then MAC: %s', (encryptThenMac) => {
  it('content of any length with any padding is read, its tag checked', () => {
    const protection = keys(encryptThenMac);
    fc.assert(
      fc.property(fc.nat(600), fc.nat(14), fc.nat(3), fc.boolean(), (length, more, sequence, verify) => {
        const content = randomBytes(length);
        const record = seal(content, sequence, encryptThenMac, more);
        protection.sequence = sequence;
        expect(protection.open(memoryOf(record), 0, record.length, verify)).toBe(true);
        expect(w.memory.buf.subarray(protection.at, protection.at + protection.bytes)).toEqual(content);
      }),
      { numRuns: 300 },
    );
    protection.close();
  });

  it('a record that is cut, or changed anywhere, does not fit', () => {
    const protection = keys(encryptThenMac);
    const record = seal(Buffer.from('GET / HTTP/1.1'), 0, encryptThenMac, 1);
    for (let size = 5; size < record.length; size++)
      expect(protection.open(memoryOf(record.subarray(0, size)), 0, size, true), `${size} bytes`).toBe(false);
    for (let at = 5; at < record.length; at++) {
      const changed = Buffer.from(record);
      changed[at]! ^= 1;
      expect(protection.open(memoryOf(changed), 0, changed.length, true), `byte ${at}`).toBe(false);
    }
    protection.close();
  });

  it('of a record whose end is not seen the content is as long as in the last one of that size', () => {
    const protection = keys(encryptThenMac);
    const whole = seal(randomBytes(16_384), 0, encryptThenMac, 0);
    // Before one was met: what a whole fragment has.
    expect(protection.usualContent(whole.length)).toBe(16_384);
    for (const [length, more] of [
      [8_000, 0],
      [8_001, 3],
      [16_384, 0],
    ] as const) {
      const record = seal(randomBytes(length), 0, encryptThenMac, more);
      expect(protection.open(memoryOf(record), 0, record.length, true)).toBe(true);
      expect(protection.usualContent(record.length)).toBe(length);
    }
    // Never less than there may be of any other.
    const other = seal(randomBytes(3_000), 0, encryptThenMac, 0);
    expect(protection.usualContent(other.length) - 3_000).toBeGreaterThanOrEqual(0);
    expect(protection.usualContent(other.length) - 3_000).toBeLessThan(16);
    protection.close();
  });
});
