import type { Memory } from '../../base/memory.ts';

/** What a line held besides text. Bits, so that a line can hold several. */
export const SAW_BARE_LF = 1;
export const SAW_BARE_CR = 2;
export const SAW_NUL = 4;
export const SAW_CONTROL = 8;
export const SAW_TAB = 16;

const LF = 10;
const CR = 13;

/** tchar of RFC 9110 5.6.2. */
export const TOKEN = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  TOKEN[c.charCodeAt(0)] = 1;

/** Finds the end of a line and remembers how far it has looked, so that a line that comes byte by byte costs linear time. */
export class LineScan {
  /** SAW_* of the line so far. */
  flags = 0;
  /** Where the next look begins. Offsets count from a base, because the line may move to other memory between two looks. */
  searched = 0;
  /** Found: end of the line without its terminator. */
  contentEnd = 0;

  /** A new line begins at `at`, or behind bytes that are known to be text. */
  begin(at: number): void {
    this.flags = 0;
    this.searched = at;
  }

  /**
   * Position in `view` just after the line's LF, or -1 when it is not before `end`. A CR that ends the data stays
   * unsearched. A word is looked at whole: text has no byte below 0x20.
   */
  find(view: DataView, base: number, end: number): number {
    let o = base + this.searched;
    let flags = this.flags;
    for (;;) {
      while (o + 4 <= end) {
        const w = view.getInt32(o, true);
        if (((w - 0x20202020) & ~w & 0x80808080) !== 0) break;
        o += 4;
      }
      // No Math.min here and in the callers: it would make doubles of these numbers.
      let stop = o + 4;
      if (stop > end) stop = end;
      for (; o < stop; o++) {
        const c = view.getUint8(o);
        if (c >= 0x20) continue;
        if (c === CR) {
          if (o + 1 >= end) {
            this.flags = flags;
            this.searched = o - base;
            return -1;
          }
          if (view.getUint8(o + 1) === LF) {
            this.flags = flags;
            this.contentEnd = o - base;
            return o + 2;
          }
          flags |= SAW_BARE_CR;
        } else if (c === LF) {
          this.flags = flags | SAW_BARE_LF;
          this.contentEnd = o - base;
          return o + 1;
        } else if (c === 0) flags |= SAW_NUL;
        else if (c === 9) flags |= SAW_TAB;
        else flags |= SAW_CONTROL;
      }
      if (o >= end) {
        this.flags = flags;
        this.searched = o - base;
        return -1;
      }
    }
  }
}

/** Offset of the first byte of [at, end) that is neither SP nor HTAB. */
export function skipBlank(view: DataView, at: number, end: number): number {
  let o = at;
  while (o < end) {
    const c = view.getUint8(o);
    if (c !== 32 && c !== 9) break;
    o++;
  }
  return o;
}

/** End of [at, end) without trailing SP and HTAB. */
export function trimBlank(view: DataView, at: number, end: number): number {
  let o = end;
  while (o > at) {
    const c = view.getUint8(o - 1);
    if (c !== 32 && c !== 9) break;
    o--;
  }
  return o;
}

/** Are the bytes [at, end) `text` (lower case ASCII), whatever their case? */
export function isWord(memory: Memory, at: number, end: number, text: string): boolean {
  if (end - at !== text.length) return false;
  const view = memory.view;
  for (let i = 0; i < text.length; i++) {
    const c = view.getUint8(at + i);
    const lower = c >= 65 && c <= 90 ? c + 32 : c;
    if (lower !== text.charCodeAt(i)) return false;
  }
  return true;
}
