import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { WebSocketFrames } from '../../src/http/websocket/frames.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { Peer } from '../../src/model/stages.ts';
import { closing, frame, KEY, OP } from '../rig/websocket.ts';

const NO_COUNTS = {
  frames: 0,
  masked: 0,
  textMessages: 0,
  textBytes: 0,
  binaryMessages: 0,
  binaryBytes: 0,
  compressed: 0,
  pings: 0,
  pongs: 0,
  controlBytes: 0,
  unreadBytes: 0,
  violation: false,
  losses: [] as { reason: string; bytes: number }[],
};

function counts(frames: WebSocketFrames): typeof NO_COUNTS {
  const { losses, ...of } = frames;
  const shown = Object.fromEntries(Object.keys(NO_COUNTS).map((name) => [name, (of as never)[name]]));
  return { ...shown, violation: frames.violation, losses: losses.map((l) => ({ ...l })) } as typeof NO_COUNTS;
}

class Reader {
  readonly ledger = new LossLedger();
  readonly frames: WebSocketFrames;
  now = 0;

  constructor(by: Peer) {
    this.frames = new WebSocketFrames(by, this.ledger);
  }

  read(...pieces: Uint8Array[]): this {
    for (const piece of pieces) {
      // Not at the beginning of its memory: offsets count.
      const memory = Memory.from(Buffer.concat([Buffer.from('....'), piece]));
      this.frames.read(memory, 4, memory.size, ++this.now);
    }
    return this;
  }

  skip(length: number, why: Parameters<WebSocketFrames['skip']>[1] = 'left_out'): this {
    this.frames.skip(length, why);
    return this;
  }

  get counts(): typeof NO_COUNTS {
    return counts(this.frames);
  }
}

const server = (): Reader => new Reader('server');
const client = (): Reader => new Reader('client');
const bytewise = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));

describe('frames', () => {
  const everything = Buffer.concat([
    frame(OP.text, 'Hello', { mask: KEY }),
    frame(OP.text, 'frag', { mask: KEY, fin: false, deflated: true }),
    frame(OP.ping, 'beat', { mask: KEY }),
    frame(OP.continuation, 'mented', { mask: KEY }),
    frame(OP.binary, Buffer.alloc(300), { mask: KEY }),
    frame(OP.binary, Buffer.alloc(70_000), { mask: KEY }),
    frame(OP.pong, '', { mask: KEY }),
    frame(OP.text, '', { mask: KEY }),
    closing(4_321, 'bye', KEY),
  ]);
  const wanted = {
    ...NO_COUNTS,
    frames: 9,
    masked: 9,
    textMessages: 3,
    textBytes: 15,
    binaryMessages: 2,
    binaryBytes: 70_300,
    compressed: 1,
    pings: 1,
    pongs: 1,
    controlBytes: 9,
  };

  test('of every kind, in one piece and byte by byte', () => {
    for (const pieces of [[everything], bytewise(everything)]) {
      const reader = client().read(...pieces);
      expect(reader.counts).toEqual(wanted);
      expect(reader.frames.close).toEqual({ code: 4_321, reasonBytes: 3, at: pieces.length });
      expect(reader.frames.firstAt).toBe(pieces.length === 1 ? 1 : 11);
      expect(reader.ledger.totals()).toEqual([]);
    }
  });

  test('cut in two at every byte of its headers', () => {
    for (let cut = 0; cut < 400; cut++) {
      const reader = client().read(everything.subarray(0, cut), everything.subarray(cut));
      expect(reader.counts).toEqual(wanted);
      expect(reader.frames.close?.code).toBe(4_321);
    }
  });

  test('a close without a code, and with one that nobody may send', () => {
    expect(server().read(frame(OP.close, '')).frames.close).toMatchObject({ code: null, reasonBytes: 0 });
    expect(server().read(closing(1_005)).frames.close).toMatchObject({ code: 1_005, reasonBytes: 0 });
    expect(server().read(frame(OP.close, 'x')).frames.close).toMatchObject({ code: null, reasonBytes: 0 });
  });

  test('who masks is counted, not enforced', () => {
    expect(server().read(frame(OP.text, 'abc', { mask: KEY })).counts).toMatchObject({ masked: 1, textMessages: 1 });
    expect(client().read(frame(OP.text, 'abc')).counts).toMatchObject({ masked: 0, textMessages: 1 });
  });
});

describe('what may not stand there ends the reading, and is no loss', () => {
  const ok = frame(OP.text, 'ok');
  const wide = (length: bigint): Buffer => {
    const head = Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeBigUInt64BE(length, 2);
    return head;
  };
  test.each([
    ['a reserved opcode', frame(3, 'x')],
    ['a reserved control opcode', frame(11, 'x')],
    ['a reserved bit', Buffer.from([0xa1, 0])],
    ['a compressed control frame', frame(OP.ping, '', { deflated: true })],
    ['a fragmented control frame', frame(OP.ping, 'x', { fin: false })],
    ['a long control frame', frame(OP.ping, Buffer.alloc(126))],
    ['a continuation of nothing', frame(OP.continuation, 'x')],
    ['a message within a message', Buffer.concat([frame(OP.text, 'a', { fin: false }), frame(OP.text, 'b')])],
    [
      'a compressed continuation',
      Buffer.concat([frame(OP.text, 'a', { fin: false }), frame(0, 'b', { deflated: true })]),
    ],
    ['2^63 bytes', wide(1n << 63n)],
    ['2^64 - 1 bytes', wide((1n << 64n) - 1n)],
    ['2^53 bytes', wide(1n << 53n)],
  ])('%s', (_, bad) => {
    for (const pieces of [[ok, bad, ok], bytewise(Buffer.concat([ok, bad, ok]))]) {
      const reader = server().read(...pieces);
      expect(reader.counts).toMatchObject({ textMessages: 1, violation: true, losses: [] });
      expect(reader.counts.unreadBytes).toBeGreaterThanOrEqual(ok.length + 2);
      expect(reader.ledger.totals()).toEqual([]);
    }
  });

  test('2^53 - 1 bytes are awaited, and count as they come', () => {
    const reader = server()
      .read(wide((1n << 53n) - 1n), Buffer.alloc(1_000))
      .skip(5_000);
    expect(reader.counts).toMatchObject({ binaryBytes: 6_000, binaryMessages: 0, violation: false });
  });
});

describe('holes', () => {
  test('in a payload: bytes left out on purpose cost nothing, others are a loss', () => {
    const big = frame(OP.binary, Buffer.alloc(10_000));
    const read = (why: 'left_out' | 'gap') =>
      server().read(big.subarray(0, 500)).skip(9_000, why).read(big.subarray(9_500), frame(OP.text, 'next')).counts;
    const whole = { ...NO_COUNTS, frames: 2, binaryMessages: 1, binaryBytes: 10_000, textMessages: 1, textBytes: 4 };
    expect(read('left_out')).toEqual(whole);
    expect(read('gap')).toEqual({ ...whole, losses: [{ reason: 'gap', bytes: 9_000 }] });
  });

  test('in the reason of a close its code is known; in the code it is not', () => {
    const bytes = closing(1_001, 'going away');
    expect(server().read(bytes.subarray(0, 4)).skip(10).frames.close).toMatchObject({ code: 1_001, reasonBytes: 10 });
    expect(server().read(bytes.subarray(0, 3)).skip(11).frames.close).toMatchObject({ code: null, reasonBytes: 10 });
  });

  test('over a header: found again where two frames end with the piece, or one stands where another said', () => {
    const three = Buffer.concat([frame(OP.text, 'a'), frame(OP.text, 'bc'), frame(OP.ping, '')]);
    const reader = server().read(three).skip(100, 'gap').read(three);
    expect(reader.counts).toMatchObject({ textMessages: 4, pings: 2, losses: [{ reason: 'gap', bytes: 100 }] });
    const single = server().skip(100).read(frame(OP.text, 'one'), frame(OP.text, 'two'), frame(OP.text, 'three'));
    expect(single.counts).toMatchObject({ textMessages: 2, unreadBytes: 105 });
    expect(single.ledger.totals()).toEqual([
      { reason: 'window', count: 1, bytes: 100 },
      { reason: 'desync', count: 1, bytes: 5 },
    ]);
  });

  test('text is not taken for frames', () => {
    const text = Buffer.from('The quick brown fox jumps over the lazy dog. '.repeat(30));
    const reader = server().skip(10, 'gap').read(text, text, text);
    expect(reader.counts).toMatchObject({ frames: 0, violation: false, unreadBytes: 10 + 3 * text.length });
  });

  test("what follows a client's hole must be masked", () => {
    const two = Buffer.concat([frame(OP.text, 'a'), frame(OP.text, 'b')]);
    expect(client().skip(10, 'gap').read(two).counts.frames).toBe(0);
  });
});

describe('properties', () => {
  const data = fc.record({
    opcode: fc.constantFrom(OP.text, OP.binary),
    parts: fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 4 }),
    deflated: fc.boolean(),
    pings: fc.integer({ min: 0, max: 2 }),
  });
  const masked = fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }), { nil: null });
  const splits = fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 60 });

  /** Messages as bytes, and what should be counted. */
  function write(
    messages: readonly { opcode: number; parts: number[]; deflated: boolean; pings: number }[],
    mask: Uint8Array | null,
  ) {
    const out: Buffer[] = [];
    const wanted = { ...NO_COUNTS };
    for (const { opcode, parts, deflated, pings } of messages) {
      for (const [i, size] of parts.entries()) {
        const first = i === 0;
        const fin = i === parts.length - 1;
        out.push(
          frame(first ? opcode : OP.continuation, Buffer.alloc(size, 7), { fin, mask, deflated: deflated && first }),
        );
        if (opcode === OP.text) wanted.textBytes += size;
        else wanted.binaryBytes += size;
        for (let n = 0; n < pings; n++) out.push(frame(n % 2 === 0 ? OP.ping : OP.pong, 'xy', { mask }));
        wanted.controlBytes += 2 * pings;
        wanted.pings += Math.ceil(pings / 2);
        wanted.pongs += Math.floor(pings / 2);
      }
      if (opcode === OP.text) wanted.textMessages++;
      else wanted.binaryMessages++;
      if (deflated) wanted.compressed++;
    }
    wanted.frames = out.length;
    wanted.masked = mask === null ? 0 : out.length;
    return { bytes: Buffer.concat(out), wanted };
  }

  test('what was written is what is counted, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(data, { maxLength: 8 }), masked, splits, (messages, mask, sizes) => {
        const { bytes, wanted } = write(messages, mask);
        const reader = new Reader(mask === null ? 'server' : 'client');
        let at = 0;
        for (const size of sizes) {
          reader.read(bytes.subarray(at, at + size));
          at = Math.min(bytes.length, at + size);
        }
        reader.read(bytes.subarray(at));
        expect(reader.counts).toEqual(wanted);
      }),
    );
  });

  test('any bytes, with holes, cut anyhow: every byte is counted once, in pieces as in one', () => {
    const step = fc.record({ bytes: fc.uint8Array({ maxLength: 40 }), hole: fc.integer({ min: 0, max: 3 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.constantFrom<Peer>('client', 'server'), (steps, by) => {
        const reader = new Reader(by);
        let sent = 0;
        for (const { bytes, hole } of steps) {
          reader.read(bytes);
          if (hole > 0) reader.skip(hole, 'gap');
          sent += bytes.length + hole;
        }
        const { textBytes, binaryBytes, controlBytes, unreadBytes, frames, masked: keyed } = reader.counts;
        expect(textBytes + binaryBytes + controlBytes + unreadBytes).toBeLessThanOrEqual(sent);
        expect(keyed).toBeLessThanOrEqual(frames);
        expect(frames * 2).toBeLessThanOrEqual(sent);
      }),
      { numRuns: 2_000 },
    );
  });
});
