import { expect, test } from 'vitest';
import { INGRESS, type Segment, TCP_ACK } from '../model/segment.ts';
import { MadeUpRing } from './made-up.ts';
import { RingReader } from './reader.ts';

const BYTES = 1 << 20;
const RECORDS = 1_000;
const NO_DESCRIPTOR = -1;

test('no packet is read before a look that began after it was written', () => {
  const made = new MadeUpRing(BYTES, { monotonicNs: 5_000_000_000_000n, wallNs: 0n });
  let written = 0;
  let known = 0;
  const late: number[] = [];
  let read = 0;
  const sink = {
    segment: ({ seq }: Segment): void => {
      if (seq >= known) late.push(seq);
      read++;
    },
    socket: (): void => {},
  };
  // Secrets are read; while that goes on, another connection's packets come, whose secrets came a moment earlier.
  const before = (): void => {
    known = written;
    if (written === RECORDS) return;
    made.segment({
      ts: written,
      flow: 7,
      direction: INGRESS,
      tcpFlags: TCP_ACK,
      seq: written,
      ack: 0,
      localPort: 80,
      remotePort: 9,
      payload: 'x',
    });
    written++;
  };
  const reader = new RingReader(made.ring, NO_DESCRIPTOR, sink, before);
  while (read < RECORDS) reader.drainAll();
  expect([read, late]).toEqual([RECORDS, []]);
});
