/** Any order of what parsers and the connection's end may say: nothing thrown, nothing told twice, nothing leaked. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OUTCOMES } from '../../src/model/exchange.ts';
import { ANOMALIES, type Message, type MessageEnd } from '../../src/model/message.ts';
import { Script } from '../unit/exchange-script.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000) / 100;

const ENDS: readonly MessageEnd[] = ['framed', 'fin', 'short', 'rst', 'switched', 'error', 'lost', 'open'];
const offset = fc.integer({ min: -1, max: 2_000 });
const time = fc.oneof(
  fc.constant(-1),
  fc.integer({ min: 0, max: 2_000 }).map((s) => s * 1e9),
);

const event = fc.oneof(
  fc.record({
    do: fc.constant('head' as const),
    kind: fc.constantFrom('request' as const, 'response' as const),
    offset: fc.option(fc.nat(2_000)),
    ack: fc.option(offset),
    at: time,
    headless: fc.boolean(),
  }),
  fc.record({
    do: fc.constant('end' as const),
    kind: fc.constantFrom('request' as const, 'response' as const),
    how: fc.constantFrom(...ENDS),
    offset: fc.option(offset),
    at: time,
    anomalies: fc.nat(2 ** ANOMALIES.length - 1),
  }),
  fc.record({ do: fc.constant('interim' as const), ack: fc.option(offset) }),
  fc.record({ do: fc.constant('tick' as const), at: time }),
  fc.record({
    do: fc.constant('closed' as const),
    by: fc.constantFrom('client' as const, 'server' as const),
    how: fc.constantFrom(
      'fin' as const,
      'rst' as const,
      'capture_end' as const,
      'evicted' as const,
      'vanished' as const,
    ),
    at: time,
  }),
);

test('any order of events', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(event, { maxLength: 60 }), (joined, events) => {
      const s = new Script({ joined, limits: { pendingMax: 4, interimMax: 2 } });
      const open: { request: Message | null; response: Message | null } = { request: null, response: null };
      const headed = new Set<Message>();
      const begun: string[] = [];
      const finish = (
        kind: 'request' | 'response',
        how: MessageEnd,
        end: { at?: number; offset?: number; anomalies?: number },
      ): void => {
        const m = open[kind];
        if (m === null) return;
        open[kind] = null;
        headed.delete(m);
        s.end(m, how, end);
      };
      events.forEach((e, i) => {
        switch (e.do) {
          case 'head': {
            if (open[e.kind] !== null) break;
            const id = `${e.kind} ${i}`;
            const m = s.make(e.kind, {
              id,
              at: e.at,
              ...(e.offset === null ? {} : { offset: e.offset }),
              ...(e.ack === null ? {} : { ack: e.ack }),
            });
            begun.push(id);
            open[e.kind] = m;
            if (e.headless) break;
            if (e.kind === 'response') s.pairer.requestFor(m);
            s.pairer.head(m);
            headed.add(m);
            break;
          }
          case 'end':
            finish(e.kind, e.how, {
              at: e.at,
              anomalies: e.anomalies,
              ...(e.offset === null ? {} : { offset: e.offset }),
            });
            break;
          case 'interim':
            if (open.response === null) s.interim(103, e.ack === null ? {} : { ack: e.ack });
            break;
          case 'tick':
            s.pairer.tick(e.at);
            break;
          case 'closed':
            s.closed(e.by, e.how, e.at);
        }
        expect(s.connection.load.inFlight).toBeGreaterThanOrEqual(0);
      });
      finish('request', 'open', {});
      finish('response', 'open', {});
      s.closed('client', 'capture_end');
      s.closed('server', 'capture_end');
      expect(s.connection.load.inFlight).toBe(0);
      expect(s.pool.taken).toBe(0);
      const told = s.emitted.flatMap((x) => [x.request, x.response].filter((id) => id !== null));
      expect([...told].sort()).toEqual([...begun].sort());
      expect(new Set(s.emitted.map((x) => x.ordinal)).size).toBe(s.emitted.length);
      for (const x of s.emitted) {
        expect(OUTCOMES).toContain(x.outcome);
        for (const mark of x.losses) expect(mark.bytes).toBeGreaterThanOrEqual(0);
      }
    }),
    { numRuns: RUNS },
  );
});
