/** A file with a TLS connection now and then, and none open in between: nobody waits for its secrets to the end of the file. */
import { expect, test } from 'vitest';
import { Pipeline } from '../../../src/agent/pipeline.ts';
import { Memory } from '../../../src/base/memory.ts';
import { LossLedger } from '../../../src/model/loss.ts';
import { EGRESS, Segment, TCP_ACK, TCP_FIN, TCP_SYN } from '../../../src/model/segment.ts';
import { KeepEverything } from '../../../src/redact/policy.ts';
import { FILE_SECRET_LIMITS, SecretStore } from '../../../src/tls/secrets.ts';
import { recording } from './rig.ts';

const CONNECTIONS = 50;
const GAP_NS = 20e9;

test('connections without secrets are given up while the file is read', async () => {
  const { conversations } = await recording('tls13-h1');
  const { events, client } = conversations[0]!;
  const pipeline = new Pipeline({
    offline: true,
    losses: new LossLedger(),
    secrets: new SecretStore(FILE_SECRET_LIMITS, false),
    policy: new KeepEverything(),
    owners: null,
    filter: null,
    sinks: () => [],
  });
  const s = new Segment();
  const send = (from: number, flags: number, seq: number, ack: number, bytes: Buffer = Buffer.alloc(0)): void => {
    s.direction = from === EGRESS ? EGRESS : 0;
    s.flags = flags;
    s.seq = seq;
    s.ack = ack;
    s.memory = Memory.from(bytes);
    s.length = s.captured = bytes.length;
    pipeline.capture.segment(s);
  };
  const ends = Buffer.from('00000000000000000000ffff7f00000100000000000000000000ffff7f000001', 'hex');
  for (let i = 0; i < CONNECTIONS; i++) {
    s.ts = i * GAP_NS;
    s.addresses = Memory.from(ends);
    s.localPort = client === EGRESS ? 40_000 + i : 443;
    s.remotePort = client === EGRESS ? 443 : 40_000 + i;
    const server = client === EGRESS ? 0 : EGRESS;
    const next = [1, 1];
    send(client, TCP_SYN, 0, 0);
    send(server, TCP_SYN | TCP_ACK, 0, 1);
    for (const event of events) {
      if (event.what !== 'data') continue;
      const { direction, bytes, position } = event;
      send(direction, TCP_ACK, 1 + position, next[1 - direction]!, bytes);
      next[direction] = 1 + position + bytes.length;
    }
    send(client, TCP_FIN | TCP_ACK, next[client]!, next[server]!);
    send(server, TCP_FIN | TCP_ACK, next[server]!, next[client]! + 1);
    expect(pipeline.tls.waiting.size).toBeLessThanOrEqual(1);
  }
  expect(pipeline.tls.counters.connections).toBe(CONNECTIONS);
  pipeline.finish();
  expect(pipeline.tls.counters.unread.no_secret.connections).toBe(CONNECTIONS);
  expect(pipeline.tls.held).toBe(0);
});
