/**
 * Mutated and made-up HTTP/2: whatever comes, nothing throws, what was taken is given back, calls in flight end, and memory
 * stays within its bounds. HPACK alone against an encoder of its own.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { HpackDecoder, HpackShared } from '../../src/http/hpack/decoder.ts';
import { SharedLines } from '../../src/http/hpack/lines.ts';
import { NameTable } from '../../src/http/names.ts';
import { MessagePool } from '../../src/model/pool.ts';
import * as w from '../rig/h2/wire.ts';
import { H2Rig, type Piece } from '../unit/h2-rig.ts';
import { Random } from './random.ts';

const MUTATIONS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
/** A slow machine shared with others needs its time: 120 s were seen. */
const TIMEOUT_MS = 3_600_000;

function conversation(): Piece[] {
  const client = new w.Encoder();
  const server = new w.Encoder(false);
  const pieces: Piece[] = [];
  const add = (from: Piece['from'], ...frames: Buffer[]): void =>
    void pieces.push({ from, bytes: Buffer.concat(frames) });
  add('client', w.PREFACE, w.settings([3, 100], [1, 8_192]));
  add('server', w.settings([5, 32_768]), w.frame(w.TYPE.settings, 1, 0));
  for (let id = 1; id < 12; id += 2) {
    const fields: w.Pair[] = [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':authority', 'a.example'],
      [':path', `/p/${id}`],
      ['content-type', 'application/grpc'],
      ['x-unique', `u${id}`],
    ];
    const block = client.block(fields);
    add(
      'client',
      w.frame(w.TYPE.headers, 0, id, block.subarray(0, 9)),
      w.frame(w.TYPE.continuation, w.END_HEADERS, id, block.subarray(9)),
    );
    add('client', w.data(id, '\0\0\0\0\x03abc', id !== 3, 5));
    if (id === 5) add('server', w.rst(5, 7));
    else
      add(
        'server',
        w.headers(
          id,
          server.block([
            [':status', '200'],
            ['x-id', `${id}`],
          ]),
          false,
        ),
        w.data(id, 'hello', false),
      );
    if (id === 7)
      add(
        'server',
        w.frame(w.TYPE.push, w.END_HEADERS, 7, Buffer.concat([w.u32(2), server.block(fields.slice(0, 4))])),
      );
    if (id !== 5) add('server', w.headers(id, server.block([['grpc-status', '0']]), true));
  }
  add('server', w.goaway(11, 0));
  return pieces;
}

describe('mutated connections', () => {
  test(`${MUTATIONS} of them`, { timeout: TIMEOUT_MS }, () => {
    const random = new Random(20_261_122);
    const below = random.below.bind(random);
    const pieces = conversation();
    const rig = new H2Rig();
    for (let done = 0; done < MUTATIONS; ) {
      const wire = rig.connection(below(4) === 0 ? 'joined' : 'opened');
      const changed = pieces.map(({ from, bytes }) => ({ from, bytes: Buffer.from(bytes) }));
      for (let n = 1 + below(6); n > 0; n--, done++) {
        const { bytes } = changed[below(changed.length)]!;
        if (below(3) === 0) bytes[below(bytes.length)] = below(256);
        else bytes[below(Math.min(bytes.length, 24))]! ^= 1 << below(8);
      }
      for (const { from, bytes } of changed) {
        const what = below(30);
        if (what === 0) continue;
        const cut = below(bytes.length + 1);
        if (what === 1) wire.gap(from, bytes.length, 'gap');
        else if (what === 2) wire.send(from, bytes.subarray(0, cut)).gap(from, bytes.length - cut + 1, 'left_out');
        else if (what < 8) wire.send(from, bytes.subarray(0, cut)).send(from, bytes.subarray(cut));
        else wire.send(from, bytes);
        if (what === 9) wire.tick(700);
      }
      wire.end((['fin', 'rst', 'capture_end', 'vanished'] as const)[below(4)]!, below(2) === 0 ? 'client' : 'server');
      expect(wire.connection.load.inFlight).toBe(0);
      rig.seen.length = 0;
    }
    expect(rig.h1.pool.taken).toBe(0);
    expect(rig.h1.pool.largeBytes).toBe(0);
    expect(rig.shared.h2.hpack.budget.bytes).toBe(0);
    expect(rig.shared.live.size).toBe(0);
  });

  test('made-up frames', () => {
    const frame = fc
      .tuple(
        fc.integer({ min: 0, max: 11 }),
        fc.nat(255),
        fc.integer({ min: 0, max: 9 }),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([type, flags, id, payload]) => w.frame(type, flags, id, payload));
    const rig = new H2Rig();
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), fc.array(frame, { maxLength: 20 }), (client, server) => {
        const wire = rig.connection();
        wire.send('client', Buffer.concat([w.PREFACE, w.settings()])).send('server', w.settings());
        for (let i = 0; i < Math.max(client.length, server.length); i++) {
          wire.send('client', client[i] ?? Buffer.alloc(0)).send('server', server[i] ?? Buffer.alloc(0));
        }
        wire.end('fin');
        expect(wire.connection.load.inFlight).toBe(0);
        expect(rig.h1.pool.taken).toBe(0);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('HPACK', () => {
  const shared = new HpackShared(new SharedLines(new NameTable()), new MessagePool());
  const read = (decoder: HpackDecoder, wire: Uint8Array): w.Pair[] | null => {
    const block = shared.pool.takeBlock();
    const outcome = decoder.decode(Memory.from(wire), 0, wire.length, block);
    const pairs = Array.from({ length: block.count }, (_, i) => [block.lines[i]!.raw, block.value(i)] as const);
    shared.pool.giveBlock(block);
    return outcome === 'done' ? pairs : null;
  };

  test('what any encoder writes is read back, whatever it indexes and however it changes its table', () => {
    const text = fc.string({
      maxLength: 60,
      unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    });
    const name = fc.oneof(fc.constantFrom('x-a', 'x-b', 'cookie', 'etag'), fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/));
    const value = fc.oneof(fc.constantFrom('', 'same', 'other', 'x'.repeat(900)), text);
    const block = fc.record({
      fields: fc.array(fc.tuple(name, value, fc.constantFrom<w.How>('indexed', 'literal', 'never')), { maxLength: 12 }),
      resize: fc.option(fc.constantFrom(0, 40, 100, 1_000, 4_096, 60_000), { nil: null, freq: 4 }),
    });
    fc.assert(
      fc.property(fc.array(block, { maxLength: 12 }), fc.boolean(), (blocks, huffman) => {
        const encoder = new w.Encoder(huffman);
        const decoder = new HpackDecoder(shared, false, 65_536);
        for (const { fields, resize } of blocks) {
          const how = new Map(fields.map(([n, v, h]) => [`${n}\0${v}`, h]));
          const pairs = fields.map(([n, v]) => [n, v] as const);
          const wire = Buffer.concat([
            resize === null ? Buffer.alloc(0) : encoder.resize(resize),
            encoder.block(pairs, ([n, v]) => how.get(`${n}\0${v}`)!),
          ]);
          expect(read(decoder, wire)).toEqual(pairs);
        }
        decoder.table.lose();
      }),
      { numRuns: 2_000 },
    );
    expect(shared.budget.bytes).toBe(0);
  });

  test('any bytes are read or refused, and a refused block costs what was in the table and no more', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), (blocks) => {
        const decoder = new HpackDecoder(shared, false, 4_096);
        for (const block of blocks) {
          const before = decoder.table.lost;
          if (read(decoder, block) === null) expect(decoder.table.lost).toBe(true);
          else expect(decoder.table.lost).toBe(before);
          expect(decoder.table.size).toBeLessThanOrEqual(decoder.table.max);
        }
        decoder.table.lose();
      }),
      { numRuns: 20_000 },
    );
  });
});
