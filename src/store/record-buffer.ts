import { Memory } from '../base/memory.ts';

const SHORT = 48;

/** Records while they are made: little endian, grows up to what was needed and stays. */
export class RecordBuffer {
  memory: Memory;
  length = 0;

  constructor(size: number) {
    this.memory = Memory.alloc(size);
  }

  reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted <= this.memory.size) return;
    const memory = Memory.alloc(Math.max(wanted, this.memory.size * 2));
    this.memory.buf.copy(memory.buf, 0, 0, this.length);
    this.memory = memory;
  }

  u8(value: number): void {
    this.reserve(1);
    this.memory.view.setUint8(this.length, value);
    this.length += 1;
  }

  u32(value: number): void {
    this.reserve(4);
    this.memory.view.setUint32(this.length, value, true);
    this.length += 4;
  }

  f64(value: number): void {
    this.reserve(8);
    this.memory.view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.memory.buf.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** `text` as UTF-8; returns its length in bytes. */
  text(text: string): number {
    const size = text.length;
    this.reserve(size * 3);
    const { buf } = this.memory;
    const start = this.length;
    if (size <= SHORT) {
      let at = start;
      let i = 0;
      for (; i < size; i++) {
        const unit = text.charCodeAt(i);
        if (unit >= 0x80) break;
        buf[at++] = unit;
      }
      if (i === size) {
        this.length = at;
        return size;
      }
    }
    const length = buf.write(text, start, 'utf8');
    this.length = start + length;
    return length;
  }

  /** A u32 length, then `text` as UTF-8; returns that length. */
  counted(text: string): number {
    this.u32(0);
    const at = this.length - 4;
    const length = this.text(text);
    this.memory.view.setUint32(at, length, true);
    return length;
  }
}
