import type { MessagePool } from '../../model/pool.ts';
import { BodyReaders } from '../body.ts';
import { HpackShared } from '../hpack/decoder.ts';
import { SharedLines } from '../hpack/lines.ts';
import { NAMES_MAX, type NameTable } from '../names.ts';
import { Blocks } from './blocks.ts';
import { Gathers } from './gather.ts';

/** What a field means to HTTP/2, by the id of its name. */
export const ROLE_NONE = 0;
/** Belongs to HTTP/1 connections (RFC 9113 8.2.2). */
export const ROLE_CONNECTION = 1;
export const ROLE_TE = 2;

/** Readers of header blocks that are kept for reuse. */
const BLOCKS_KEPT = 64;

/** What all HTTP/2 connections of a pipeline share. */
export class H2Shared {
  readonly pool: MessagePool;
  readonly hpack: HpackShared;
  readonly bodies: BodyReaders;
  readonly gathers: Gathers;
  readonly roles = new Uint8Array(NAMES_MAX + 1);
  /** Requests that passed without being read: a client's stream ids are consecutive odd numbers, so those that miss tell. */
  requestsPassed = 0;
  readonly #blocks: Blocks[] = [];

  constructor(names: NameTable, pool: MessagePool) {
    this.pool = pool;
    this.gathers = new Gathers(pool);
    this.bodies = new BodyReaders(names);
    this.hpack = new HpackShared(new SharedLines(names), pool);
    for (const name of ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']) {
      this.roles[names.intern(name).id] = ROLE_CONNECTION;
    }
    this.roles[names.intern('te').id] = ROLE_TE;
  }

  /** For a header block that begins; a direction keeps it until the block is whole. */
  takeBlocks(): Blocks {
    return this.#blocks.pop() ?? new Blocks(this);
  }

  giveBlocks(blocks: Blocks): void {
    if (this.#blocks.length < BLOCKS_KEPT) this.#blocks.push(blocks);
  }
}
