import type { MessagePool } from '../../model/pool.ts';
import { BodyReaders } from '../body.ts';
import { HpackShared } from '../hpack/decoder.ts';
import { SharedLines } from '../hpack/lines.ts';
import type { NameTable } from '../names.ts';
import { Blocks } from './blocks.ts';
import { Gathers } from './gather.ts';
import { rolesOf } from './roles.ts';
import { newStalls, type WindowStalls } from './windows.ts';

/** Readers of header blocks that are kept for reuse. */
const BLOCKS_KEPT = 64;

/** What all HTTP/2 connections of a pipeline share. */
export class H2Shared {
  readonly pool: MessagePool;
  readonly hpack: HpackShared;
  readonly bodies: BodyReaders;
  readonly gathers: Gathers;
  readonly roles: Uint8Array;
  /** Requests that passed without being read: a client's stream ids are consecutive odd numbers, so those that miss tell. */
  requestsPassed = 0;
  readonly stalls: WindowStalls = { stream: newStalls(), connection: newStalls() };
  readonly #blocks: Blocks[] = [];

  constructor(names: NameTable, pool: MessagePool) {
    this.pool = pool;
    this.gathers = new Gathers(pool);
    this.roles = rolesOf(names);
    this.bodies = new BodyReaders(names);
    this.hpack = new HpackShared(new SharedLines(names), pool);
  }

  /** For a header block that begins; a direction keeps it until the block is whole. */
  takeBlocks(): Blocks {
    return this.#blocks.pop() ?? new Blocks(this);
  }

  giveBlocks(blocks: Blocks): void {
    if (this.#blocks.length < BLOCKS_KEPT) this.#blocks.push(blocks);
  }
}
