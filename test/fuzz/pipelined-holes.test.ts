/**
 * Clients that pipeline, uploads and bodies that quote messages, in captures of which segments are missing or cut: no answer is shown with
 * another call's request, no body with another length, and no quoted message, but with a mark. Nothing is marked where nothing is missing.
 * HEADWATER_FUZZ sets the number of conversations, in hundreds.
 */
import { expect, test } from 'vitest';
import { decoderFactory } from '../../src/agent/decoder.ts';
import { Memory } from '../../src/base/memory.ts';
import { EGRESS, INGRESS, Segment, TCP_ACK, TCP_SYN } from '../../src/model/segment.ts';
import { FILE_LIMITS } from '../../src/tcp/context.ts';
import { ConnectionTracker } from '../../src/tcp/tracker.ts';
import { converse, type SentCall, type SentSegment, STYLES, type Style } from '../fixtures/pipelined.ts';
import { H2Rig, type Seen, type SeenMessage } from '../unit/h2-rig.ts';
import { Random } from './random.ts';

const CONVERSATIONS = Number(process.env['HEADWATER_FUZZ'] ?? 20_000) / 100;
const ADDRESSES = Memory.from(Buffer.from('00000000000000000000ffff7f00000100000000000000000000ffff7f000001', 'hex'));
const FIRST = [1_000, 5_000_000] as const;
const HISTORY_BYTES = 65_536;
/** Seeds of conversations that slide, of which nothing that is left shows it: docs/loss.md, joined_midstream and window. */
const HIDDEN: ReadonlySet<number> = new Set([163]);

/** Seeds beyond those that were wrong once, by style. */
const FOUND: Readonly<Record<Style, readonly number[]>> = {
  waits: [],
  bursts: [1414, 2148],
  slides: [1646],
  floods: [1646],
};

/** How many bytes of a segment the capture has. */
type Fate = (segment: SentSegment) => number;

/** What a capture that begins with the opening says. */
function read(rig: H2Rig, segments: readonly SentSegment[], fate: Fate): Seen[] {
  rig.seen.length = 0;
  const tracker = new ConnectionTracker({
    decoder: decoderFactory(rig.shared),
    losses: rig.ledger,
    offline: true,
    limits: { ...FILE_LIMITS, historyBytes: HISTORY_BYTES },
  });
  const s = new Segment();
  const send = (from: 0 | 1, seq: number, ack: number, flags: number, bytes: Buffer, captured: number): void => {
    s.ts = s.ts < 0 ? 0 : s.ts + 1_000;
    s.addresses = ADDRESSES;
    s.localPort = 80;
    s.remotePort = 40_000;
    s.direction = from === 0 ? INGRESS : EGRESS;
    s.seq = FIRST[from] + seq;
    s.ack = FIRST[1 - from]! + ack;
    s.flags = flags;
    s.memory = Memory.from(bytes);
    s.length = bytes.length;
    s.captured = captured;
    tracker.segment(s);
  };
  send(0, -1, 0, TCP_SYN, Buffer.alloc(0), 0);
  send(1, -1, 0, TCP_SYN | TCP_ACK, Buffer.alloc(0), 0);
  for (const segment of segments) {
    const { from, position, bytes, ack } = segment;
    const captured = fate(segment);
    if (captured > 0) send(from, position, ack, TCP_ACK, bytes, Math.min(captured, bytes.length));
  }
  tracker.finish();
  expect(rig.h1.pool.taken).toBe(0);
  return rig.seen;
}

const idOf = (message: SeenMessage | null): string | undefined =>
  message?.headers.find(([name]) => name === 'X-Id')?.[1];

/** What is wrong and not marked. */
function faults(seen: readonly Seen[], calls: readonly SentCall[]): string[] {
  return seen.flatMap(({ request, response, outcome, losses }) => {
    if (losses.length > 0) return [];
    const asked = idOf(request);
    const call = calls[Number(asked)];
    const told = `${asked} > ${idOf(response)} ${outcome}`;
    if (outcome === 'open' && (request === null || call !== undefined)) return [];
    if (call === undefined || outcome !== 'complete' || idOf(response) !== asked) return [told];
    const right = request!.body === call.sent && response!.body === call.received;
    return right
      ? []
      : [`${told}, ${request!.body} and ${response!.body} instead of ${call.sent} and ${call.received}`];
  });
}

const FATES: readonly (readonly [string, (random: Random) => Fate])[] = [
  ['some segments missing', (random) => () => (random.below(100) < 5 ? 0 : 1 << 16)],
  ['many segments missing', (random) => () => (random.below(100) < 25 ? 0 : 1 << 16)],
  ['every segment cut', () => () => 120],
  [
    'heads of answers missing',
    (random) =>
      ({ from, bytes }) =>
        from === 1 && bytes.includes('HTTP/1.1 200 OK\r\nHost') && random.below(100) < 30 ? 0 : 1 << 16,
  ],
]; // prettier-ignore

const rig = new H2Rig();

test.each(STYLES)('a client that %s is read whole where nothing is missing', (style: Style) => {
  for (let seed = 1; seed <= CONVERSATIONS; seed++) {
    const { segments, calls } = converse(new Random(seed), style);
    const seen = read(rig, segments, ({ bytes }) => bytes.length);
    expect(faults(seen, calls), `seed ${seed}`).toEqual([]);
    expect(seen.filter(({ losses, outcome }) => losses.length > 0 || outcome !== 'complete')).toEqual([]);
    expect(seen).toHaveLength(calls.length);
  }
});

test.each(STYLES.flatMap((style) => FATES.map(([name, fate]) => ({ style, name, fate }))))(
  'a client that $style, $name',
  ({ style, fate }) => {
    for (const seed of [...Array.from({ length: CONVERSATIONS }, (_, i) => i + 1), ...FOUND[style]]) {
      if (style === 'slides' && HIDDEN.has(seed)) continue;
      const random = new Random(seed);
      const { segments, calls } = converse(random, style);
      expect(faults(read(rig, segments, fate(random)), calls), `seed ${seed}`).toEqual([]);
    }
  },
);
