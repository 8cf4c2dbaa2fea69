import { describe, expect, it } from 'vitest';
import { handshake, Rig } from '../../test/unit/tcp/rig.ts';
import { EGRESS, INGRESS, TCP_FIN } from '../model/segment.ts';

/** Far from the handshake's numbers. */
const CLIENT = 2 ** 30;
const SERVER = 3 * 2 ** 30;
const texts = (rig: Rig): [string, string][] => rig.connections.map((c) => [c.ingress.text, c.egress.text]);
const lost = (rig: Rig): (string | number)[][] =>
  rig.losses.totals().map(({ reason, count, bytes }) => [reason, count, bytes]);

const one = (offline: boolean): Rig => handshake(new Rig({ offline })).send({ seq: 1000, ack: 5000, data: 'a' });

const finished = (rig: Rig): Rig => {
  rig.tracker.finish();
  expect(rig.faults).toEqual([]);
  expect(rig.unaccounted).toBe(0);
  expect(rig.tracker.held).toBe(0);
  expect(rig.tracker.active).toBe(0);
  return rig;
};

describe.each([false, true])('segments with numbers of another connection (in a file: %s)', (offline) => {
  it('are nobody’s when no other follows', () => {
    const rig = one(offline);
    rig.send({ seq: CLIENT, ack: SERVER, data: 'evil' }).send({ seq: 1000 - 2 ** 30, ack: 5000, data: 'evil' });
    rig.send({ seq: 1001, ack: 5000, data: 'b' });
    expect(texts(rig)).toEqual([['ab', '']]);
    finished(rig);
    expect(rig.connections).toHaveLength(1);
    expect(lost(rig)).toContainEqual(['out_of_window', 2, 8]);
  });

  it('are another connection’s when both directions agree, the first one included', () => {
    const rig = one(offline);
    rig.send({ seq: CLIENT, ack: SERVER, data: 'question' });
    rig.send({ dir: EGRESS, seq: SERVER, ack: CLIENT + 8, data: 'answer' });
    rig.send({ seq: CLIENT + 8, ack: SERVER + 6, data: '!' });
    finished(rig);
    expect(texts(rig)).toEqual([
      ['a$vanished', '$vanished'],
      ['question!$capture_end', 'answer$capture_end'],
    ]);
    if (offline) expect(rig.last.connection.start).toBe('joined');
    expect(lost(rig)).toEqual([]);
  });

  it('are another connection’s when several of one direction follow one another', () => {
    const rig = one(offline);
    for (let i = 0; i < 5; i++) rig.send({ seq: CLIENT + i, data: 'n' });
    finished(rig);
    expect(texts(rig).map(([ingress]) => ingress)).toEqual(['a$vanished', 'nnnnn$capture_end']);
    expect(lost(rig)).toEqual([]);
  });

  it('do not end a connection that one side alone would end', () => {
    const rig = one(offline);
    for (let i = 0; i < 100; i++) {
      rig.send({ seq: CLIENT + i * 2 ** 21, ack: SERVER, data: 'evil' });
      rig.send({ seq: 1001 + i, ack: 5000, data: 'b' });
      expect(rig.tracker.held).toBeLessThan(32_768);
    }
    finished(rig);
    expect(texts(rig).map(([ingress]) => ingress)).toEqual([`a${'b'.repeat(100)}$capture_end`]);
    expect(lost(rig)).toContainEqual(['out_of_window', 100, 400]);
  });

  it('end their connection once, whatever comes behind its end', () => {
    const rig = one(offline);
    rig.send({ dir: EGRESS, seq: SERVER, flags: TCP_FIN, data: 'answer' });
    rig.send({ dir: INGRESS, seq: CLIENT, ack: SERVER, flags: TCP_FIN, data: 'question' });
    rig.send({ dir: EGRESS, seq: SERVER, ack: CLIENT + 9, data: 'answer' });
    finished(rig);
    expect(texts(rig)[1]).toEqual(['question$fin', 'answer$fin']);
  });

  it('leave those of nobody behind when they become a connection', () => {
    const rig = one(offline);
    rig.send({ dir: INGRESS, seq: 77, ack: 2 ** 31, data: 'evil' });
    rig.send({ seq: CLIENT, ack: SERVER, data: 'question' });
    rig.send({ dir: EGRESS, seq: SERVER, ack: CLIENT + 8, data: 'answer' });
    finished(rig);
    expect(texts(rig)[1]).toEqual(['question$capture_end', 'answer$capture_end']);
  });
});

describe('segments with numbers of another connection that are near, in a file', () => {
  it('are told from a hole by what they acknowledge', () => {
    // Linux begins the next connection of who closed first 65,539 behind its last byte; the other's numbers follow a clock.
    for (const [client, server] of [
      [1001 + 65_539, SERVER],
      [CLIENT, 5000 + 65_539],
      [1001 + 2 ** 25, SERVER],
      [1001 + 65_539, 5000 + 2 ** 24],
      [1001 + 2 ** 24, 5000 + 65_539],
    ] as const) {
      const rig = one(true);
      rig.send({ seq: client, ack: server, data: 'question' });
      rig.send({ dir: EGRESS, seq: server, ack: client + 8, data: 'answer' });
      finished(rig);
      expect(texts(rig)[1]).toEqual(['question$capture_end', 'answer$capture_end']);
      expect(lost(rig)).toEqual([]);
    }
  });

  it('are a hole where nothing tells that they are not', () => {
    const rig = one(true);
    rig.send({ seq: 1001 + 2 ** 24, ack: 5000 + 2 ** 16, data: 'question' });
    rig.send({ dir: EGRESS, seq: 5000 + 2 ** 16, ack: 1009 + 2 ** 24, data: 'answer' });
    finished(rig);
    expect(texts(rig)).toEqual([[`a<gap ${2 ** 24}>question$capture_end`, `<gap ${2 ** 16}>answer$capture_end`]]);
  });
});
