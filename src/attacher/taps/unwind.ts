/**
 * Where the functions of a program begin, also of a stripped one: the table by which exceptions and backtraces find their
 * unwind information (.eh_frame_hdr; Linux Standard Base 10.6.2). Compilers for x86-64 and arm64 write it unless they are told not to.
 */
import type { ElfFile } from './elf.ts';

const SECTION = '.eh_frame_hdr';
const VERSION = 1;
/** Encodings that every linker uses (DWARF's DW_EH_PE): pc-relative sdata4, udata4, data-relative sdata4. */
const ENCODINGS = [0x1b, 0x03, 0x3b];
const HEADER_BYTES = 12;
const ENTRY_BYTES = 8;
const FUNCTIONS_MAX = 4 << 20;

/** A function's code, as addresses. */
export interface FunctionRange {
  readonly from: number;
  /** Where the next one begins. */
  readonly to: number;
}

export class FunctionStarts {
  readonly #view: DataView;
  readonly #base: number;
  readonly #count: number;

  private constructor(table: Buffer, base: number, count: number) {
    this.#view = new DataView(table.buffer, table.byteOffset, table.length);
    this.#base = base;
    this.#count = count;
  }

  /** null: the program does not say. */
  static read(elf: ElfFile): FunctionStarts | null {
    const section = elf.section(SECTION);
    if (section === null || section.size < HEADER_BYTES) return null;
    const header = elf.read(section.offset, HEADER_BYTES);
    if (header.length < HEADER_BYTES || header[0] !== VERSION) return null;
    if (ENCODINGS.some((encoding, i) => header[1 + i] !== encoding)) return null;
    const count = Math.min(
      header.readUInt32LE(8),
      FUNCTIONS_MAX,
      Math.floor((section.size - HEADER_BYTES) / ENTRY_BYTES),
    );
    const table = elf.read(section.offset + HEADER_BYTES, count * ENTRY_BYTES);
    return new FunctionStarts(table, section.address, Math.floor(table.length / ENTRY_BYTES));
  }

  /** The function that an address lies in; null: none, or the last one, whose end is not said. */
  around(address: number): FunctionRange | null {
    // The table is sorted, which makes it of use to those who unwind.
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#start(middle) <= address) low = middle + 1;
      else high = middle;
    }
    if (low === 0 || low >= this.#count) return null;
    const range = { from: this.#start(low - 1), to: this.#start(low) };
    return address >= range.from && address < range.to ? range : null;
  }

  #start(i: number): number {
    return this.#base + this.#view.getInt32(i * ENTRY_BYTES, true);
  }
}
