import { describe, expect, test } from 'vitest';
import { exchangeId } from '../../src/exchange/id.ts';
import { Connection } from '../../src/model/connection.ts';
import { LoadCounter } from '../../src/model/load.ts';
import { Script } from './exchange-script.ts';

const SECOND = 1_000_000_000;

function closeAll(s: Script): void {
  s.closed('client', 'capture_end');
  s.closed('server', 'capture_end');
}

describe('pairing', () => {
  test('pipelined requests are answered in order', () => {
    const s = new Script();
    for (const id of ['a', 'b', 'c']) s.ask({ id, ack: 0 });
    for (const id of ['a', 'b', 'c']) s.answer({ id, ack: 300 });
    expect(s.pairs).toEqual(['a>a', 'b>b', 'c>c']);
    expect(s.emitted.map((x) => x.inFlight)).toEqual([1, 2, 3]);
  });

  test('a lost request does not shift later pairs', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    s.requestOffset += 100;
    s.answer({ id: 'b' });
    s.ask({ id: 'c' });
    s.answer({ id: 'c' });
    expect(s.pairs).toEqual(['a>a', '->b', 'c>c']);
    expect(s.emitted[1]).toMatchObject({ outcome: 'truncated', inFlight: 0, losses: [{ reason: 'gap', bytes: 100 }] });
  });

  test('a lost response does not shift later pairs, and its bytes are marked', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.responseOffset += 123;
    s.ask({ id: 'b' });
    s.answer({ id: 'b' });
    expect(s.pairs).toEqual(['a>-', 'b>b']);
    expect(s.emitted[0]).toMatchObject({ outcome: 'truncated', losses: [{ reason: 'gap', bytes: 123 }] });
    expect(s.emitted[1]).toMatchObject({ outcome: 'complete', losses: [] });
  });

  test('several requests lost one after another are marked with their own bytes', () => {
    const s = new Script();
    s.requestOffset = 70;
    s.answer({ id: 'a' });
    s.requestOffset = 120;
    s.answer({ id: 'b' });
    s.ask({ id: 'c' });
    s.answer({ id: 'c' });
    expect(s.pairs).toEqual(['->a', '->b', 'c>c']);
    expect(s.emitted.map((x) => x.losses)).toEqual([
      [{ reason: 'gap', bytes: 70 }],
      [{ reason: 'gap', bytes: 50 }],
      [],
    ]);
  });

  test('a request that is not read to its end when the next one was answered misses something', () => {
    const s = new Script();
    const q = s.request({ id: 'a' });
    s.answer({ id: 'a', ack: 5_000 });
    s.answer({ id: 'b', ack: 5_000 });
    s.end(q, 'lost', { offset: 5_000 });
    closeAll(s);
    expect(s.pairs).toEqual(['a>a', '->b']);
    expect(s.emitted[0]).toMatchObject({ outcome: 'truncated', losses: [{ reason: 'gap', bytes: 0 }] });
  });

  test('of a client that was not seen to wait, the last of several requests behind a hole is not answered for certain', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    s.requestOffset += 300;
    const b = s.response({ id: 'b' });
    s.ask({ id: 'c', ack: 150 });
    s.end(b);
    s.ask({ id: 'd' });
    s.answer({ id: 'c' });
    s.answer({ id: 'd' });
    closeAll(s);
    expect(s.pairs).toEqual(['a>a', '->b', 'c>-', 'd>c', '->d']);
    expect(s.emitted[3]).toMatchObject({ outcome: 'truncated', losses: [{ reason: 'gap', bytes: 0 }] });
  });

  test('a joined connection is paired from its first request on; what was before says so', () => {
    const s = new Script({ joined: true });
    s.answer({ id: 'old', ack: -1 });
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    expect(s.pairs).toEqual(['->old', 'a>a']);
    expect(s.emitted[0]).toMatchObject({ outcome: 'truncated', losses: [{ reason: 'joined_midstream', bytes: 0 }] });
  });

  test('acknowledgements that are not known constrain nothing', () => {
    const s = new Script();
    for (const id of ['a', 'b']) s.ask({ id, ack: -1 });
    for (const id of ['a', 'b']) s.answer({ id, ack: -1 });
    expect(s.pairs).toEqual(['a>a', 'b>b']);
  });

  test('stray line ends between messages are no missing messages', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.requestOffset += 2;
    s.answer({ id: 'a' });
    s.ask({ id: 'b' });
    s.answer({ id: 'b' });
    expect(s.pairs).toEqual(['a>a', 'b>b']);
    expect(s.emitted.flatMap((x) => x.losses)).toEqual([]);
  });

  test('a response nobody asked for leaves the request that comes then its own', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    s.answer({ id: 'b' });
    s.ask({ id: 'c' });
    s.answer({ id: 'c' });
    expect(s.pairs).toEqual(['a>a', '->b', 'c>c']);
    expect(s.emitted[1]?.anomalies).toEqual(['response_without_request']);
  });

  test('a 408 to half a head is paired with it', () => {
    const s = new Script();
    s.answer({ id: 'a', ack: 60, status: 408 });
    expect(s.emitted).toEqual([]);
    s.closed('server', 'fin');
    const q = s.request({ id: 'a', offset: 0, ack: 0 });
    s.end(q, 'short', { offset: 60 });
    s.closed('client', 'fin');
    expect(s.emitted).toMatchObject([{ request: 'a', response: 'a', outcome: 'complete', losses: [] }]);
    expect(s.emitted[0]?.anomalies).toEqual(['early_response']);
    expect(s.connection.load.inFlight).toBe(0);
  });

  test('requestFor gives the request that framing needs, as often as it is asked', () => {
    const s = new Script();
    const q = s.request({ method: 'HEAD' });
    s.end(q);
    const r = s.make('response', {});
    expect(s.pairer.requestFor(r)).toBe(q);
    expect(s.pairer.requestFor(r)).toBe(q);
    s.pairer.head(r);
    s.end(r);
    const next = s.make('response', {});
    expect(s.pairer.requestFor(next)).toBeNull();
  });
});

describe('interim responses', () => {
  test('one that comes after its final response leaves the next call its own', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    s.interim(100);
    s.ask({ id: 'b' });
    s.answer({ id: 'b' });
    expect(s.emitted).toMatchObject([
      { request: 'a', response: 'a', anomalies: [] },
      { request: 'b', response: 'b', outcome: 'complete', interim: [], anomalies: ['response_without_request'] },
    ]);
    expect(s.pool.taken).toBe(0);
  });

  test('stay with their call, with their own times', () => {
    const s = new Script();
    const q = s.request();
    s.interim(100, { at: 5 });
    s.end(q);
    s.interim(103, { at: 9 });
    s.answer({ at: 20 });
    s.ask();
    s.answer();
    expect(s.emitted.map((x) => x.interim.map(({ status, at }) => [status, at]))).toEqual([
      [
        [100, 5],
        [103, 9],
      ],
      [],
    ]);
  });

  test('more than 16 are counted, not kept', () => {
    const s = new Script();
    s.ask();
    for (let i = 0; i < 20; i++) s.interim(102);
    s.answer();
    expect(s.emitted[0]?.interim).toHaveLength(16);
    expect(s.emitted[0]).toMatchObject({ outcome: 'complete', losses: [{ reason: 'queue_limit', bytes: 200 }] });
    expect(s.ledger.totals()).toEqual([{ reason: 'queue_limit', count: 4, bytes: 200 }]);
  });

  test('those of a request that was not seen stay with its response', () => {
    const s = new Script();
    s.requestOffset = 100;
    s.interim(103);
    s.answer({ id: 'a' });
    closeAll(s);
    expect(s.emitted).toMatchObject([{ request: null, response: 'a', interim: [{ status: 103 }] }]);
  });
});

describe('bounds and time', () => {
  test('requests over the limit are told as truncated and do not shift the others', () => {
    const s = new Script({ limits: { pendingMax: 3 } });
    for (let i = 0; i < 6; i++) s.ask({ id: `${i}`, ack: 0 });
    expect(s.pairs).toEqual(['3>-', '4>-', '5>-']);
    expect(s.outcomes).toEqual(['truncated', 'truncated', 'truncated']);
    expect(s.emitted[0]?.losses).toEqual([{ reason: 'queue_limit', bytes: 0 }]);
    for (let i = 0; i < 6; i++) s.answer({ id: `${i}`, ack: 600 });
    const ack = s.responseOffset;
    s.ask({ id: '6', ack });
    s.answer({ id: '6' });
    for (const id of ['0>0', '1>1', '2>2', '->3', '->4', '->5', '6>6']) expect(s.pairs).toContain(id);
    expect(s.ledger.totals()).toEqual([{ reason: 'queue_limit', count: 3, bytes: 0 }]);
    expect(s.connection.load.inFlight).toBe(0);
  });

  test('a call is told once as a timeout, and its very late response does not shift the next pair', () => {
    const s = new Script();
    s.ask({ id: 'a', at: 0 });
    s.ask({ id: 'b', at: 599 * SECOND, ack: 0 });
    s.pairer.tick(601 * SECOND);
    expect(s.emitted).toMatchObject([{ request: 'a', response: null, outcome: 'timeout' }]);
    expect(s.connection.load.inFlight).toBe(1);
    s.answer({ id: 'a', at: 602 * SECOND });
    s.answer({ id: 'b', at: 603 * SECOND });
    expect(s.pairs).toEqual(['a>-', '->a', 'b>b']);
    expect(s.outcomes).toEqual(['timeout', 'timeout', 'complete']);
    expect(s.connection.load.inFlight).toBe(0);
  });

  test('without times only the ticks tell how long a call waits', () => {
    const s = new Script();
    s.ask({ at: -1 });
    s.pairer.tick(1_000 * SECOND);
    expect(s.emitted).toEqual([]);
    s.pairer.tick(1_601 * SECOND);
    expect(s.outcomes).toEqual(['timeout']);
  });

  test('a request whose response ended early goes back when it ends', () => {
    const s = new Script();
    const q = s.request();
    s.answer({ status: 413 });
    s.pairer.tick(61 * SECOND);
    expect(s.outcomes).toEqual(['complete']);
    expect(s.pool.taken).toBe(1);
    s.end(q);
    expect(s.pool.taken).toBe(0);
    s.ask({ id: 'b' });
    s.answer({ id: 'b' });
    expect(s.pairs.at(-1)).toBe('b>b');
  });

  test('a request over the queue limit shifts no later pair, and its response has the same reason', () => {
    const s = new Script({ limits: { pendingMax: 2 } });
    for (const id of ['0', '1', '2']) s.ask({ id, ack: 0 });
    s.answer({ id: '0', ack: 300 });
    s.ask({ id: '3', ack: 0 });
    for (const id of ['1', '2', '3']) s.answer({ id, ack: 400 });
    s.closed('client', 'fin');
    s.closed('server', 'fin');
    for (const x of s.emitted) {
      if (x.request !== null && x.response !== null) expect(x.response).toBe(x.request);
      else expect([x.outcome, x.losses[0]?.reason, x.anomalies]).toEqual(['truncated', 'queue_limit', []]);
    }
    expect(s.pairs.slice(0, 3)).toEqual(['2>-', '0>0', '1>1']);
  });

  test('a call is counted where it arrived, whatever the connection counts with later', () => {
    const s = new Script();
    const before = s.connection.load;
    s.ask();
    s.connection.load = new LoadCounter();
    s.answer();
    expect(before.inFlight).toBe(0);
    expect(s.connection.load.inFlight).toBe(0);
  });

  test('the version of the request is the protocol', () => {
    const s = new Script();
    s.ask({ version: 10 });
    s.answer();
    s.ask();
    s.answer({ version: 10 });
    expect(s.emitted.map((x) => x.protocol)).toEqual(['http/1.0', 'http/1.1']);
  });
});

test('ids are short and differ by run, connection and ordinal', () => {
  const at = { address: '::1', port: 1 };
  const ids = [1, 36].flatMap((c) => [1, 36].map((o) => exchangeId('k3', new Connection(c, at, at), o)));
  expect(ids).toEqual(['k3-1-1', 'k3-1-10', 'k3-10-1', 'k3-10-10']);
});

describe('missing bytes', () => {
  test('a call is no reset when its response may be among bytes that were not captured', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    s.answer({ id: 'a' });
    s.ask({ id: 'b' });
    s.pairer.gap('server', 100, 250, 'ring_full');
    s.closed('server', 'fin');
    expect(s.emitted.at(-1)).toMatchObject({
      request: 'b',
      response: null,
      outcome: 'truncated',
      losses: [{ reason: 'ring_full', bytes: 250 }],
    });
  });

  test('bytes missing inside a response that ended say nothing about the next call', () => {
    const s = new Script();
    s.ask({ id: 'a' });
    const r = s.response({ id: 'a' });
    s.pairer.gap('server', 50, 20, 'gap');
    s.end(r);
    s.ask({ id: 'b' });
    s.closed('server', 'fin');
    expect(s.outcomes).toEqual(['complete', 'reset_before_headers']);
  });

  test('the reason of missing requests and responses is the one that was told', () => {
    const s = new Script();
    s.pairer.gap('client', 0, 100, 'ring_full');
    s.answer({ id: 'a', ack: 100 });
    s.ask({ id: 'b', offset: 100 });
    s.pairer.gap('server', 100, 80, 'shed_head');
    s.responseOffset += 80;
    s.ask({ id: 'c' });
    s.answer({ id: 'c' });
    expect(s.pairs).toEqual(['->a', 'b>-', 'c>c']);
    expect(s.emitted.map((x) => x.losses)).toEqual([
      [{ reason: 'ring_full', bytes: 100 }],
      [{ reason: 'shed_head', bytes: 80 }],
      [],
    ]);
  });

  test('responses to several requests missing in one hole are nobody else’s, and nobody’s fault', () => {
    const s = new Script();
    s.ask({ id: 'a', ack: 0 });
    for (const id of ['a', 'b', 'c']) s.answer({ id, ack: 300 });
    s.requestOffset = 300;
    s.ask({ id: 'd' });
    s.answer({ id: 'd' });
    expect(s.pairs).toEqual(['a>a', '->b', '->c', 'd>d']);
    expect(s.outcomes).toEqual(['complete', 'truncated', 'truncated', 'complete']);
    expect(s.emitted.flatMap((x) => x.anomalies)).toEqual([]);
  });
});
