import type { MessageKind } from '../../model/message.ts';
import { MessagePool } from '../../model/pool.ts';
import { BodyReaders } from '../body.ts';
import { LineTable } from '../lines.ts';
import { NameTable } from '../names.ts';
import { HeadReader } from './reader.ts';
import { Section } from './section.ts';

export interface H1Limits {
  /** Start line through the empty line, in bytes; the same for a trailer section. At most the largest slab. */
  readonly headBytes: number;
  /** A chunk's size line with its extensions, in bytes. */
  readonly chunkLineBytes: number;
  /** Bytes kept while it is not known whether the connection became another protocol. */
  readonly heldBytes: number;
}

export const H1_LIMITS: H1Limits = { headBytes: 128 << 10, chunkLineBytes: 16 << 10, heldBytes: 16 << 10 };

/** Sections kept for reuse. */
const SECTIONS_KEPT = 64;

/** What all HTTP/1 connections of a pipeline share. */
export class H1Shared {
  readonly names: NameTable;
  readonly lines: LineTable;
  readonly pool: MessagePool;
  readonly limits: H1Limits;
  readonly reader: HeadReader;
  readonly bodies: BodyReaders;
  /** Message starts that were passed over because bytes are missing, and that the kernel has not counted as lost. */
  readonly passed: Record<MessageKind, number> = { request: 0, response: 0 };
  /** Reads the next section: nearly all are there whole, and leave nothing behind. */
  section: Section = new Section(this);
  readonly #sections: Section[] = [];

  constructor(
    names: NameTable = new NameTable(),
    lines: LineTable = new LineTable(names),
    pool: MessagePool = new MessagePool(),
    limits: H1Limits = H1_LIMITS,
  ) {
    this.names = names;
    this.lines = lines;
    this.pool = pool;
    this.limits = limits;
    this.reader = new HeadReader(lines);
    this.bodies = new BodyReaders(names);
  }

  /** The present section is not whole: it stays with the direction that reads it, until `giveSection`. */
  keepSection(): void {
    this.section = this.#sections.pop() ?? new Section(this);
  }

  giveSection(section: Section): void {
    if (this.#sections.length < SECTIONS_KEPT) this.#sections.push(section);
  }
}
