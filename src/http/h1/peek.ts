import { Memory } from '../../base/memory.ts';

/** "HTTP/1.d ddd" and the byte after it. */
const FORM = 'HTTP/1.d ddd_';

/**
 * Looks at the first bytes behind the head of a response whose request was not seen: a body, or the next response
 * (then this one answered HEAD)? Keeps what it looked at, 13 bytes at most.
 */
export class Peek {
  answer: 'unknown' | 'body' | 'start_line' = 'unknown';
  readonly memory = Memory.alloc(FORM.length);
  length = 0;
  /** Stream offset of the first byte. */
  position = 0;
  /** Time and acknowledgement of its segment. */
  ts = 0;
  ack = -1;

  begin(position: number): void {
    this.answer = 'unknown';
    this.length = 0;
    this.position = position;
  }

  /** Takes bytes of [at, end) until it knows; returns how many. */
  add(view: DataView, at: number, end: number): number {
    let o = at;
    while (o < end && this.answer === 'unknown') {
      const c = view.getUint8(o++);
      this.memory.view.setUint8(this.length, c);
      if (!fits(c, FORM[this.length++]!)) this.answer = 'body';
      else if (this.length === FORM.length) this.answer = 'start_line';
    }
    return o - at;
  }
}

function fits(c: number, form: string): boolean {
  if (form === 'd') return c >= 48 && c <= 57;
  if (form === '_') return c === 32 || c === 13 || c === 10;
  return c === form.charCodeAt(0);
}
