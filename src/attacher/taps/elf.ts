/**
 * As much of ELF as it takes to find a function in a program that runs: sections, symbols, and where an address lies in
 * the file (System V gABI, chapters 4 and 5; 64-bit little-endian only). The files belong to the observed processes, so
 * they are hostile: every offset is checked, every table is bounded, and nothing is kept but what was asked for.
 */

/** Reads up to `length` bytes at `offset` of the file; shorter at its end. */
export type ReadAt = (offset: number, length: number) => Buffer;

export type Machine = 'x86-64' | 'arm64';

export interface Section {
  readonly name: string;
  readonly type: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

interface Load {
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly executable: boolean;
}

const HEADER_BYTES = 64;
const SECTION_BYTES = 64;
const SEGMENT_BYTES = 56;
const SYMBOL_BYTES = 24;
const SECTIONS_MAX = 4_096;
const SEGMENTS_MAX = 256;
const NAMES_BYTES_MAX = 1 << 20;
/** Longest name that is looked for by its end. */
const NAME_BYTES_MAX = 256;
/** Largest symbol table and largest section searched for a string: a browser has some 200 MiB of them. */
const TABLE_BYTES_MAX = 256 << 20;
/** Read in one go, so that a large file does not become a large heap; a multiple of SYMBOL_BYTES. */
const CHUNK_BYTES = SYMBOL_BYTES << 15;

const ET_EXEC = 2;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const SHT_NOBITS = 8;
const PT_LOAD = 1;
const PF_X = 1;
const STT_FUNC = 2;
const MACHINES: Readonly<Record<number, Machine>> = { 62: 'x86-64', 183: 'arm64' };

export class ElfFile {
  readonly machine: Machine;
  /** It runs where it was linked to: its code has absolute addresses (ET_EXEC). */
  readonly fixedAddresses: boolean;
  readonly sections: readonly Section[];
  readonly #read: ReadAt;
  readonly #loads: readonly Load[];

  private constructor(
    machine: Machine,
    fixedAddresses: boolean,
    sections: readonly Section[],
    loads: readonly Load[],
    read: ReadAt,
  ) {
    this.machine = machine;
    this.fixedAddresses = fixedAddresses;
    this.sections = sections;
    this.#loads = loads;
    this.#read = read;
  }

  /** null: no 64-bit little-endian ELF file of a machine that is known here. */
  static parse(read: ReadAt): ElfFile | null {
    const header = read(0, HEADER_BYTES);
    // Magic, ELFCLASS64, ELFDATA2LSB.
    if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
      return null;
    const machine = MACHINES[header.readUInt16LE(18)];
    if (machine === undefined) return null;
    const loads = readLoads(read, u64(header, 32), header.readUInt16LE(54), header.readUInt16LE(56));
    const sections = readSections(
      read,
      u64(header, 40),
      header.readUInt16LE(58),
      header.readUInt16LE(60),
      header.readUInt16LE(62),
    );
    return new ElfFile(machine, header.readUInt16LE(16) === ET_EXEC, sections, loads, read);
  }

  section(name: string): Section | null {
    return this.sections.find((section) => section.name === name) ?? null;
  }

  /** Where the byte at a virtual address lies in the file; -1 when it lies in no executable part. */
  codeOffset(address: number): number {
    const load = this.#loadOf(address);
    return load?.executable === true ? address - load.address + load.offset : -1;
  }

  /** Where the byte at a virtual address lies in the file, code or data; -1 when it does not come from there. */
  offset(address: number): number {
    const load = this.#loadOf(address);
    return load === undefined ? -1 : address - load.address + load.offset;
  }

  read(offset: number, length: number): Buffer {
    return this.#read(offset, length);
  }

  /** Address of a defined function by its exact name, from the exported symbols or those for debugging; -1: none. */
  functionAddress(name: string): number {
    for (const { table, strings } of this.#symbolTables()) {
      const at = this.find(strings, `\0${name}\0`);
      if (at < 0) continue;
      const address = this.#symbolNamed(table, at + 1);
      if (address > 0) return address;
    }
    return -1;
  }

  /** The first symbol that ends with `end`, whole, of those that `whole` allows; null: none. */
  symbolEnding(end: string, whole: RegExp): string | null {
    for (const { strings } of this.#symbolTables()) {
      const at = this.find(strings, `${end}\0`);
      if (at < 0) continue;
      const from = Math.max(0, at - NAME_BYTES_MAX);
      const before = this.#read(strings.offset + from, at - from);
      const name = before.latin1Slice(before.lastIndexOf(0) + 1) + end;
      if (whole.test(name)) return name;
    }
    return null;
  }

  /** Offset of `text` (latin1) in a section's bytes, at `start` or behind it, or -1. */
  find(section: Section, text: string, start = 0): number {
    const wanted = Buffer.from(text, 'latin1');
    const end = section.type === SHT_NOBITS ? 0 : Math.min(section.size, TABLE_BYTES_MAX);
    // Chunks overlap, so that a match on a border is found.
    for (let from = start; from < end; from += CHUNK_BYTES) {
      const chunk = this.#read(section.offset + from, Math.min(CHUNK_BYTES + wanted.length - 1, end - from));
      const at = chunk.indexOf(wanted);
      if (at >= 0) return from + at;
      if (chunk.length < wanted.length) return -1;
    }
    return -1;
  }

  #loadOf(address: number): Load | undefined {
    return this.#loads.find((load) => address >= load.address && address < load.address + load.size);
  }

  #symbolTables(): { table: Section; strings: Section }[] {
    return this.sections.flatMap((table) => {
      if ((table.type !== SHT_DYNSYM && table.type !== SHT_SYMTAB) || table.size > TABLE_BYTES_MAX) return [];
      const strings = this.sections[table.link];
      return strings === undefined ? [] : [{ table, strings }];
    });
  }

  #symbolNamed(table: Section, nameOffset: number): number {
    for (let from = 0; from < table.size; from += CHUNK_BYTES) {
      const chunk = this.#read(table.offset + from, Math.min(CHUNK_BYTES, table.size - from));
      const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
      for (let at = 0; at + SYMBOL_BYTES <= chunk.length; at += SYMBOL_BYTES) {
        if (view.getUint32(at, true) !== nameOffset || (chunk[at + 4]! & 15) !== STT_FUNC) continue;
        // st_shndx 0: only used here, defined in another file.
        if (view.getUint16(at + 6, true) !== 0) return u64(chunk, at + 8);
      }
      if (chunk.length < CHUNK_BYTES) return -1;
    }
    return -1;
  }
}

/** A 64-bit value; -1 when it is no offset that a double holds exactly. */
export const u64 = (bytes: Buffer, at: number): number => {
  const value = bytes.readUInt32LE(at + 4) * 4_294_967_296 + bytes.readUInt32LE(at);
  return Number.isSafeInteger(value) ? value : -1;
};

/** Both come from the file: neither is a lie, and no position within is beyond what a double holds exactly. */
const isRange = (from: number, size: number): boolean => from >= 0 && size >= 0 && Number.isSafeInteger(from + size);

const readLoads = (read: ReadAt, offset: number, entryBytes: number, count: number): Load[] => {
  if (entryBytes !== SEGMENT_BYTES || offset < 0) return [];
  const table = read(offset, Math.min(count, SEGMENTS_MAX) * SEGMENT_BYTES);
  const loads: Load[] = [];
  for (let at = 0; at + SEGMENT_BYTES <= table.length; at += SEGMENT_BYTES) {
    if (table.readUInt32LE(at) !== PT_LOAD) continue;
    loads.push({
      executable: (table.readUInt32LE(at + 4) & PF_X) !== 0,
      offset: u64(table, at + 8),
      address: u64(table, at + 16),
      size: u64(table, at + 32),
    });
  }
  return loads.filter(
    ({ offset: from, address, size }) => address >= 0 && size > 0 && isRange(from, size) && isRange(address, size),
  );
};

const readSections = (
  read: ReadAt,
  offset: number,
  entryBytes: number,
  count: number,
  namesIndex: number,
): Section[] => {
  if (entryBytes !== SECTION_BYTES || offset <= 0) return [];
  const table = read(offset, Math.min(count, SECTIONS_MAX) * SECTION_BYTES);
  const at = namesIndex * SECTION_BYTES;
  if (at + SECTION_BYTES > table.length) return [];
  const [namesOffset, namesSize] = [u64(table, at + 24), u64(table, at + 32)];
  const names =
    namesOffset < 0 || namesSize < 0 ? Buffer.alloc(0) : read(namesOffset, Math.min(namesSize, NAMES_BYTES_MAX));
  const sections: Section[] = [];
  for (let entry = 0; entry + SECTION_BYTES <= table.length; entry += SECTION_BYTES) {
    const nameAt = table.readUInt32LE(entry);
    const nameEnd = nameAt < names.length ? names.indexOf(0, nameAt) : -1;
    const section = {
      name: nameEnd < 0 ? '' : names.latin1Slice(nameAt, nameEnd),
      type: table.readUInt32LE(entry + 4),
      address: u64(table, entry + 16),
      offset: u64(table, entry + 24),
      size: u64(table, entry + 32),
      link: table.readUInt32LE(entry + 40),
    };
    // An entry keeps its place, because links are numbers; one that lies is empty.
    sections.push(isRange(section.offset, section.size) ? section : { ...section, offset: 0, size: 0 });
  }
  return sections;
};
