import { describe, expect, it } from 'vitest';
import { Rig } from '../../test/unit/tcp/rig.ts';
import { TCP_RST } from '../model/segment.ts';

describe("the source's own count of a connection's calls, told with its closing", () => {
  /** A connection of which `read` calls were read or counted. */
  const connected = (read: number, unknown = false): Rig => {
    const rig = new Rig().event('opened', 1).send({ seq: 1, data: 'a', flow: 1 });
    Object.assign(rig.last.connection, { calls: read, callsUnknown: unknown });
    return rig;
  };
  const counts = (rig: Rig): number[] => [rig.tracker.counters.callsUnread, rig.tracker.counters.callsUnknown];

  it('tells how many were not read, once the connection has ended', () => {
    const rig = connected(3, true).event('closed', 1, { calls: 10 });
    // What waited for a hole is still read.
    rig.last.connection.calls = 5;
    rig.tracker.tick(1e9);
    expect(counts(rig)).toEqual([5, 0]);
    const exact = connected(10).event('closed', 1, { calls: 10 });
    exact.tracker.finish();
    expect(counts(exact)).toEqual([0, 0]);
  });

  it('may come after the end', () => {
    const rig = connected(3, true).send({ seq: 2, flags: TCP_RST, flow: 1 });
    expect(counts(rig)).toEqual([0, 1]);
    rig.event('closed', 1, { calls: 10 });
    expect(counts(rig)).toEqual([7, 0]);
  });

  it('is all that is known of a connection of which no record found room', () => {
    expect(counts(new Rig().event('closed', 7, { calls: 12 }))).toEqual([12, 0]);
  });

  it('does not count again what was read before the connection was forgotten', () => {
    const rig = connected(8);
    rig.tracker.tick(3600e9);
    rig.tracker.tick(3700e9);
    rig.send({ seq: 2, data: 'b', flow: 1, ts: 3701e9 });
    expect(rig.connections).toHaveLength(2);
    rig.last.connection.calls = 1;
    rig.event('closed', 1, { calls: 10, ts: 3701e9 });
    rig.tracker.finish();
    expect(counts(rig)).toEqual([1, 0]);
  });

  it('is missing where the source cannot tell: such connections have a count', () => {
    const rig = connected(3, true).event('closed', 1);
    rig.tracker.finish();
    expect(counts(rig)).toEqual([0, 1]);
  });
});
