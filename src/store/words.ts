/** Texts by number within one segment. The first time a text comes, a record that defines it goes into the batch. */
import { wireText } from '../export/log/json.ts';
import { KIND_WORD } from './record.ts';
import { RecordBuffer } from './record-buffer.ts';

export const NOT_ASCII = /[\u0080-\uffff]/;

/** Bytes given as latin1 code points as the text that the header log shows. */
export const shown = (latin1: string): string => (NOT_ASCII.test(latin1) ? wireText(latin1) : latin1);

export class Words {
  /** Definitions that no batch holds yet. */
  readonly pending = new RecordBuffer(1 << 16);
  /** Of all words of this segment. */
  count = 0;
  bytes = 0;
  readonly #wire = new Map<string, number>();
  readonly #text = new Map<string, number>();

  /** A segment begins: nothing is known. */
  reset(): void {
    this.pending.length = 0;
    this.count = 0;
    this.bytes = 0;
    this.#wire.clear();
    this.#text.clear();
  }

  /** Number of a text from the wire (latin1 code points); 0: "". */
  wire(latin1: string): number {
    if (latin1 === '') return 0;
    return this.#wire.get(latin1) ?? this.#define(this.#wire, latin1, shown(latin1));
  }

  /** Number of an ordinary text; 0: "". */
  text(text: string): number {
    if (text === '') return 0;
    return this.#text.get(text) ?? this.#define(this.#text, text, text);
  }

  #define(known: Map<string, number>, key: string, text: string): number {
    const id = ++this.count;
    known.set(key, id);
    const { pending } = this;
    pending.u8(KIND_WORD);
    pending.u32(id);
    const length = pending.counted(text);
    this.bytes += length + key.length;
    return id;
  }
}
