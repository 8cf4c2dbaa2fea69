/**
 * Pointers in the data of a program, as they are when it runs. In a file that is loaded anywhere they are relocations, and what lies
 * in the place of one is often nothing (System V gABI, chapter 4; psABI of x86-64 4.4, of AArch64 5.7.2: R_*_RELATIVE).
 */
import { type ElfFile, u64 } from './elf.ts';

/** r_offset, r_info, r_addend. */
const ENTRY_BYTES = 24;
const INFO_AT = 8;
const ADDEND_AT = 16;
const POINTER_BYTES = 8;
/** R_X86_64_RELATIVE and R_AARCH64_RELATIVE: where the file was loaded, and the addend. */
const RELATIVE = { 'x86-64': 8, arm64: 1_027 } as const;
/** Where constants with pointers in them are; with the others where nothing is to be relocated. */
const SECTIONS = ['.data.rel.ro', '.rodata'];
const SECTION_BYTES_MAX = 64 << 20;
/** Read through for each pointer that is followed: a large program has some 5 MiB. */
const RELOCATION_BYTES_MAX = 16 << 20;
/** Places that are given for one address. */
const PLACES_MAX = 8;

interface Constants {
  readonly bytes: Buffer;
  readonly address: number;
}

export class Pointers {
  readonly #elf: ElfFile;
  readonly #relocations: Buffer;
  readonly #constants: readonly Constants[];

  constructor(elf: ElfFile) {
    this.#elf = elf;
    this.#relocations = contents(elf, '.rela.dyn', RELOCATION_BYTES_MAX).bytes;
    this.#constants = SECTIONS.map((name) => contents(elf, name, SECTION_BYTES_MAX));
  }

  /** Addresses of the pointers to an address. */
  to(address: number): number[] {
    const places: number[] = [];
    for (let at = this.#relocation(address, ADDEND_AT, 0); at >= 0 && places.length < PLACES_MAX; ) {
      places.push(u64(this.#relocations, at));
      at = this.#relocation(address, ADDEND_AT, at + ENTRY_BYTES);
    }
    for (const { bytes, address: first } of this.#constants) {
      for (let at = find(bytes, address, 0, POINTER_BYTES); at >= 0 && places.length < PLACES_MAX; ) {
        places.push(first + at);
        at = find(bytes, address, at + POINTER_BYTES, POINTER_BYTES);
      }
    }
    return places;
  }

  /** What the pointer at an address points to; -1: it cannot be told. */
  at(place: number): number {
    const entry = this.#relocation(place, 0, 0);
    if (entry >= 0) return u64(this.#relocations, entry + ADDEND_AT);
    const offset = this.#elf.offset(place);
    const bytes = offset < 0 ? Buffer.alloc(0) : this.#elf.read(offset, POINTER_BYTES);
    return bytes.length < POINTER_BYTES ? -1 : u64(bytes, 0);
  }

  /** Offset of the first relative relocation, `from` one or behind it, that has a value in a field; -1: none. */
  #relocation(value: number, field: number, from: number): number {
    const table = this.#relocations;
    for (let at = find(table, value, from + field, ENTRY_BYTES); at >= 0; ) {
      const entry = at - field;
      if (entry + ENTRY_BYTES > table.length) return -1;
      // It has no symbol: r_info is the type alone.
      if (u64(table, entry + INFO_AT) === RELATIVE[this.#elf.machine]) return entry;
      at = find(table, value, at + ENTRY_BYTES, ENTRY_BYTES);
    }
    return -1;
  }
}

/** Offset of a 64-bit value in one of the places `from`, `from + step`, and so on; -1: none. */
const find = (bytes: Buffer, value: number, from: number, step: number): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const low = value >>> 0;
  const high = Math.floor(value / 4_294_967_296);
  for (let at = from; at + POINTER_BYTES <= bytes.length; at += step)
    if (view.getUint32(at, true) === low && view.getUint32(at + 4, true) === high) return at;
  return -1;
};

const contents = (elf: ElfFile, name: string, bytesMax: number): Constants => {
  const section = elf.section(name);
  if (section === null) return { bytes: Buffer.alloc(0), address: 0 };
  return { bytes: elf.read(section.offset, Math.min(section.size, bytesMax)), address: section.address };
};
