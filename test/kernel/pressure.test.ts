/** How the ring fills up: who waits for it is woken in time, and what a little pressure leaves whole. */
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import * as abi from '../../src/kernel/abi.ts';
import { onWake } from '../../src/kernel/libbpf.ts';
import { INGRESS } from '../../src/model/segment.ts';
import { APPLICATION, hello, record } from './framing.ts';
import {
  Capture,
  Client,
  cleanUp,
  freePort,
  makeCgroup,
  onCleanUp,
  sleep,
  start,
  until,
  untilListening,
  whyNot,
} from './rig.ts';

/** So small that the kernel side asks with each segment how full it is. */
const RING_BYTES = 64 << 10;
const REQUEST = `GET / HTTP/1.1\r\nHost: x\r\nX-Fill: ${'f'.repeat(700)}\r\n\r\n`;
const ANSWER_BYTES = 40;
/** Longer than it takes to wake anybody. */
const WAKE_MS = 50;

let port = 0;

async function peer(behaviour: string): Promise<string> {
  port = await freePort();
  const cgroup = makeCgroup();
  start(cgroup, process.execPath, [join(import.meta.dirname, 'peer.ts'), String(port), behaviour]);
  await untilListening(port);
  return cgroup;
}

describe.skipIf(whyNot !== '')('a ring that fills up', () => {
  afterEach(cleanUp);

  it('wakes who waits when three sixteenths of it are used, and not before', async () => {
    const capture = new Capture(await peer('http'), { ringBytes: RING_BYTES });
    let woken = 0;
    const waking = onWake(capture.loaded.descriptors.ring, () => void woken++);
    if (typeof waking === 'number') throw new Error(`errno ${waking}`);
    onCleanUp(() => waking.close());
    capture.ring.setReader(abi.READER_WAITS);
    const client = await Client.open(port);
    const calm = (RING_BYTES / 16) * 3;
    let answered = 0;
    const call = async (): Promise<void> => {
      client.write(REQUEST);
      answered += ANSWER_BYTES;
      await client.untilReceived(answered);
    };
    while (capture.ring.used + 2 * REQUEST.length < calm) await call();
    await sleep(WAKE_MS);
    expect([capture.ring.used > calm / 2, woken]).toEqual([true, 0]);
    while (capture.ring.used <= calm + 2 * REQUEST.length) await call();
    await until(() => woken > 0, 'somebody to be woken');

    // Who looks is not woken however full it is.
    capture.drain();
    capture.ring.setReader(abi.READER_LOOKS);
    await sleep(WAKE_MS);
    woken = 0;
    while (capture.ring.used <= RING_BYTES / 2) await call();
    await sleep(WAKE_MS);
    expect(woken).toBe(0);
  });

  it('leaves TLS records of up to 4 KiB whole under a little pressure, and the first 2 KiB of a longer one that begins a message', async () => {
    const capture = new Capture(await peer('sink'), { ringBytes: RING_BYTES });
    const send = async (client: Client, bytes: Buffer): Promise<void> => {
      const { bytes: before } = capture.counters.read().ledger.seen;
      client.write(bytes);
      await until(() => capture.counters.read().ledger.seen.bytes === before + bytes.length, 'the bytes to be seen');
      await capture.settled();
    };
    const shed = async (length: number): Promise<number> => {
      const client = await Client.open(port);
      await send(client, hello);
      const { bytes: before } = capture.counters.read().ledger.shed;
      await send(client, record(APPLICATION, length));
      return capture.counters.read().ledger.shed.bytes - before;
    };
    // Nobody reads.
    while (capture.ring.used <= RING_BYTES / 2) expect(await shed(2_500)).toBe(0);
    const lengths = [3_000, 4_096, 9_000];
    const cut: number[] = [];
    for (const length of lengths) {
      expect(capture.ring.used).toBeLessThan((RING_BYTES / 4) * 3);
      cut.push(await shed(length));
    }
    expect(cut).toEqual([0, 0, 9_000 - 2_048]);
    capture.drain();
    const records = capture.segments.filter(
      ({ direction, payload }) => direction === INGRESS && payload[0] === APPLICATION,
    );
    expect(records.slice(-lengths.length).map(({ payload }) => payload.length - 5)).toEqual([3_000, 4_096, 2_048]);
  });
});
