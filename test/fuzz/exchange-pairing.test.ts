/**
 * Captures with holes: whatever is missing, a response is never shown with another call's request. Ids are planted in
 * every message, a simulated client and server produce true acknowledgements, any subset of messages is dropped. HEADWATER_FUZZ sets the number of runs, in hundreds.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Message } from '../../src/model/message.ts';
import { Script } from '../unit/exchange-script.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000) / 100;

interface Sent {
  readonly kind: 'request' | 'response';
  readonly id: string;
  readonly start: number;
  readonly end: number;
  readonly ack: number;
  /** The server answered before it had the whole request. */
  readonly early: boolean;
}

type Fate = 'seen' | 'dropped' | 'cut';
/** In [0, 1): one decision of the simulation. */
type Dice = () => number;

const between = (dice: Dice, low: number, high: number): number => low + Math.floor(dice() * (high - low + 1));

/**
 * The messages of a connection in the order in which a capture on the host sees them. `waits`: one request at a time;
 * `bursts`: several, then all their responses; `slides`: up to three under way at any time.
 */
function converse(style: 'waits' | 'bursts' | 'slides', calls: number, dice: Dice): Sent[] {
  const sent: Sent[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  let requestEnd = 0;
  let responseEnd = 0;
  let requestAck = 0;
  let responseAck = 0;
  let asked = 0;
  let answered = 0;
  let burst = 0;
  const ask = (): void => {
    const start = requestEnd;
    requestEnd += between(dice, 20, 90);
    // The client's acknowledgement may be older than what the server has sent meanwhile, unless it waits.
    if (style === 'waits' || (style === 'bursts' && asked === answered)) requestAck = responseEnd;
    else if (style === 'slides' && dice() < 0.7) requestAck = between(dice, requestAck, responseEnd);
    starts[asked] = start;
    ends[asked] = requestEnd;
    sent.push({ kind: 'request', id: `${asked}`, start, end: requestEnd, ack: requestAck, early: false });
    asked++;
  };
  const answer = (): void => {
    const start = responseEnd;
    responseEnd += between(dice, 20, 90);
    const early = style === 'waits' && dice() < 0.2;
    responseAck = early
      ? between(dice, starts[answered]! + 16, ends[answered]!)
      : between(dice, Math.max(responseAck, ends[answered]!), requestEnd);
    sent.push({ kind: 'response', id: `${answered}`, start, end: responseEnd, ack: responseAck, early });
    answered++;
  };
  if (style === 'bursts') {
    // Shows what it is: two on one acknowledgement.
    ask();
    ask();
    answer();
    answer();
  }
  if (style === 'slides') {
    // Shows what it is: the third is sent after the first answer and before the second.
    ask();
    ask();
    answer();
    requestAck = responseEnd;
    ask();
    answer();
    answer();
  }
  while (answered < calls) {
    if (style === 'bursts' && asked === answered) burst = between(dice, 1, 4);
    const may = style === 'waits' ? asked === answered : style === 'bursts' ? burst > 0 : asked - answered < 3;
    if (may && asked < calls && (asked === answered || dice() < 0.6)) {
      burst--;
      ask();
    } else if (answered < asked) answer();
  }
  return sent;
}

/** What the parsers make of the part that was captured. */
function play(sent: readonly Sent[], fates: (i: number) => Fate, joined: boolean): Script {
  const script = new Script({ joined });
  const seen = sent.filter((_, i) => fates(i) !== 'dropped');
  const base = (kind: Sent['kind']): number => (joined ? (seen.find((m) => m.kind === kind)?.start ?? 0) : 0);
  const bases = { request: base('request'), response: base('response') };
  let unfinished: (() => void) | null = null;
  sent.forEach((m, i) => {
    const fate = fates(i);
    if (m.kind === 'request') {
      unfinished?.();
      unfinished = null;
    }
    if (fate === 'dropped') return;
    const own = bases[m.kind];
    const other = bases[m.kind === 'request' ? 'response' : 'request'];
    const start = { id: m.id, offset: m.start - own, ack: Math.max(-1, m.ack - other) };
    const message: Message = m.kind === 'request' ? script.request(start) : script.response(start);
    const finish = (): void => {
      if (fate === 'seen') script.end(message, 'framed', { offset: m.end - own });
      else {
        const captured = 18;
        message.lose('gap', m.end - m.start - captured);
        script.end(message, 'lost', { offset: m.start - own + captured });
      }
    };
    const answer = sent[i + 1];
    if (m.kind === 'request' && answer?.early) unfinished = finish;
    else finish();
  });
  (unfinished as (() => void) | null)?.();
  script.closed('client', 'capture_end');
  script.closed('server', 'capture_end');
  return script;
}

const styles = ['waits', 'bursts', 'slides'] as const;
const scenario = fc.record({
  calls: fc.integer({ min: 4, max: 14 }),
  seed: fc.integer(),
  fates: fc.array(fc.constantFrom<Fate>('seen', 'seen', 'seen', 'dropped', 'cut'), { minLength: 30, maxLength: 30 }),
  joined: fc.boolean(),
});
/** A small generator (mulberry32), so that a counterexample is one number. */
const roll = (seed: number): Dice => {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

describe.each(styles)('a client that %s', (style) => {
  test('is paired whole when everything is seen', () => {
    fc.assert(
      fc.property(scenario, ({ calls, seed }) => {
        const script = play(converse(style, calls, roll(seed)), () => 'seen', false);
        expect([...script.pairs].sort()).toEqual(Array.from({ length: calls }, (_, i) => `${i}>${i}`).sort());
        for (const x of script.emitted) expect(x.losses).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test('never gets a wrong pair, and every message is told once', () => {
    fc.assert(
      fc.property(scenario, ({ calls, seed, fates, ...options }) => {
        // Who joins in the middle of a burst cannot know it: the first request looks like one of a client that waits.
        const joined = style === 'waits' && options.joined;
        const sent = converse(style, calls, roll(seed));
        // One that pipelines must have shown it: otherwise the same bytes may come from one that waits.
        const shown = style === 'waits' ? 0 : style === 'bursts' ? 4 : 6;
        const fate = (i: number): Fate => (i < shown ? 'seen' : (fates[i] ?? 'seen'));
        const script = play(sent, fate, joined);
        for (const x of script.emitted) {
          if (x.request !== null && x.response !== null) expect(x.response).toBe(x.request);
          else if (x.outcome !== 'open') expect(x.losses).not.toEqual([]);
        }
        const seen = sent.filter((_, i) => fate(i) !== 'dropped');
        const told = (kind: 'request' | 'response'): string[] =>
          script.emitted.flatMap((x) => (x[kind] === null ? [] : [x[kind]])).sort();
        const expected = (kind: 'request' | 'response'): string[] =>
          seen
            .filter((m) => m.kind === kind)
            .map((m) => m.id)
            .sort();
        expect(told('request')).toEqual(expected('request'));
        expect(told('response')).toEqual(expected('response'));
        expect(script.connection.load.inFlight).toBe(0);
        expect(script.pool.taken).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});

test.each(['bursts', 'slides'] as const)(
  'a client whose %s began in a hole gets no wrong pair without a mark',
  (style) => {
    const opening = fc.record({
      calls: fc.integer({ min: 4, max: 14 }),
      seed: fc.integer(),
      hidden: fc.integer({ min: 2, max: 16 }),
    });
    fc.assert(
      fc.property(opening, ({ calls, seed, hidden }) => {
        const sent = converse(style, calls, roll(seed));
        const script = play(sent, (i) => (i < hidden ? 'dropped' : 'seen'), false);
        const lost = sent.slice(0, hidden);
        // Where no response is missing, or one request alone, nothing tells the client from one that waits.
        if (!lost.some((m) => m.kind === 'response') || lost.filter((m) => m.kind === 'request').length < 2) return;
        for (const x of script.emitted) {
          if (x.request !== null && x.response !== null && x.response !== x.request) expect(x.losses).not.toEqual([]);
        }
      }),
      { numRuns: RUNS },
    );
  },
);

test('a client that waits gets every pair of which both messages are seen', () => {
  fc.assert(
    fc.property(scenario, ({ calls, seed, fates, joined }) => {
      const sent = converse('waits', calls, roll(seed));
      const fate = (i: number): Fate => (fates[i] === 'dropped' ? 'dropped' : 'seen');
      const script = play(sent, fate, joined);
      const seen = new Set(sent.filter((_, i) => fate(i) === 'seen').map((m) => `${m.kind} ${m.id}`));
      for (let i = 0; i < calls; i++) {
        if (seen.has(`request ${i}`) && seen.has(`response ${i}`)) expect(script.pairs).toContain(`${i}>${i}`);
      }
    }),
    { numRuns: RUNS },
  );
});

test('a client that sends in bursts is paired again from the burst after a loss', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 4 }), (dropped, burst) => {
      const script = new Script();
      let i = 0;
      const rounds = 4;
      for (let round = 0; round < rounds; round++) {
        const ack = script.responseOffset;
        const from = script.requestOffset;
        const acked = from + burst * 100;
        let at = script.responseOffset;
        for (let k = 0; k < burst; k++, i++) {
          if (i !== dropped) script.ask({ id: `${round}.${k}`, offset: from + k * 100, ack });
        }
        script.requestOffset = acked;
        for (let k = 0; k < burst; k++, at += 100) script.answer({ id: `${round}.${k}`, offset: at, ack: acked });
      }
      script.closed('client', 'capture_end');
      script.closed('server', 'capture_end');
      const hit = Math.floor(dropped / burst);
      for (let round = 0; round < rounds; round++) {
        if (round === hit) continue;
        for (let k = 0; k < burst; k++) expect(script.pairs).toContain(`${round}.${k}>${round}.${k}`);
      }
    }),
  );
});
