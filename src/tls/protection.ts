/**
 * Opens the protected records of one direction under one set of keys (RFC 8446 5.2; RFC 5246 6.2.3; RFC 5288, 6655,
 * 7366, 7905). A record is copied to the workspace and opened in place. Counter modes are also opened in part and
 * without their tag: this is what lets the kernel cut records, and what makes a short record cost two calls of C
 * instead of five.
 */
import { assert } from '../base/assert.ts';
import type { Memory } from '../base/memory.ts';
import {
  type Context,
  final,
  freeContext,
  HASH_BYTES,
  hmac,
  newContext,
  setKeyAndIv,
  setNonceLength,
  setTag,
  update,
  withoutPadding,
} from './libcrypto.ts';
import { CONTENT } from './records.ts';
import { expandLabel } from './schedule.ts';
import { IV_BYTES, type SecretMemory, SLOT_BYTES, type Slot } from './secret-memory.ts';
import type { SuiteCipher } from './suites.ts';
import { HEADER_BYTES, RECORD_AT, type Workspace } from './workspace.ts';

// Places in the workspace's first page; schedule.ts and secrets.ts use those below 2 KiB.
const NONCE_AT = 2_048;
const AAD_AT = 2_080;
const PRODUCED_AT = 2_112;
const MAC_AT = 2_128;
const KEY_AT = 2_304;
const FRAGMENT_AT = RECORD_AT + HEADER_BYTES;
const AAD12_BYTES = 13;
const EXPLICIT_NONCE_BYTES = 8;
const BLOCK_BYTES = 16;
/** RFC 5246 6.2.1. */
const PLAINTEXT_BYTES_MAX = 16_384;

export interface Keys12 {
  /** Offsets of the key, the fixed IV and the MAC key in the workspace. */
  readonly key: number;
  readonly iv: number;
  readonly mac: number;
  readonly encryptThenMac: boolean;
}

export class RecordProtection {
  /** Of the next record. */
  sequence = 0;
  /** A tag has fitted: these are the keys. */
  bound = false;
  /** The result of `open`: where the plaintext is in the workspace, its length, its content type. */
  at = 0;
  bytes = 0;
  type = 0;

  /** CBC: of the last record, its size and its content's. */
  #sizeMet = -1;
  #contentMet = 0;

  readonly cipher: SuiteCipher;
  readonly #w: Workspace;
  readonly #context: Context;
  /** CCM: counter mode with the same key. */
  readonly #stream: Context;
  readonly #secrets: SecretMemory | null;
  /** CBC: the MAC key. */
  readonly #mac: Slot;
  readonly #encryptThenMac: boolean;
  #iv0 = 0;
  #iv1 = 0;
  #iv2 = 0;
  /** Padding that each record of content had so far; -1: none came yet, 0 also when it varies. */
  #padding = -1;

  private constructor(
    w: Workspace,
    cipher: SuiteCipher,
    keyAt: number,
    ivAt: number,
    keys12: Keys12 | null,
    secrets: SecretMemory | null,
  ) {
    this.#w = w;
    this.cipher = cipher;
    this.#context = newContext(cipher.algorithm);
    const key = w.address + keyAt;
    if (cipher.mode === 'ccm') {
      setNonceLength(this.#context, IV_BYTES);
      setTag(this.#context, 0, cipher.tagBytes);
    }
    let done = setKeyAndIv(this.#context, key, 0);
    if (cipher.mode === 'cbc') withoutPadding(this.#context);
    this.#stream = cipher.stream === null ? 0 : newContext(cipher.stream);
    if (this.#stream !== 0) done = setKeyAndIv(this.#stream, key, 0) && done;
    assert(done, 'libcrypto takes a key of the right length');
    const { view } = w.memory;
    this.#iv0 = view.getInt32(ivAt);
    if (cipher.tls13 || cipher.mode === 'chacha') {
      this.#iv1 = view.getInt32(ivAt + 4);
      this.#iv2 = view.getInt32(ivAt + 8);
    }
    this.#encryptThenMac = keys12?.encryptThenMac ?? false;
    this.#secrets = secrets;
    this.#mac = -1;
    if (cipher.mac !== null && keys12 !== null && secrets !== null) {
      this.#mac = secrets.take();
      if (this.#mac >= 0)
        w.memory.buf.copy(secrets.memory.buf, this.#mac * SLOT_BYTES, keys12.mac, keys12.mac + HASH_BYTES[cipher.mac]);
    }
  }

  /** The keys that a TLS 1.3 traffic secret gives (RFC 8446 7.3). */
  static tls13(w: Workspace, cipher: SuiteCipher, secret: number): RecordProtection {
    expandLabel(w, cipher.hash, secret, 'key', null, 0, 0, cipher.keyBytes, KEY_AT);
    expandLabel(w, cipher.hash, secret, 'iv', null, 0, 0, IV_BYTES, KEY_AT + 64);
    const made = new RecordProtection(w, cipher, KEY_AT, KEY_AT + 64, null, null);
    w.clean();
    return made;
  }

  /** The keys of one direction out of a TLS 1.2 key block in the workspace (RFC 5246 6.3). null: no room for a MAC key. */
  static tls12(w: Workspace, cipher: SuiteCipher, keys: Keys12, secrets: SecretMemory): RecordProtection | null {
    const made = new RecordProtection(w, cipher, keys.key, keys.iv, keys, secrets);
    if (cipher.mac === null || made.#mac >= 0) return made;
    made.close();
    return null;
  }

  /** Bytes of a record that are not content, as far as they are known before it is opened. */
  get overhead(): number {
    const { mode, tagBytes, tls13, mac } = this.cipher;
    if (tls13) return HEADER_BYTES + tagBytes + 1;
    if (mode === 'chacha') return HEADER_BYTES + tagBytes;
    if (mode === 'cbc') return HEADER_BYTES + BLOCK_BYTES + HASH_BYTES[mac!] + 1;
    return HEADER_BYTES + EXPLICIT_NONCE_BYTES + tagBytes;
  }

  /** Like `overhead`, for a record of which the end is not seen: with the padding that all others had (Java's TLS adds 16 bytes to each). */
  get usualOverhead(): number {
    return this.overhead + Math.max(0, this.#padding);
  }

  /**
   * Content of a record of `size` bytes of which the end is not seen. CBC's padding fills the last block, or hides more: as much
   * as in the last record of that size, else what a whole fragment has (RFC 5246 6.2.1) where that can be.
   */
  usualContent(size: number): number {
    if (size === this.#sizeMet) return this.#contentMet;
    const most = Math.max(0, size - this.usualOverhead);
    const whole = this.cipher.mode === 'cbc' && most >= PLAINTEXT_BYTES_MAX && most < PLAINTEXT_BYTES_MAX + BLOCK_BYTES;
    return whole ? PLAINTEXT_BYTES_MAX : most;
  }

  /** Bytes of the record before its content. */
  get prefixBytes(): number {
    const { mode, tls13 } = this.cipher;
    if (tls13 || mode === 'chacha') return HEADER_BYTES;
    return HEADER_BYTES + (mode === 'cbc' ? BLOCK_BYTES : EXPLICIT_NONCE_BYTES);
  }

  /** Records can be opened in part. */
  get seekable(): boolean {
    return this.cipher.mode !== 'cbc';
  }

  /**
   * Opens the record of `size` bytes (header included) at `memory[from]` with the present sequence number, which the
   * caller moves on. `verify`: check the tag. False: it does not fit these keys, or is too short to be a record of them.
   */
  open(memory: Memory, from: number, size: number, verify: boolean): boolean {
    const { mode } = this.cipher;
    if (size < this.overhead) return false;
    memory.buf.copy(this.#w.memory.buf, RECORD_AT, from, from + size);
    if (mode === 'cbc') return this.#openCbc(size, verify);
    const { tagBytes } = this.cipher;
    const body = this.#nonce();
    const length = size - (body - RECORD_AT) - tagBytes;
    if (mode === 'ccm') {
      if (!this.#openCcm(body, length)) return false;
    } else if (verify) {
      if (!this.#openVerified(body, length)) return false;
    } else {
      const { address } = this.#w;
      setKeyAndIv(this.#context, 0, address + NONCE_AT);
      update(this.#context, address + body, address + PRODUCED_AT, address + body, length);
    }
    if (!this.#content(body, length)) return false;
    if (this.type === CONTENT.APPLICATION_DATA) this.#padded(length - 1 - this.bytes);
    return true;
  }

  /**
   * Opens the first `known` bytes of a record of `size`, of which those before `thereFrom` may be missing: without its tag.
   * Where the byte that tells the content type is among these, `type` is 0 and the length that of a record with the usual
   * padding. Only where `seekable`.
   */
  openPart(memory: Memory, from: number, size: number, known: number, thereFrom: number): boolean {
    if (size < this.overhead || known < this.prefixBytes) return false;
    memory.buf.copy(this.#w.memory.buf, RECORD_AT, from, from + known);
    const { tagBytes, tls13 } = this.cipher;
    const body = this.#nonce();
    const length = size - (body - RECORD_AT) - tagBytes;
    const { address } = this.#w;
    if (this.#stream !== 0) this.#counterBlock();
    const context = this.#stream !== 0 ? this.#stream : this.#context;
    setKeyAndIv(context, 0, address + NONCE_AT);
    const part = Math.min(length, known - (body - RECORD_AT));
    if (part > 0) update(context, address + body, address + PRODUCED_AT, address + body, part);
    if (!tls13) return this.#content(body, length);
    if (part === length && this.#content(body, length) && this.at + this.bytes >= RECORD_AT + thereFrom) return true;
    this.at = body;
    this.bytes = Math.max(0, length - 1 - Math.max(0, this.#padding));
    this.type = 0;
    return true;
  }

  /** TLS 1.3: what is before the last byte that is not zero is the content, and that byte its type (RFC 8446 5.4). */
  #content(body: number, length: number): boolean {
    const { view } = this.#w.memory;
    this.at = body;
    if (!this.cipher.tls13) {
      this.bytes = length;
      this.type = view.getUint8(RECORD_AT);
      return true;
    }
    let end = body + length - 1;
    while (end >= body && view.getUint8(end) === 0) end--;
    if (end < body) return false;
    this.bytes = end - body;
    this.type = view.getUint8(end);
    return true;
  }

  #padded(bytes: number): void {
    if (!this.cipher.tls13) return;
    if (this.#padding === -1) this.#padding = bytes;
    else if (this.#padding !== bytes) this.#padding = 0;
  }

  /** Puts the record's nonce in place; returns where the ciphertext begins. */
  #nonce(): number {
    const { view, buf } = this.#w.memory;
    const high = Math.floor(this.sequence / 2 ** 32);
    view.setInt32(NONCE_AT, this.#iv0);
    if (this.cipher.tls13 || this.cipher.mode === 'chacha') {
      view.setInt32(NONCE_AT + 4, this.#iv1 ^ high);
      view.setInt32(NONCE_AT + 8, this.#iv2 ^ (this.sequence | 0));
      return FRAGMENT_AT;
    }
    buf.copyWithin(NONCE_AT + 4, FRAGMENT_AT, FRAGMENT_AT + EXPLICIT_NONCE_BYTES);
    return FRAGMENT_AT + EXPLICIT_NONCE_BYTES;
  }

  /** CCM's first block of key stream that meets content (RFC 3610 2.3: flags, nonce, counter 1), from its nonce. */
  #counterBlock(): void {
    const { view, buf } = this.#w.memory;
    buf.copyWithin(NONCE_AT + 1, NONCE_AT, NONCE_AT + IV_BYTES);
    view.setUint8(NONCE_AT, 2);
    view.setUint8(NONCE_AT + 13, 0);
    view.setUint16(NONCE_AT + 14, 1);
  }

  /** Additional data: the header in TLS 1.3, in TLS 1.2 (RFC 5246 6.2.3.3) made here. Returns its length. */
  #additional(length: number): number {
    const { view } = this.#w.memory;
    if (this.cipher.tls13) {
      view.setUint32(AAD_AT, view.getUint32(RECORD_AT));
      view.setUint8(AAD_AT + 4, view.getUint8(RECORD_AT + 4));
      return HEADER_BYTES;
    }
    this.#pseudoHeader(AAD_AT, length);
    return AAD12_BYTES;
  }

  #pseudoHeader(at: number, length: number): void {
    const { view } = this.#w.memory;
    const type = view.getUint8(RECORD_AT);
    const version = view.getUint16(RECORD_AT + 1);
    view.setUint32(at, Math.floor(this.sequence / 2 ** 32));
    view.setUint32(at + 4, this.sequence >>> 0);
    view.setUint8(at + 8, type);
    view.setUint16(at + 9, version);
    view.setUint16(at + 11, length);
  }

  #openVerified(body: number, length: number): boolean {
    const { address } = this.#w;
    const context = this.#context;
    const additional = this.#additional(length);
    return (
      setKeyAndIv(context, 0, address + NONCE_AT) &&
      update(context, 0, address + PRODUCED_AT, address + AAD_AT, additional) &&
      update(context, address + body, address + PRODUCED_AT, address + body, length) &&
      setTag(context, address + body + length, this.cipher.tagBytes) &&
      final(context, address + MAC_AT, address + PRODUCED_AT)
    );
  }

  /** CCM is told the tag and the length first, and says with the content whether the tag fits. */
  #openCcm(body: number, length: number): boolean {
    const { address } = this.#w;
    const context = this.#context;
    const additional = this.#additional(length);
    return (
      setTag(context, address + body + length, this.cipher.tagBytes) &&
      setKeyAndIv(context, 0, address + NONCE_AT) &&
      update(context, 0, address + PRODUCED_AT, 0, length) &&
      update(context, 0, address + PRODUCED_AT, address + AAD_AT, additional) &&
      update(context, address + body, address + PRODUCED_AT, address + body, length)
    );
  }

  /** CBC with an explicit IV (RFC 5246 6.2.3.2), MAC before or after encryption (RFC 7366). */
  #openCbc(size: number, verify: boolean): boolean {
    const { address, memory } = this.#w;
    const { view } = memory;
    const mac = this.cipher.mac!;
    const macBytes = HASH_BYTES[mac];
    const encrypted = size - HEADER_BYTES - BLOCK_BYTES - (this.#encryptThenMac ? macBytes : 0);
    if (encrypted <= 0 || encrypted % BLOCK_BYTES !== 0) return false;
    const body = FRAGMENT_AT + BLOCK_BYTES;
    if (this.#encryptThenMac && verify) {
      // The room before the record is this page's own; what stands there is written anew each time.
      const covered = BLOCK_BYTES + encrypted;
      const type = view.getUint8(RECORD_AT);
      const version = view.getUint16(RECORD_AT + 1);
      this.#pseudoHeader(FRAGMENT_AT - AAD12_BYTES, covered);
      const fits = this.#macFits(FRAGMENT_AT - AAD12_BYTES, AAD12_BYTES + covered, FRAGMENT_AT + covered);
      view.setUint8(RECORD_AT, type);
      view.setUint16(RECORD_AT + 1, version);
      if (!fits) return false;
    }
    setKeyAndIv(this.#context, 0, address + FRAGMENT_AT);
    if (!update(this.#context, address + body, address + PRODUCED_AT, address + body, encrypted)) return false;
    const padding = view.getUint8(body + encrypted - 1);
    const length = encrypted - padding - 1 - (this.#encryptThenMac ? 0 : macBytes);
    if (length < 0) return false;
    for (let i = 0; i < padding; i++) if (view.getUint8(body + encrypted - 2 - i) !== padding) return false;
    this.at = body;
    this.bytes = length;
    this.type = view.getUint8(RECORD_AT);
    this.#sizeMet = size;
    this.#contentMet = length;
    if (this.#encryptThenMac || !verify) return true;
    this.#pseudoHeader(body - AAD12_BYTES, length);
    return this.#macFits(body - AAD12_BYTES, AAD12_BYTES + length, body + length);
  }

  #macFits(from: number, bytes: number, tagAt: number): boolean {
    const { address, memory } = this.#w;
    const mac = this.cipher.mac!;
    const size = HASH_BYTES[mac];
    hmac(mac, this.#secrets!.address(this.#mac), size, address + from, bytes, address + MAC_AT);
    return memory.buf.compare(memory.buf, MAC_AT, MAC_AT + size, tagAt, tagAt + size) === 0;
  }

  /** Zeroes and frees the keys. */
  close(): void {
    freeContext(this.#context);
    if (this.#stream !== 0) freeContext(this.#stream);
    if (this.#mac >= 0) this.#secrets!.give(this.#mac);
  }
}
