import { describe, expect, it } from 'vitest';
import { Rig, type SegmentSpec } from '../../test/unit/tcp/rig.ts';
import { EGRESS, INGRESS, TCP_FIN, TCP_SYN } from '../model/segment.ts';
import { LIVE_LIMITS } from './context.ts';
import { CHUNK_OVERHEAD } from './pending.ts';

const text = (rig: Rig): string => rig.last.ingress.text;
/** A rig whose ingress direction is known to begin at `isn + 1`. */
const opened = (isn = 999, options = {}): Rig => new Rig(options).send({ seq: isn, flags: TCP_SYN, flow: 1 });
const S = 1e9;

describe('one direction', () => {
  it('delivers segments in order, with what they acknowledge', () => {
    const rig = opened(999).send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN, flow: 1 });
    rig.send({ seq: 1000, ack: 5000, data: 'GET ', flow: 1, ts: 7 }).send({ seq: 1004, data: '/', flow: 1, ts: 8 });
    rig.send({ dir: EGRESS, seq: 5000, ack: 1005, data: 'HTTP', flow: 1, ts: 9 });
    expect(text(rig)).toBe('GET /');
    expect(rig.last.ingress.acks).toEqual([0, -1]);
    expect(rig.last.ingress.times).toEqual([7, 8]);
    expect(rig.last.egress.text).toBe('HTTP');
    expect(rig.last.egress.acks).toEqual([5]);
    expect(rig.faults).toEqual([]);
  });

  it('wraps around at 2^32', () => {
    const rig = opened(0xffff_fffb)
      .send({ seq: 0xffff_fffc, data: 'abcd', flow: 1 })
      .send({ seq: 0, data: 'efgh', flow: 1 });
    expect(text(rig)).toBe('abcdefgh');
    const other = opened(0xffff_fffb)
      .send({ seq: 0, data: 'efgh', flow: 1 })
      .send({ seq: 0xffff_fffc, data: 'abcd', flow: 1 });
    expect(text(other)).toBe('abcdefgh');
  });

  it('counts positions beyond 2^32', () => {
    const rig = opened(0);
    let seq = 1;
    for (let i = 0; i < 5; i++) {
      seq += 1_000_000_000;
      rig.send({ seq, data: 'x', leftOut: 1_000_000_000, flow: 1 });
      seq += 1;
    }
    expect(rig.last.ingress.position).toBe(5_000_000_005);
    expect(rig.faults).toEqual([]);
  });

  it('joins a stream whose beginning was not seen, and counts what lies before', () => {
    const rig = new Rig().send({ seq: 5000, data: 'abc', flow: 1 }).send({ seq: 4990, data: '0123456789abc', flow: 1 });
    expect(text(rig)).toBe('abc');
    expect(rig.losses.totals()).toEqual([{ reason: 'joined_midstream', count: 1, bytes: 10 }]);
  });

  it('puts reordered segments right', () => {
    const rig = opened().send({ seq: 1006, data: 'gh', flow: 1 }).send({ seq: 1003, data: 'def', flow: 1 });
    rig.send({ seq: 1000, data: 'abc', flow: 1 });
    expect(text(rig)).toBe('abcdefgh');
    expect(rig.tracker.held).toBe(0);
  });

  it.each<[string, SegmentSpec[], string, number]>([
    [
      'the same again',
      [
        { seq: 1000, data: 'abc' },
        { seq: 1000, data: 'abc' },
      ],
      'abc',
      0,
    ],
    [
      'more of the same',
      [
        { seq: 1000, data: 'abc' },
        { seq: 1000, data: 'abcdef' },
      ],
      'abcdef',
      0,
    ],
    [
      'the middle again',
      [
        { seq: 1000, data: 'abcdef' },
        { seq: 1002, data: 'cd' },
      ],
      'abcdef',
      0,
    ],
    [
      'a delivered byte differs',
      [
        { seq: 1000, data: 'abcdef' },
        { seq: 1001, data: 'bXdefgh' },
      ],
      'abcdefgh',
      1,
    ],
    [
      'over several delivered ones',
      [
        { seq: 1000, data: 'ab' },
        { seq: 1002, data: 'cd' },
        { seq: 1000, data: 'xbxd' },
      ],
      'abcd',
      2,
    ],
    [
      'waiting bytes differ',
      [
        { seq: 1004, data: 'efg' },
        { seq: 1003, data: 'dXXgh' },
        { seq: 1000, data: 'abc' },
      ],
      'abcdefgh',
      2,
    ],
    [
      'the gap closer overlaps',
      [
        { seq: 1002, data: 'cd' },
        { seq: 1006, data: 'gh' },
        { seq: 1000, data: 'abXXefXXi' },
      ],
      'abcdefghi',
      4,
    ],
  ])('keeps the first copy: %s', (_, segments, expected, differing) => {
    const rig = opened();
    for (const s of segments) rig.send({ ...s, flow: 1 });
    expect(text(rig)).toBe(expected);
    const losses = differing === 0 ? [] : [{ reason: 'overlap_conflict', bytes: differing }];
    expect(rig.losses.totals()).toMatchObject(losses);
    expect(rig.losses.totals()).toHaveLength(losses.length);
    rig.tracker.finish();
    expect(rig.unaccounted).toBe(0);
  });

  it('takes keep-alive probes and zero window probes for what they are', () => {
    const rig = opened().send({ seq: 1000, data: 'abc', flow: 1 });
    rig
      .send({ seq: 1002, data: '\0', flow: 1 })
      .send({ seq: 1002, flow: 1, ack: 1 })
      .send({ seq: 1003, data: 'd', flow: 1 });
    rig.send({ seq: 1003, data: 'def', flow: 1 });
    expect(text(rig)).toBe('abcdef');
    expect(rig.losses.totals()).toEqual([]);
  });

  it('waits for a hole, but not for ever', () => {
    const late = opened().send({ seq: 1010, data: 'b', flow: 1, ts: 0.5 * S });
    late.tracker.tick(1.4 * S);
    expect(text(late)).toBe('');
    late.tracker.tick(1.5 * S);
    expect(text(late)).toBe('<gap 10>b');
    expect(late.losses.totals()).toEqual([{ reason: 'gap', count: 1, bytes: 10 }]);

    const many = opened();
    for (let i = 0; i <= LIVE_LIMITS.holeSegments; i++) many.send({ seq: 1010 + i, data: 'b', flow: 1 });
    expect(text(many)).toBe(`<gap 10>${'b'.repeat(LIVE_LIMITS.holeSegments + 1)}`);

    const big = opened();
    const piece = 'c'.repeat(60_000);
    const fit = Math.floor(LIVE_LIMITS.holeBytes / (piece.length + CHUNK_OVERHEAD));
    for (let i = 0; i < fit; i++) big.send({ seq: 1010 + i * piece.length, data: piece, flow: 1 });
    expect(text(big)).toBe('');
    big.send({ seq: 1010 + fit * piece.length, data: piece, flow: 1 });
    expect(big.last.ingress.position).toBe(10 + (fit + 1) * piece.length);
    expect(big.tracker.held).toBe(0);
  });

  it('waits for a segment that a megabyte has overtaken', () => {
    const rig = opened();
    const long = 'c'.repeat(65_483);
    for (let i = 0; i < 16; i++) rig.send({ seq: 1036 + i * long.length, data: long, flow: 1 });
    rig.send({ seq: 1000, data: 'a'.repeat(36), flow: 1 });
    expect(rig.last.ingress.position).toBe(36 + 16 * long.length);
    expect(rig.losses.totals()).toEqual([]);
  });

  it('gives a hole up at once when the peer has the bytes', () => {
    const rig = opened(999).send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN, flow: 1 });
    rig.send({ seq: 1010, data: 'b', flow: 1 }).send({ dir: EGRESS, seq: 5000, ack: 1000, flow: 1 });
    expect(text(rig)).toBe('');
    rig.send({ dir: EGRESS, seq: 5000, ack: 1011, flow: 1 });
    expect(text(rig)).toBe('<gap 10>b');
    expect(rig.tracker.reassembly.ackedUnseen).toBe(10);
  });

  it('gives a hole up at once when the kernel explains it, in its words', () => {
    const cases: [number, number, string][] = [
      [10, 0, '<left_out 10>'],
      [0, 10, '<ring_full 10>'],
      [4, 6, '<left_out 4><ring_full 6>'],
      [400, 6, '<left_out 10>'],
    ];
    for (const [leftOut, lostBytes, expected] of cases) {
      const rig = opened().send({ seq: 1000, data: 'a', flow: 1 });
      rig.send({ seq: 1011, data: 'b', leftOut, lostBytes, flow: 1 }).send({ seq: 1012, data: 'c', flow: 1 });
      expect(text(rig)).toBe(`a${expected}bc`);
      expect(rig.losses.totals()).toEqual([]);
    }
  });

  it('takes back what two CPUs told twice, also when it was used, and loses nothing of it', () => {
    const rig = opened().send({ seq: 1000, data: 'a', flow: 1 });
    rig.send({ seq: 1011, data: 'b', leftOut: 10, flow: 1 }).send({ seq: 1012, data: 'c', leftOut: 10, flow: 1 });
    rig.send({ seq: 1013, data: 'd', leftOut: -10, flow: 1 });
    expect(text(rig)).toBe('a<left_out 10>bcd');
    rig.send({ seq: 1017, data: 'e', flow: 1 }).tracker.tick(2 * S);
    rig.send({ seq: 1018, data: 'f', leftOut: -10, flow: 1 }).event('closed', 1, { leftOut: [10, 0] });
    expect(text(rig)).toBe('a<left_out 10>bcd<gap 3>ef');
    expect(rig.tracker.reassembly.leftOutBytes).toBe(10);
  });

  it('waits for the part of a hole that the kernel does not explain', () => {
    const rig = opened().send({ seq: 1011, data: 'l', leftOut: 5, lostBytes: 3, flow: 1 });
    expect(text(rig)).toBe('');
    rig.tracker.tick(2 * S);
    expect(text(rig)).toBe('<left_out 5><ring_full 3><gap 3>l');
    expect(rig.losses.totals()).toEqual([{ reason: 'gap', count: 1, bytes: 3 }]);
    const filled = opened()
      .send({ seq: 1011, data: 'l', lostBytes: 3, flow: 1 })
      .send({ seq: 1000, data: 'abcdefghijk', flow: 1 });
    expect(text(filled)).toBe('abcdefghijkl');
  });

  it('does not take a lost repetition for a hole', () => {
    const rig = opened()
      .send({ seq: 1000, data: 'a', flow: 1 })
      .send({ seq: 1001, data: 'b', lostBytes: 100, flow: 1 });
    rig.send({ seq: 1003, data: 'd', flow: 1 });
    expect(text(rig)).toBe('ab');
    rig.send({ seq: 1002, data: 'c', flow: 1 });
    expect(text(rig)).toBe('abcd');
  });

  it('a lost segment that is sent again explains nothing and leaves no gap: the counts of the next segment do', () => {
    const rig = opened()
      .send({ seq: 1000, data: 'a', flow: 1 })
      .send({ dir: EGRESS, seq: 5000, ack: 1031, flow: 1 })
      // [1001, 1031) was lost; some of it is sent again, and acknowledged.
      .send({ seq: 1021, length: 10, data: '', again: true, flow: 1 })
      .send({ seq: 1001, data: 'lost', again: true, flow: 1 });
    rig.tracker.tick(2 * S);
    expect(text(rig)).toBe('a');
    rig.send({ seq: 1031, data: 'b', lostBytes: 30, flow: 1 }).send({ seq: 1000, data: 'a', again: true, flow: 1 });
    expect(text(rig)).toBe('a<ring_full 30>b');
    expect(rig.losses.totals()).toEqual([]);
    expect(rig.tracker.reassembly.duplicate).toBe(15);
    expect(rig.faults).toEqual([]);
  });

  it('of a direction of which nothing was told yet, what is sent again is not the beginning', () => {
    const rig = new Rig().event('opened', 1).send({ seq: 5010, data: 'again', again: true, flow: 1 });
    rig.send({ seq: 5020, data: 'b', lostBytes: 20, flow: 1 });
    expect(text(rig)).toBe('<ring_full 20>b');
    expect(rig.losses.totals()).toEqual([]);
  });

  it('the number of a FIN that was not seen is no lost byte behind a hole', () => {
    const rig = opened().send({ seq: 1000, data: 'a', flow: 1 }).send({ dir: EGRESS, seq: 5000, ack: 1012, flow: 1 });
    rig.event('closed', 1, { lostBytes: [10, 0] }).tracker.finish();
    expect(text(rig)).toBe('a<ring_full 10>$vanished');
    expect(rig.losses.totals()).toEqual([]);
  });

  it('knows what was lost before the first segment of an opened connection', () => {
    const rig = new Rig().event('opened', 1).send({ seq: 5000, data: 'b', lostBytes: 20, flow: 1 });
    expect(text(rig)).toBe('<ring_full 20>b');
  });

  it('names the rest of a segment that was cut', () => {
    const live = opened().send({ seq: 1000, data: 'ab', length: 10, flow: 1 }).send({ seq: 1010, data: 'c', flow: 1 });
    expect(text(live)).toBe('ab<left_out 8>c');
    expect(live.losses.totals()).toEqual([]);
    const file = new Rig({ offline: true })
      .send({ seq: 999, flags: TCP_SYN })
      .send({ seq: 1000, data: 'ab', length: 10 });
    expect(text(file)).toBe('ab<snaplen 8>');
    expect(file.losses.totals()).toEqual([{ reason: 'snaplen', count: 1, bytes: 8 }]);
    const reordered = opened()
      .send({ seq: 1003, data: 'd', length: 5, flow: 1 })
      .send({ seq: 1000, data: 'ab', length: 3, flow: 1 });
    expect(text(reordered)).toBe('ab<left_out 1>d<left_out 4>');
    expect(reordered.unaccounted).toBe(0);
  });

  it('ends with a FIN when everything before it is there', () => {
    const rig = opened().send({ seq: 1001, data: 'b', flags: TCP_FIN, flow: 1 });
    expect(text(rig)).toBe('');
    rig.send({ seq: 1000, data: 'a', flow: 1 }).send({ seq: 1001, data: 'b', flags: TCP_FIN, flow: 1 });
    rig.send({ seq: 1002, data: 'late', flow: 1 });
    expect(text(rig)).toBe('ab$fin');
    const alone = opened().send({ seq: 1005, flags: TCP_FIN, flow: 1 });
    alone.tracker.tick(2 * S);
    expect(text(alone)).toBe('<gap 5>$fin');
    const beyond = opened().send({ seq: 1003, data: 'beyond', flow: 1 }).send({ seq: 1001, flags: TCP_FIN, flow: 1 });
    beyond.send({ seq: 1000, data: 'a', flow: 1 });
    expect(text(beyond)).toBe('a$fin');
    expect(beyond.unaccounted).toBe(0);
    expect(beyond.tracker.held).toBe(0);
  });

  it('delivers the data of a SYN (fast open) once', () => {
    const rig = new Rig()
      .send({ seq: 999, flags: TCP_SYN, data: 'GET', flow: 1 })
      .send({ seq: 1000, data: 'GET /', flow: 1 });
    expect(text(rig)).toBe('GET /');
    expect(rig.last.connection.start).toBe('opened');
  });

  it('flushes what waits when the connection ends, with the bytes that the peer had', () => {
    const rig = opened(999).send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN, flow: 1 });
    rig.send({ seq: 1005, data: 'b', flow: 1 }).send({ dir: INGRESS, seq: 1000, ack: 5100, flow: 1 });
    rig.event('closed', 1, { leftOut: [3, 0] });
    rig.tracker.tick(1e9);
    expect(text(rig)).toBe('<left_out 3><gap 2>b$vanished');
    expect(rig.last.egress.text).toBe('<gap 100>$vanished');
    expect(rig.tracker.reassembly.ackedUnseen).toBe(100);
  });

  it('gives up its own holes when there is no memory for all', () => {
    const limits = { ...LIVE_LIMITS, totalBytes: 10_000 };
    const rig = new Rig({ limits });
    for (const flow of [1, 2, 3]) rig.send({ seq: 999, flags: TCP_SYN, flow, remotePort: flow });
    for (let i = 0; i < 4; i++)
      for (const flow of [1, 2, 3]) rig.send({ seq: 1010 + i * 1000, data: 'x'.repeat(1000), flow, remotePort: flow });
    expect(rig.tracker.held).toBeLessThanOrEqual(10_000);
    expect(rig.losses.totals().map((l) => l.reason)).toContain('reassembly_limit');
    rig.tracker.finish();
    expect(rig.connections.map((c) => c.ingress.position)).toEqual([4010, 4010, 4010]);
    expect(rig.faults).toEqual([]);
    expect(rig.tracker.held).toBe(0);
  });
});
