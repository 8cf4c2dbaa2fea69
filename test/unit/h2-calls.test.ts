/** How many calls a client began on an HTTP/2 connection, read or not. */
import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request } from './h2-peers.ts';
import { H2Rig, type H2Wire } from './h2-rig.ts';

const counts = (rig: H2Rig, { connection }: H2Wire): { passed: number; calls: number; unknown: boolean } => ({
  passed: rig.shared.h2.requestsPassed,
  calls: connection.calls,
  unknown: connection.callsUnknown,
});

/** Calls on streams 1, 3, ... `last`. */
const calls = (last: number): Peers => {
  const peers = new Peers();
  for (let id = 1; id <= last; id += 2) peers.call(id);
  return peers;
};

describe('calls of a connection', () => {
  test('requests that passed unseen are counted by the ids of their streams', () => {
    const rig = new H2Rig();
    const peers = new Peers();
    for (let id = 1; id <= 41; id += 2) peers.call(id);
    const wire = rig.connection();
    // The first bytes too.
    wire.gap('client', peers.pieces[0]!.bytes.length, 'ring_full');
    let unseen = 0;
    peers.pieces.forEach(({ from, bytes }, i) => {
      if (i === 0) return;
      if (from === 'client' && [4, 8, 9, 20, 43].some((lost) => Math.abs(i - lost) < 2)) {
        wire.gap(from, bytes.length, 'ring_full');
        unseen++;
      } else wire.send(from, bytes);
    });
    wire.end('fin');
    expect(unseen).toBeGreaterThan(3);
    const seen = rig.seen.filter(({ request }) => request !== null).length;
    expect(rig.shared.h2.requestsPassed).toBe(21 - seen);
    expect(rig.seen.length).toBe(21);
  });

  test('all read: no id is missed that no byte misses, whatever ids the client leaves out', () => {
    const rig = new H2Rig();
    const peers = new Peers().call(15).call(17).call(1_001);
    expect(counts(rig, play(peers.pieces, rig.connection()).end('fin'))).toEqual({
      passed: 0,
      calls: 3,
      unknown: false,
    });
  });

  test('a hole within a body hides no call', () => {
    const rig = new H2Rig();
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('POST', '/')), false));
    const wire = play(peers.pieces.splice(0), rig.connection());
    const frame = w.data(1, 'x'.repeat(1_000), true);
    wire.send('client', frame.subarray(0, 100)).gap('client', 500, 'gap').send('client', frame.subarray(600));
    play(new Peers().call(99).pieces.slice(3), wire).end('fin');
    expect(counts(rig, wire)).toMatchObject({ passed: 0, calls: 2, unknown: false });
  });

  test('ids that jump over more calls than the missing bytes have room for are not believed', () => {
    const rig = new H2Rig();
    const peers = new Peers().call(1);
    const wire = play(peers.pieces.splice(0), rig.connection()).gap('client', 40, 'gap');
    play(peers.call(0x7fff_ffff).pieces, wire).end('fin');
    const { passed, calls: all } = counts(rig, wire);
    expect(passed).toBeGreaterThan(0);
    expect(passed).toBeLessThan(20);
    expect(all).toBe(passed + 2);
  });

  test('answers tell of calls behind the last one that was read', () => {
    const rig = new H2Rig();
    const { pieces } = calls(21);
    const wire = rig.connection();
    let asked = 0;
    for (const { from, bytes } of pieces) {
      if (from === 'client' && ++asked > 6) wire.gap(from, bytes.length, 'ring_full');
      else wire.send(from, bytes);
    }
    // Of what is behind the last answer nobody knows.
    expect(counts(rig, wire.end('fin'))).toEqual({ passed: 7, calls: 11, unknown: true });
  });

  test('bytes missing behind the last call that was read: there may have been more', () => {
    const rig = new H2Rig();
    const lose = (bytes: number): boolean => {
      const wire = play(calls(5).pieces, rig.connection()).gap('client', bytes, 'ring_full').end('fin');
      return wire.connection.callsUnknown;
    };
    // No header block fits in less.
    expect([lose(9), lose(10)]).toEqual([false, true]);
  });

  test('a connection that was joined: calls are counted from the first one read, and bytes passed over before it may hide more', () => {
    const rig = new H2Rig();
    const { pieces } = calls(41);
    const whole = play(pieces.slice(11), rig.connection('joined')).end('fin');
    expect(counts(rig, whole)).toEqual({ passed: 0, calls: 17, unknown: false });
    const [first, ...rest] = pieces.slice(11);
    const cut = rig.connection('joined').send('client', first!.bytes.subarray(5));
    play(rest, cut).end('fin');
    expect(counts(rig, cut)).toEqual({ passed: 0, calls: 16, unknown: true });
  });

  test('what comes behind broken framing may be calls', () => {
    const rig = new H2Rig();
    const wire = play(calls(3).pieces, rig.connection());
    wire.send('client', w.frame(w.TYPE.data, 0, 0, Buffer.from('x'))).send('client', Buffer.alloc(100));
    expect(counts(rig, wire.end('fin'))).toEqual({ passed: 0, calls: 2, unknown: true });
  });
});
