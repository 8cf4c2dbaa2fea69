import { describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/model/exchange.ts';
import { ANOMALY_BIT, type MessageEnd } from '../../src/model/message.ts';
import { EGRESS, INGRESS } from '../../src/model/segment.ts';
import { Script } from './exchange-script.ts';

const MS = 1_000_000;
const SECOND = 1_000 * MS;

/** One row of the table in src/exchange/outcome.ts: a play on a fresh connection and the one outcome it must give. */
const rows: [name: string, outcome: Outcome, play: (s: Script) => unknown][] = [
  ['whole request, whole response', 'complete', (s) => [s.ask(), s.answer()]],
  ['response delimited by FIN', 'complete', (s) => [s.ask(), s.end(s.response(), 'fin')]],
  [
    'reset after a complete response',
    'complete',
    (s) => [s.ask(), s.answer(), s.closed('server', 'rst'), s.closed('client', 'rst')],
  ],
  [
    'half-close, then a complete response',
    'complete',
    (s) => [s.ask(), s.closed('client', 'fin', 1 * MS), s.answer(), s.closed('server', 'fin')],
  ],
  [
    'client reset while it waited',
    'timeout',
    (s) => [s.ask(), s.closed('client', 'rst', SECOND), s.closed('server', 'rst', SECOND)],
  ],
  [
    'client closed while it waited',
    'timeout',
    (s) => [s.ask(), s.closed('client', 'fin', SECOND), s.closed('server', 'fin', SECOND)],
  ],
  [
    'client closed while it waited, the server answers the FIN by a reset',
    'timeout',
    (s) => [s.ask(), s.closed('client', 'fin', SECOND), s.closed('server', 'rst', SECOND)],
  ],
  ['no response within any limit', 'timeout', (s) => [s.ask(), s.pairer.tick(601 * SECOND)]],
  [
    'no response within the limit when the capture ends',
    'timeout',
    (s) => [s.ask(), s.closed('client', 'capture_end', 61 * SECOND), s.closed('server', 'capture_end', 61 * SECOND)],
  ],
  [
    'response begins after the limit',
    'timeout',
    (s) => [s.ask(), s.pairer.tick(70 * SECOND), s.answer({ at: 75 * SECOND })],
  ],
  [
    'server resets without a byte',
    'reset_before_headers',
    (s) => [s.ask(), s.closed('server', 'rst'), s.closed('client', 'rst')],
  ],
  ['server closes without a byte', 'reset_before_headers', (s) => [s.ask(), s.closed('server', 'fin')]],
  [
    'half-close, then the server closes without a byte',
    'reset_before_headers',
    (s) => [s.ask(), s.closed('client', 'fin', 1 * MS), s.closed('server', 'fin', SECOND)],
  ],
  [
    'server resets in the response head',
    'reset_in_body',
    (s) => [s.ask(), s.end(s.response(), 'rst'), s.closed('server', 'rst'), s.closed('client', 'rst')],
  ],
  [
    'server resets while the request is sent',
    'reset_before_headers',
    (s) => {
      const q = s.request();
      s.closed('server', 'rst');
      s.end(q, 'rst');
      s.closed('client', 'rst');
    },
  ],
  [
    'server closes while the request is sent, which then stops by a reset',
    'reset_before_headers',
    (s) => {
      const q = s.request();
      s.closed('server', 'fin');
      s.end(q, 'rst');
      s.closed('client', 'rst');
    },
  ],
  [
    'server resets in the body',
    'reset_in_body',
    (s) => [s.ask(), s.end(s.response(), 'rst'), s.closed('server', 'rst'), s.closed('client', 'rst')],
  ],
  [
    'client resets in the body',
    'client_abort',
    (s) => {
      s.ask();
      const r = s.response();
      s.closed('client', 'rst');
      s.end(r, 'rst');
      s.closed('server', 'rst');
    },
  ],
  [
    'client half-closes, then resets in the body: its direction has ended, the connection says who it was',
    'client_abort',
    (s) => {
      s.ask();
      const r = s.response();
      s.closed('client', 'fin', 1 * MS);
      s.end(r, 'rst');
      Object.assign(s.connection, { clientDirection: INGRESS, resetBy: INGRESS });
      s.closed('server', 'rst', SECOND);
    },
  ],
  [
    'client half-closes, then the server resets in the body',
    'reset_in_body',
    (s) => {
      s.ask();
      const r = s.response({ at: 2 * MS });
      s.closed('client', 'fin', 1 * MS);
      s.end(r, 'rst');
      Object.assign(s.connection, { clientDirection: INGRESS, resetBy: EGRESS });
      s.closed('server', 'rst', SECOND);
    },
  ],
  [
    'client closes in the body and the server answers that by a reset',
    'client_abort',
    (s) => {
      s.ask();
      const r = s.response();
      s.closed('client', 'fin', SECOND);
      s.end(r, 'rst');
      s.closed('server', 'rst', SECOND);
    },
  ],
  [
    'client closes in the body and the server stops there',
    'client_abort',
    (s) => {
      s.ask();
      const r = s.response();
      s.closed('client', 'fin', SECOND);
      s.end(r, 'short', { anomalies: ANOMALY_BIT.short_body });
      s.closed('server', 'fin', SECOND);
    },
  ],
  [
    'client closes in the body of an answer that came at once, and the server stops there',
    'client_abort',
    (s) => [
      s.ask(),
      s.closed('client', 'fin', 0.5 * MS),
      s.end(s.response({ at: 0.1 * MS }), 'short'),
      s.closed('server', 'fin', MS),
    ],
  ],
  [
    'client resets while it sends the request',
    'client_abort',
    (s) => [s.end(s.request(), 'rst'), s.closed('client', 'rst'), s.closed('server', 'rst')],
  ],
  [
    'client resets in the response head',
    'client_abort',
    (s) => {
      s.ask();
      const r = s.make('response', { status: 0 });
      s.pairer.requestFor(r);
      s.closed('client', 'rst');
      s.end(r, 'rst');
      s.closed('server', 'rst');
    },
  ],
  [
    'server closes before Content-Length is reached',
    'truncated',
    (s) => [s.ask(), s.end(s.response(), 'short', { anomalies: ANOMALY_BIT.short_body }), s.closed('server', 'fin')],
  ],
  [
    'half-close, then the server closes before Content-Length is reached',
    'truncated',
    (s) => [
      s.ask(),
      s.closed('client', 'fin', 1 * MS),
      s.end(s.response({ at: 2 * MS }), 'short'),
      s.closed('server', 'fin', SECOND),
    ],
  ],
  [
    'client closes before Content-Length is reached',
    'truncated',
    (s) => [s.end(s.request(), 'short'), s.closed('client', 'fin'), s.closed('server', 'fin')],
  ],
  [
    'the same, and the server still answers',
    'truncated',
    (s) => [s.end(s.request(), 'short'), s.closed('client', 'fin'), s.answer()],
  ],
  ['response partly captured', 'truncated', (s) => [s.ask(), s.end(s.response(), 'lost')]],
  ['request partly captured', 'truncated', (s) => [s.end(s.request(), 'lost'), s.answer()]],
  [
    'bytes missing inside a framed body',
    'truncated',
    (s) => {
      s.ask();
      const r = s.response();
      r.lose('gap', 1448);
      s.end(r);
    },
  ],
  [
    'a differing retransmission misses nothing',
    'complete',
    (s) => {
      s.ask();
      const r = s.response();
      r.lose('overlap_conflict', 3);
      s.end(r);
    },
  ],
  [
    'connection table full while it waited',
    'truncated',
    (s) => [s.ask(), s.closed('client', 'evicted'), s.closed('server', 'evicted')],
  ],
  [
    'connection table full in the body',
    'truncated',
    (s) => [s.ask(), s.end(s.response(), 'open'), s.closed('server', 'evicted'), s.closed('client', 'evicted')],
  ],
  ['request not captured', 'truncated', (s) => [s.answer({ ack: 100 }), s.closed('client', 'capture_end')]],
  ['response nobody asked for', 'protocol_error', (s) => s.answer({ ack: 0 })],
  ['408 on an idle connection', 'complete', (s) => s.answer({ ack: 0, status: 408 })],
  [
    'request breaks off in contradiction',
    'protocol_error',
    (s) => [s.end(s.request(), 'error'), s.answer({ status: 400 })],
  ],
  ['response breaks off in contradiction', 'protocol_error', (s) => [s.ask(), s.end(s.response(), 'error')]],
  ['response head is no head', 'protocol_error', (s) => [s.ask(), s.end(s.make('response', {}), 'error')]],
  ['101', 'upgraded', (s) => [s.ask(), s.end(s.response({ status: 101 }), 'switched')]],
  ['2xx to CONNECT', 'upgraded', (s) => [s.ask({ method: 'CONNECT' }), s.end(s.response(), 'switched')]],
  [
    'capture ends while it waits',
    'open',
    (s) => [s.ask(), s.closed('client', 'capture_end', 1), s.closed('server', 'capture_end', 1)],
  ],
  [
    'half-close, then the capture ends',
    'open',
    (s) => [s.ask(), s.closed('client', 'fin', 1 * MS), s.closed('server', 'capture_end', SECOND)],
  ],
  [
    'capture ends in the request',
    'open',
    (s) => [s.end(s.request(), 'open'), s.closed('client', 'capture_end'), s.closed('server', 'capture_end')],
  ],
  [
    'capture ends in the response',
    'open',
    (s) => [s.ask(), s.end(s.response(), 'open'), s.closed('server', 'capture_end'), s.closed('client', 'capture_end')],
  ],
  [
    'capture ends while the request is sent after its response',
    'open',
    (s) => {
      const q = s.request();
      s.answer();
      s.end(q, 'open');
      s.closed('client', 'capture_end');
      s.closed('server', 'capture_end');
    },
  ],
  [
    'early response, and the request ends',
    'complete',
    (s) => {
      const q = s.request();
      s.answer({ status: 413 });
      s.end(q);
    },
  ],
  [
    'early response, and the server resets the rest of the request',
    'complete',
    (s) => {
      const q = s.request();
      s.answer({ status: 413 });
      s.closed('server', 'rst');
      s.end(q, 'rst');
      s.closed('client', 'rst');
    },
  ],
  [
    'early response, and the client stops and closes',
    'complete',
    (s) => {
      const q = s.request();
      s.answer({ status: 413 });
      s.end(q, 'short', { anomalies: ANOMALY_BIT.short_body });
      s.closed('client', 'fin');
    },
  ],
  [
    'early response, and the request never ends',
    'complete',
    (s) => {
      s.request();
      s.answer({ status: 413 });
      s.pairer.tick(61 * SECOND);
    },
  ],
];

describe('outcome', () => {
  test.each(rows)('%s: %s', (_, outcome, play) => {
    const s = new Script();
    play(s);
    expect(s.outcomes).toEqual([outcome]);
    expect(s.connection.load.inFlight).toBe(0);
    s.closed('client', 'capture_end', 2);
    s.closed('server', 'capture_end', 2);
    expect(s.outcomes).toEqual([outcome]);
  });

  const conflicts = [
    'content_length_and_transfer_encoding',
    'differing_content_lengths',
    'bad_content_length',
    'bad_chunk_size',
    'bad_chunk_end',
    'transfer_encoding_in_http10',
  ] as const;
  test.each(conflicts)('a framing conflict is a marked protocol_error, in either message: %s', (name) => {
    const s = new Script();
    s.end(s.request(), 'framed', { anomalies: ANOMALY_BIT[name] });
    s.answer();
    s.ask();
    s.end(s.response(), 'framed', { anomalies: ANOMALY_BIT[name] });
    expect(s.outcomes).toEqual(['protocol_error', 'protocol_error']);
    expect(s.emitted.map((x) => x.anomalies)).toEqual([[name], [name]]);
  });

  test('harmless anomalies stay marks', () => {
    const s = new Script();
    s.end(s.request(), 'framed', { anomalies: ANOMALY_BIT.obs_fold });
    s.end(s.response(), 'framed', { anomalies: ANOMALY_BIT.bare_lf });
    expect(s.emitted).toMatchObject([{ outcome: 'complete', anomalies: ['bare_lf', 'obs_fold'] }]);
  });

  test('an early response is marked', () => {
    const s = new Script();
    const q = s.request();
    s.answer({ status: 413 });
    expect(s.emitted).toEqual([]);
    expect(s.connection.load.inFlight).toBe(0);
    s.end(q);
    expect(s.emitted).toMatchObject([{ outcome: 'complete', anomalies: ['early_response'] }]);
  });

  test('what was given up with the connection says so', () => {
    const s = new Script();
    s.ask();
    s.closed('client', 'evicted');
    s.closed('server', 'evicted');
    expect(s.emitted).toMatchObject([{ outcome: 'truncated', losses: [{ reason: 'connection_limit', bytes: 0 }] }]);
  });

  test('losses of both messages are added by reason', () => {
    const s = new Script();
    const q = s.request();
    q.lose('gap', 10);
    s.end(q);
    const r = s.response();
    r.lose('gap', 5);
    r.lose('ring_full', 7);
    s.end(r);
    const lost = s.emitted[0]!.losses.map(({ reason, bytes }) => [reason, bytes]);
    expect(Object.fromEntries(lost)).toEqual({ gap: 15, ring_full: 7 });
  });

  test('an end whose author is not known yet waits for it', () => {
    for (const how of ['rst', 'short'] satisfies MessageEnd[]) {
      const s = new Script();
      s.ask();
      s.end(s.response(), how);
      expect(s.emitted).toEqual([]);
      s.pairer.tick(61 * SECOND);
      expect(s.outcomes).toEqual([how === 'rst' ? 'reset_in_body' : 'truncated']);
    }
  });

  test('upgrade names the protocol', () => {
    const s = new Script();
    s.ask({ method: 'CONNECT' });
    s.end(s.response(), 'switched');
    expect(s.emitted[0]?.upgrade).toBe('connect');
  });
});
