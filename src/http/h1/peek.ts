import { Memory } from '../../base/memory.ts';

/**
 * Looks at the first bytes behind a head where a body may be or not: keeps them until it knows, the same however they were
 * cut. What it kept is then read as what it is.
 */
export abstract class Peek {
  answer: 'unknown' | 'body' | 'start_line' = 'unknown';
  readonly memory: Memory;
  length = 0;
  /** Stream offset of the first byte. */
  position = 0;
  /** Time and acknowledgement of its segment. */
  ts = 0;
  ack = -1;

  /** `bytesMax`: after so many it knows. */
  constructor(bytesMax: number) {
    this.memory = Memory.alloc(bytesMax);
  }

  begin(position: number): void {
    this.answer = 'unknown';
    this.length = 0;
    this.position = position;
  }

  /** Takes bytes of [at, end), of a segment that came at `ts` and acknowledged `ack`, until it knows; returns how many. */
  add(view: DataView, at: number, end: number, ts: number, ack: number): number {
    if (this.length === 0) {
      this.ts = ts;
      this.ack = ack;
    }
    let o = at;
    while (o < end && this.answer === 'unknown') {
      this.memory.view.setUint8(this.length++, view.getUint8(o++));
      this.answer = this.judge();
    }
    return o - at;
  }

  /** Where nothing more comes: may they be a body's? */
  abstract get mayBeBody(): boolean;

  /** What the bytes so far are, given that they were not known to be anything without the last one. */
  protected abstract judge(): 'unknown' | 'body' | 'start_line';
}

/** "HTTP/1.d ddd" and the byte after it. */
const FORM = 'HTTP/1.d ddd_';

/** Behind the head of a response whose request was not seen: a body, or the next response (then this one answered HEAD)? */
export class UnaskedPeek extends Peek {
  constructor() {
    super(FORM.length);
  }

  override get mayBeBody(): boolean {
    return true;
  }

  protected override judge(): 'unknown' | 'body' | 'start_line' {
    const last = this.length - 1;
    if (!fits(this.memory.view.getUint8(last), FORM[last]!)) return 'body';
    return this.length === FORM.length ? 'start_line' : 'unknown';
  }
}

function fits(c: number, form: string): boolean {
  if (form === 'd') return c >= 48 && c <= 57;
  if (form === '_') return c === 32 || c === 13 || c === 10;
  return c === form.charCodeAt(0);
}

const REFUSED_BYTES_MAX = 64;
/** RFC 9112 2.2 and 3: empty lines, a method, and of a target what tells its form. No chunk-size line begins so. */
const REQUEST_LINE = /^(?:\r?\n)*(?:CONNECT [!-~]|OPTIONS \*|[\w!#$%&'*+.^`|~-]{1,32} (?:\/|[a-z][a-z0-9+.-]*:\/\/))/i;
/** As much of it as does not tell yet. */
const REQUEST_LINE_PART = /^(?:\r?\n)*(?:\r|[\w!#$%&'*+.^`|~-]{1,32}(?: (?:[a-z][a-z0-9+.-]*(?::\/?)?)?)?)?$/i;

/**
 * Behind the head of a chunked request that was answered before its body: that body all the same, or the next request? A size line and
 * a request line differ within a few bytes (RFC 9112 7.1: what follows the digits is a CR, or an extension with blanks before it). What is
 * neither is a body, and a broken one.
 */
export class RefusedPeek extends Peek {
  constructor() {
    super(REFUSED_BYTES_MAX);
  }

  /** Nothing tells them from a chunk's size so far. */
  override get mayBeBody(): boolean {
    return /^[0-9a-f]* ?$/i.test(this.#text);
  }

  protected override judge(): 'unknown' | 'body' | 'start_line' {
    const text = this.#text;
    if (REQUEST_LINE.test(text)) return 'start_line';
    return REQUEST_LINE_PART.test(text) && this.length < REFUSED_BYTES_MAX ? 'unknown' : 'body';
  }

  get #text(): string {
    return this.memory.buf.latin1Slice(0, this.length);
  }
}
