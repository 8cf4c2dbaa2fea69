/** The policies: what of an exchange may leave memory. Redaction is on by default; keeping everything is for `replay --no-redact`. */

import type { Memory } from '../base/memory.ts';
import type { HeaderName } from '../model/fields.ts';
import { redactCredential, redactParameters } from './auth.ts';
import { redactCookies, redactSetCookie } from './cookies.ts';
import type { Fingerprinter } from './fingerprint.ts';
import { keyJudge } from './keys.ts';
import * as names from './names.ts';
import { RememberedCredentials } from './remembered.ts';
import { TextRedactor } from './text.ts';

/** The configuration's part; everything in it adds to the built-in rules. */
export interface RedactOptions {
  /** Header names or globs whose whole value is a credential. */
  readonly sensitive?: readonly string[];
  /**
   * Header names or globs that are not credentials although they end in -key, -token or -secret, or hold text that looks
   * random. The built-in exact names (authorization, cookie, x-api-key, ...) and known shapes (sk-..., JWTs) stay redacted.
   */
  readonly allow?: readonly string[];
  /** Query, form and JSON keys or globs whose value is a credential. */
  readonly query?: readonly string[];
}

/** What views ask of a policy. Texts are latin1 code points. */
export interface RedactionPolicy {
  /** Tells caches filled by one policy from those of another; never 0. */
  readonly id: number;
  /** A header name as sent. */
  name(name: HeaderName, raw: string): string;
  value(name: HeaderName, value: string): string;
  /**
   * Copies a value's bytes to `out[at]` when they need neither redaction nor escaping in JSON; returns where they end, or
   * -1: ask value(). `out` has room.
   */
  plain(name: HeaderName, bytes: Uint8Array, from: number, length: number, out: Uint8Array, at: number): number;
  /** A credential at `memory[at]` as it is shown, in bytes that may stand in a JSON string; null: ask value(). */
  credential(name: HeaderName, memory: Memory, at: number, length: number): Uint8Array | null;
  method(method: string): string;
  target(target: string): string;
  /** Any other text that a peer chose: reason phrases, upgrade tokens. */
  text(text: string): string;
}

let policies = 0;

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);

/** Targets remembered, less one: a power of two, less one. */
const TARGETS_MASK = 511;
/** Characters of a target that its slot depends on: all, up to this many. Targets of one API differ in few. */
const SLOT_CHARS = 64;

function slotOf(target: string): number {
  const step = target.length > SLOT_CHARS ? Math.ceil(target.length / SLOT_CHARS) : 1;
  let hash = target.length;
  for (let i = 0; i < target.length; i += step) hash = (Math.imul(hash, 31) + target.charCodeAt(i)) | 0;
  return (hash ^ (hash >>> 15)) & TARGETS_MASK;
}

/** Takes every credential out and puts its fingerprint there. */
export class CredentialPolicy implements RedactionPolicy {
  readonly id = ++policies;
  readonly #text: TextRedactor;
  readonly #judge: names.NameJudge;
  readonly #remembered = new RememberedCredentials();
  /** Targets in which nothing was redacted, direct-mapped. */
  readonly #harmless: string[] = new Array<string>(TARGETS_MASK + 1).fill('');

  constructor(prints: Fingerprinter, options: RedactOptions = {}) {
    this.#text = new TextRedactor(prints, keyJudge(options.query ?? []));
    this.#judge = names.nameJudge(options.sensitive ?? [], options.allow ?? []);
  }

  /** The name's verdict, kept on the interned name beside the policy that gave it. */
  #verdict(name: HeaderName): number {
    if (name.policy >> 8 === this.id) return name.policy & 0xff;
    const verdict = this.#judge(name.lower);
    name.policy = (this.id << 8) | verdict;
    return verdict;
  }

  name(name: HeaderName, raw: string): string {
    const verdict = this.#verdict(name) & (names.SECRET_NAME | names.ODD_NAME);
    if (verdict === 0) return raw;
    return verdict === names.ODD_NAME ? this.#text.redact(raw, 'redact') : this.#text.mark(raw);
  }

  value(name: HeaderName, value: string): string {
    const text = this.#text;
    switch (this.#verdict(name) & names.VERDICT_MASK) {
      case names.PLAIN:
        return text.redact(value, 'ignore');
      case names.URLS:
        return this.#urls(value, 'allow_ids');
      case names.HOST:
        return this.#urls(value, 'ignore');
      case names.SECRET:
        return redactCredential(value, text);
      case names.COOKIE:
        return redactCookies(value, text);
      case names.SET_COOKIE:
        return redactSetCookie(value, text);
      case names.CHALLENGE:
        return redactParameters(value, text);
      default:
        return text.redact(value, 'redact');
    }
  }

  plain(name: HeaderName, bytes: Uint8Array, from: number, length: number, out: Uint8Array, at: number): number {
    switch (this.#verdict(name) & names.VERDICT_MASK) {
      case names.PLAIN:
        return this.#text.plain(bytes, from, length, 'ignore', out, at);
      case names.UNKNOWN:
        return this.#text.plain(bytes, from, length, 'redact', out, at);
      default:
        return -1;
    }
  }

  credential(name: HeaderName, memory: Memory, at: number, length: number): Uint8Array | null {
    const verdict = this.#verdict(name) & names.VERDICT_MASK;
    if (verdict < names.SECRET) return null;
    return this.#remembered.find(this, verdict, name, memory, at, length);
  }

  method(method: string): string {
    return METHODS.has(method) ? method : this.#text.redact(method, 'redact');
  }

  target(target: string): string {
    // Targets repeat. Only those without a credential are remembered: nothing secret stays here.
    const slot = slotOf(target);
    if (this.#harmless[slot] === target) return target;
    const redacted = this.#target(target);
    if (redacted === target) this.#harmless[slot] = target;
    return redacted;
  }

  #target(target: string): string {
    return this.#urls(target, 'allow_ids');
  }

  text(text: string): string {
    return this.#text.redact(text, 'redact');
  }

  /**
   * Text with URLs, or an authority alone: user information before a host that has no scheme in front of it ("user@host"
   * in a Host field or a CONNECT target) is told by the @ alone.
   */
  #urls(text: string, random: 'ignore' | 'allow_ids'): string {
    const at = text.lastIndexOf('@');
    if (at < 1 || text.includes('/')) return this.#text.redact(text, random);
    return this.#text.mark(text.slice(0, at)) + this.#text.redact(text.slice(at), random);
  }
}

/** Changes nothing. Only for `replay --no-redact`: the reader of a capture file has its credentials already. */
export class KeepEverything implements RedactionPolicy {
  readonly id = ++policies;
  name(_: HeaderName, raw: string): string {
    return raw;
  }
  value(_: HeaderName, value: string): string {
    return value;
  }
  plain(): number {
    return -1;
  }
  credential(): null {
    return null;
  }
  method(method: string): string {
    return method;
  }
  target(target: string): string {
    return target;
  }
  text(text: string): string {
    return text;
  }
}
