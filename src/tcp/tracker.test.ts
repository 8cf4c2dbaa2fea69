import { describe, expect, it } from 'vitest';
import { handshake, Rig, type SegmentSpec } from '../../test/unit/tcp/rig.ts';
import type { Connection } from '../model/connection.ts';
import {
  type Direction,
  EGRESS,
  INGRESS,
  SHED_BODY,
  SHED_HEAD,
  type SocketEvent,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../model/segment.ts';

const S = 1e9;

describe('ConnectionTracker', () => {
  it('makes a connection of a handshake', () => {
    const rig = handshake(new Rig({ offline: true }), { ts: 3 });
    const { connection } = rig.last;
    expect(connection).toMatchObject({
      id: 1,
      side: 'unknown',
      clientDirection: INGRESS,
      start: 'opened',
      openedAt: 3,
    });
    expect(connection.local).toEqual({ address: '127.0.0.1', port: 8080 });
    expect(connection.remote).toEqual({ address: '2001:db8::1', port: 40_000 });
    expect(connection.client).toBe(connection.remote);
    const outgoing = new Rig({ offline: true }).send({ dir: EGRESS, seq: 1, flags: TCP_SYN });
    expect(outgoing.last.connection.clientDirection).toBe(EGRESS);
    const half = new Rig({ offline: true }).send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN });
    expect(half.last.connection).toMatchObject({ clientDirection: INGRESS, start: 'opened' });
    half.send({ seq: 1003, data: 'd' }).send({ seq: 1000, data: 'abc' });
    expect(half.last.ingress.text).toBe('abcd');
  });

  it('makes none of bare acknowledgements, and joins at the first payload', () => {
    const rig = new Rig().send({ seq: 5, ack: 6, flow: 1 }).send({ seq: 5, ack: 6, flags: TCP_RST, flow: 1 });
    expect(rig.connections).toHaveLength(0);
    rig.send({ seq: 5, ack: 6, data: 'a', flow: 1 });
    expect(rig.last.connection).toMatchObject({ start: 'joined', side: 'unknown', clientDirection: -1 });
    expect(rig.tracker.counters).toMatchObject({ connections: 1, segments: 1, bytes: 1 });
  });

  it('learns the side from the socket', () => {
    for (const accepted of [true, false]) {
      const rig = new Rig().event('opened', 7, { accepted, ts: 5 });
      expect(rig.last.connection).toMatchObject({
        side: accepted ? 'server' : 'client',
        clientDirection: accepted ? INGRESS : EGRESS,
        start: 'opened',
        openedAt: 5,
      });
    }
  });

  it('knows the first byte from the socket, whatever comes first', () => {
    const rig = new Rig().event('opened', 7, { accepted: false, reached: [5000, 1000] });
    rig.send({ dir: EGRESS, seq: 1000, ack: 5000, data: 'GET', flow: 7 });
    rig.send({ seq: 5002, ack: 1003, data: 'llo', flow: 7 }).send({ seq: 5000, ack: 1003, data: 'he', flow: 7 });
    expect([rig.last.egress.text, rig.last.ingress.text]).toEqual(['GET', 'hello']);
    // Bytes that never came were missed.
    rig.event('opened', 8, { reached: [5000, 1000] }).send({ seq: 5002, ack: 1000, data: 'llo', flow: 8 });
    rig.send({ dir: EGRESS, seq: 1000, ack: 5005, data: 'x', flow: 8 });
    expect(rig.last.ingress.text).toBe('<gap 2>llo');
    // What was seen on the listening socket counts more, and a source that does not tell (0) changes nothing.
    rig.send({ seq: 6000, ack: 1, data: 'early', flow: 0, remotePort: 9 });
    rig.event('opened', 9, { reached: [6005, 1], remotePort: 9 });
    rig.send({ seq: 6005, ack: 1, data: '!', flow: 9, remotePort: 9 });
    expect(rig.last.ingress.text).toBe('early!');
    rig.event('opened', 10, { reached: [0, 0], remotePort: 10 }).send({ seq: 9, data: 'a', flow: 10, remotePort: 10 });
    expect(rig.last.ingress.text).toBe('a');
  });

  it('adopts what was seen on the listening socket', () => {
    const rig = new Rig().send({ seq: 1000, data: 'GET', ts: 4 });
    expect(rig.last.connection).toMatchObject({ side: 'server', clientDirection: INGRESS, start: 'opened' });
    rig
      .event('opened', 7)
      .send({ seq: 1003, data: ' /', flow: 7 })
      .send({ dir: EGRESS, seq: 1, ack: 1005, data: 'H', flow: 7 });
    rig.send({ seq: 1005, data: '!' });
    expect(rig.connections).toHaveLength(1);
    expect(rig.last.ingress.text).toBe('GET /!');
    expect(rig.last.egress.acks).toEqual([5]);
  });

  it('takes data on the listening socket for a new connection when it acknowledges what the old one never sent', () => {
    const rig = new Rig().send({ seq: 1000, ack: 5000, data: 'one' }).event('opened', 7);
    rig.send({ dir: EGRESS, seq: 5000, ack: 1003, data: 'answer', flags: TCP_FIN, flow: 7 });
    rig.send({ seq: 1003, ack: 5007, flags: TCP_FIN, flow: 7 }).event('closed', 7);
    // Late: the socket is gone, so the listener gets it. It acknowledges the FIN at most.
    rig.send({ seq: 1003, ack: 5007, data: 'late', flags: TCP_FIN });
    expect(rig.connections).toHaveLength(1);
    // The same port again, 64 KiB on, and the server waits for data before it accepts.
    rig.send({ seq: 66_539, ack: 70_000, data: 'two' }).event('opened', 8);
    rig.send({ dir: EGRESS, seq: 70_000, ack: 66_542, data: 'again', flow: 8 });
    expect(rig.connections.map((c) => [c.ingress.text, c.egress.text])).toEqual([
      ['one$fin', 'answer$fin'],
      ['two', 'again'],
    ]);
  });

  it('keeps sockets of the same addresses apart (network namespaces, both with their own number)', () => {
    const rig = new Rig().event('opened', 1).event('opened', 2);
    rig.send({ seq: 1, data: 'a', flow: 1 }).send({ seq: 9, data: 'b', flow: 2 }).send({ seq: 2, data: 'c', flow: 1 });
    expect(rig.connections.map((c) => c.ingress.text)).toEqual(['ac', 'b']);
  });

  it('begins a new connection when a port is used again', () => {
    const rig = handshake(new Rig({ offline: true })).send({ seq: 1000, data: 'one' });
    rig.send({ seq: 999, flags: TCP_SYN }).send({ seq: 70_000, flags: TCP_SYN }).send({ seq: 70_001, data: 'two' });
    expect(rig.connections.map((c) => c.ingress.text)).toEqual(['one$vanished', 'two']);
    const ended = handshake(new Rig({ offline: true })).send({ seq: 1000, data: 'one', flags: TCP_FIN });
    ended.send({ dir: EGRESS, seq: 5000, ack: 1004, flags: TCP_FIN }).send({ seq: 1000, data: 'one', flags: TCP_FIN });
    expect(ended.tracker.active).toBe(0);
    handshake(ended).send({ seq: 70_000, flags: TCP_SYN }).send({ seq: 70_001, data: 'two' });
    expect(ended.connections.map((c) => c.ingress.text)).toEqual(['one$fin', 'two']);
    ended.send({ seq: 70_004, flags: TCP_RST }).send({ seq: 9_000_000, data: 'three' });
    ended.tracker.finish();
    expect(ended.connections.map((c) => c.ingress.text)).toEqual(['one$fin', 'two$rst', 'three$capture_end']);
  });

  it('takes a SYN after the end of a joined connection for a new one', () => {
    const rig = new Rig({ offline: true }).send({ seq: 5000, ack: 70, data: 'a', flags: TCP_FIN });
    rig.send({ dir: EGRESS, seq: 70, ack: 5002, data: 'b', flags: TCP_FIN, ts: S });
    expect(rig.tracker.active).toBe(0);
    rig.send({ seq: 4000, flags: TCP_SYN }).send({ seq: 4001, data: 'new' });
    expect(rig.connections.map((c) => c.ingress.text)).toEqual(['a$fin', 'new']);
  });

  it('believes a reset where the peer has acknowledged bytes that were not seen', () => {
    const rig = handshake(new Rig(), { flow: 1 }).send({ dir: EGRESS, seq: 5000, ack: 5_001_000, flow: 1 });
    rig.send({ seq: 5_001_000, flags: TCP_RST, flow: 1 });
    expect(rig.last.ingress.text).toBe('<gap 5000000>$rst');
  });

  it('ends both directions with a reset, and tells whose it was', () => {
    for (const by of [INGRESS, EGRESS] as Direction[]) {
      const ends: string[] = [];
      let connection: Connection | null = null;
      const stream = (name: string) => ({
        data: () => {},
        gap: () => {},
        end: (how: string) => void ends.push(`${name} ${how} ${connection?.resetBy}`),
      });
      const rig = new Rig({
        decoder: (c) => {
          connection = c;
          return { streams: [stream('in'), stream('out')], tick: () => {} };
        },
      });
      handshake(rig, { flow: 1 }).send({ dir: by, seq: by === INGRESS ? 1000 : 5000, flags: TCP_RST, flow: 1 });
      expect(ends).toEqual(by === INGRESS ? ['in rst 0', 'out rst 0'] : ['out rst 1', 'in rst 1']);
      expect(rig.tracker.active).toBe(0);
    }
  });

  it('takes the reset that an aborted socket sends after it closed; without one, the socket just ended', () => {
    const rig = new Rig();
    for (const flow of [1, 2])
      rig
        .send({ seq: 999, flags: TCP_SYN, flow, remotePort: flow })
        .send({ seq: 1000, data: 'ab', flow, remotePort: flow });
    rig.event('closed', 1).event('closed', 2);
    rig.send({ dir: EGRESS, seq: 5000, ack: 1002, flags: TCP_RST, flow: 1, remotePort: 1 });
    rig.tracker.tick(1e9);
    expect(rig.connections.map((c) => c.ingress.text)).toEqual(['ab$rst', 'ab$vanished']);
    expect(rig.connections[0]!.connection.resetBy).toBe(EGRESS);
  });

  it('takes a socket that its process closed before the peer did for a reset, where TCP says that nothing is missing', () => {
    const half = (reached: [number, number]): string => {
      const rig = handshake(new Rig(), { flow: 1 }).send({ seq: 1000, ack: 5000, data: 'abc', flow: 1 });
      rig.send({ dir: EGRESS, seq: 5000, ack: 1003, flags: TCP_FIN, flow: 1 }).event('closed', 1, { reached });
      rig.tracker.tick(1e9);
      return `${rig.last.ingress.text} ${rig.last.egress.text} ${rig.last.connection.resetBy}`;
    };
    expect(half([1003, 5001])).toBe(`abc$rst $fin ${EGRESS}`);
    // A FIN that was not seen, and a byte: it closed in order, or there was more to read.
    expect(half([1004, 5001])).toBe('abc$vanished $fin -1');
    expect(half([-1, -1])).toBe('abc$vanished $fin -1');
    const open = handshake(new Rig(), { flow: 1 }).send({ seq: 1000, data: 'a', flow: 1, ack: 5000 });
    open.event('closed', 1, { reached: [1001, 5000] }).tracker.tick(1e9);
    expect(open.last.ingress.text).toBe('a$vanished');
  });

  it('ignores a reset far outside the window', () => {
    const rig = handshake(new Rig(), { flow: 1 }).send({ seq: 1000 + 2 ** 24, flags: TCP_RST, flow: 1 });
    rig.send({ seq: 1000 - 2 ** 20, flags: TCP_RST, flow: 1 }).send({ seq: 1000, data: 'a', flow: 1 });
    expect(rig.last.ingress.text).toBe('a');
    expect(rig.losses.totals()).toEqual([{ reason: 'out_of_window', count: 2, bytes: 0 }]);
  });

  it('ignores a reset left of the window, and believes one that answers a segment older than the last bytes', () => {
    const talk = (ack: number): Rig =>
      handshake(new Rig(), { flow: 1 })
        .send({ seq: 1000, data: 'abcd', flow: 1 })
        .send({ dir: EGRESS, seq: 5000, ack, data: 'x', flow: 1 })
        .send({ seq: 1002, flags: TCP_RST, flow: 1 });
    expect(talk(1004).last.ingress.text).toBe('abcd');
    expect(talk(1004).losses.totals()).toEqual([{ reason: 'out_of_window', count: 1, bytes: 0 }]);
    expect(talk(1002).last.ingress.text).toBe('abcd$rst');
  });

  it('keeps data that a SYN carried and its SYN+ACK acknowledged on one connection', () => {
    for (const offline of [false, true]) {
      const rig = new Rig({ offline }).send({ seq: 999, flags: TCP_SYN, data: 'abc' });
      rig.send({ dir: EGRESS, seq: 4999, ack: 1003, flags: TCP_SYN }).send({ seq: 1003, ack: 5000 });
      rig.send({ dir: EGRESS, seq: 5000, ack: 1003, data: 'yes' }).send({ seq: 1003, ack: 5003, data: 'def' });
      expect(rig.connections.map((c) => [c.ingress.text, c.egress.text])).toEqual([['abcdef', 'yes']]);
      expect(rig.faults).toEqual([]);
    }
  });

  it.each<[string, SegmentSpec[], string, string, number]>([
    [
      'refused',
      [
        { seq: 9, flags: TCP_SYN },
        { dir: EGRESS, seq: 0, ack: 10, flags: TCP_RST },
      ],
      '$rst',
      '$rst',
      0,
    ],
    [
      'half-close',
      [
        { seq: 9, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, ack: 10, flags: TCP_SYN },
        { seq: 10, ack: 50, data: 'q', flags: TCP_FIN },
        { dir: EGRESS, seq: 50, ack: 12, data: 'answer' },
        { dir: EGRESS, seq: 56, ack: 12, flags: TCP_FIN },
      ],
      'q$fin',
      'answer$fin',
      0,
    ],
    [
      'simultaneous open',
      [
        { seq: 9, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, flags: TCP_SYN },
        { seq: 9, ack: 50, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, ack: 10, flags: TCP_SYN },
        { seq: 10, ack: 50, data: 'a' },
        { dir: EGRESS, seq: 50, ack: 11, data: 'b' },
      ],
      'a',
      'b',
      1,
    ],
    [
      'SYN and FIN sent again',
      [
        { seq: 9, flags: TCP_SYN },
        { seq: 9, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, ack: 10, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, ack: 10, flags: TCP_SYN },
        { seq: 10, ack: 50, data: 'a', flags: TCP_FIN },
        { seq: 10, ack: 50, data: 'a', flags: TCP_FIN },
        { seq: 11, ack: 50, flags: TCP_FIN },
      ],
      'a$fin',
      '',
      1,
    ],
    [
      'abort after half-close',
      [
        { seq: 9, flags: TCP_SYN },
        { dir: EGRESS, seq: 49, ack: 10, flags: TCP_SYN },
        { seq: 10, ack: 50, data: 'a', flags: TCP_FIN },
        { dir: EGRESS, seq: 50, ack: 12, data: 'b' },
        { seq: 12, flags: TCP_RST },
      ],
      'a$fin',
      'b$rst',
      0,
    ],
  ])('follows the states: %s', (_, segments, ingress, egress, active) => {
    for (const options of [{}, { offline: true }]) {
      const rig = new Rig(options);
      for (const s of segments) rig.send({ ...s, flow: options.offline === true ? 0 : 1 });
      expect(rig.connections).toHaveLength(1);
      expect([rig.last.ingress.text, rig.last.egress.text]).toEqual([ingress, egress]);
      expect(rig.tracker.active).toBe(active);
      expect(rig.faults).toEqual([]);
    }
  });

  it('tells the owner, also of a socket without traffic so far', () => {
    const owners: string[] = [];
    const rig = new Rig({ owner: (c, e) => owners.push(`${c.id} ${e.pid}`) });
    rig
      .send({ seq: 1, data: 'a', flow: 1 })
      .event('owner', 1, { pid: 42 })
      .event('owner', 2, { pid: 43, remotePort: 1 });
    expect(owners).toEqual(['1 42', '2 43']);
  });

  it('passes time on, gives up idle connections, and forgets ended ones', () => {
    const rig = new Rig({ idleNs: 10 * S });
    rig.send({ seq: 1, data: 'a', flow: 1, ts: S }).send({ seq: 1, data: 'b', flow: 2, ts: 2 * S, remotePort: 1 });
    rig.tracker.tick(9 * S);
    expect(rig.connections.map((c) => c.ticks)).toEqual([2, 1]);
    rig.send({ seq: 2, data: 'c', flow: 1, ts: 9 * S });
    rig.tracker.tick(12.5 * S);
    expect(rig.connections.map((c) => c.ingress.text)).toEqual(['ac', 'b$vanished']);
    expect(rig.tracker.counters.idle).toBe(1);
    rig.tracker.tick(300 * S);
    rig.send({ seq: 3, data: 'd', flow: 1, ts: 300 * S });
    expect(rig.connections).toHaveLength(3);
  });

  it('holds no more connections than its bound', () => {
    const rig = new Rig({ connectionsMax: 100 });
    for (let i = 0; i < 1000; i++) {
      rig.send({ seq: 1, data: 'a', flow: i + 1, remotePort: i, ts: i });
      rig.send({ seq: 1, data: 'k', flow: 1, remotePort: 0, ts: i });
      expect(rig.tracker.active).toBeLessThanOrEqual(100);
    }
    expect(rig.losses.totals()).toEqual([{ reason: 'connection_limit', count: 900, bytes: 0 }]);
    expect(rig.connections[0]?.ingress.text).toBe('a');
  });

  it('counts what the kernel left out and lost', () => {
    const rig = new Rig().event('opened', 1).send({ seq: 1, data: 'a', flow: 1, leftOut: 5, lostBytes: 6 });
    rig.event('closed', 1, { leftOut: [1, 2], lostBytes: [3, 4] });
    expect(rig.tracker.reassembly).toMatchObject({ leftOutBytes: 8, ringFullBytes: 13 });
  });
});

describe("TCP's own count at a socket's end", () => {
  const closed = (reached: [number, number], kernel: Partial<SocketEvent> = {}): Rig => {
    const rig = handshake(new Rig(), { flow: 1 });
    rig.send({ seq: 1000, data: 'abc', flow: 1, ack: 5000 });
    rig.event('closed', 1, { ...kernel, reached });
    rig.tracker.tick(1e9);
    return rig;
  };

  it('tells what was acknowledged after the last segment that was seen', () => {
    const rig = closed([1003 + 40, 5000 + 7], { lostBytes: [40, 7] });
    expect(rig.tracker.reassembly.ackedUnseen).toBe(47);
    expect([rig.last.ingress.text, rig.last.egress.text]).toEqual([
      'abc<ring_full 40>$vanished',
      '<ring_full 7>$vanished',
    ]);
  });

  it('tells why bytes behind that segment were left out', () => {
    const rig = closed([1003 + 40, 5000 + 7], { leftOut: [40, 7], shed: [SHED_HEAD, SHED_BODY] });
    expect([rig.last.ingress.text, rig.last.egress.text]).toEqual([
      'abc<shed_head 40>$vanished',
      '<shed_body 7>$vanished',
    ]);
    expect(closed([1003 + 40, 5000], { leftOut: [40, 0] }).last.ingress.text).toBe('abc<left_out 40>$vanished');
  });

  it("knows that a FIN has a number of its own, whatever the kernel's counts say", () => {
    expect(closed([1004, 5001]).tracker.reassembly.ackedUnseen).toBe(0);
    expect(closed([1003 + 41, 5001], { leftOut: [40, 0] }).tracker.reassembly.ackedUnseen).toBe(40);
    const unknown = closed([1003 + 500, 5000]);
    expect(unknown.tracker.reassembly.ackedUnseen).toBe(500);
    expect(unknown.losses.totals()).toEqual([{ reason: 'gap', count: 1, bytes: 500 }]);
  });

  it('is exact where sequence numbers went round, and not believed where it cannot be', () => {
    const round = 3 * 2 ** 32 + 17;
    expect(closed([1003 + 17, 5000], { lostBytes: [round, 0] }).tracker.reassembly.ackedUnseen).toBe(round);
    expect(closed([1003 + 2 ** 30, 5000]).tracker.reassembly.ackedUnseen).toBe(0);
    expect(closed([-1, -1]).tracker.reassembly.ackedUnseen).toBe(0);
  });

  it('comes too late for nothing: a stream that ended by FIN is confirmed as well', () => {
    const rig = handshake(new Rig(), { flow: 1 });
    rig.send({ seq: 1050, flags: TCP_FIN, flow: 1, ack: 5000, lostBytes: 50 });
    expect(rig.last.ingress.text).toBe('<ring_full 50>$fin');
    expect(rig.tracker.reassembly.ackedUnseen).toBe(0);
    rig.event('closed', 1, { reached: [1051, 5000] });
    expect(rig.tracker.reassembly.ackedUnseen).toBe(50);
  });
});
