/**
 * Nothing of an answer goes missing in silence. Whatever part of the server's bytes is lost, or cut under pressure: where the request
 * was read and the answer was not, or not from its first byte on, what is inside is told of a gap, or it would wait for an answer
 * that has passed by.
 */
import { expect, test } from 'vitest';
import { INGRESS } from '../../../src/model/segment.ts';
import { type Event, play, recording } from './rig.ts';

const KEPT_BYTES = [0, 5, 20, 300] as const;

/** Events [from, to) of the server's are lost; of the next one, `kept` bytes are there (0: all of them), if it has more. */
function without(events: readonly Event[], server: number, from: number, to: number, kept: number): Event[] {
  let n = 0;
  return events.flatMap((e): Event[] => {
    if (e.what !== 'data' || e.direction !== server) return [e];
    const i = n++;
    const { direction, position, ts } = e;
    if (i >= from && i < to)
      return [{ what: 'gap', direction, position, length: e.bytes.length, ts, why: 'ring_full' }];
    if (i !== to || kept === 0 || e.bytes.length <= kept) return [e];
    return [
      { ...e, bytes: e.bytes.subarray(0, kept) },
      {
        what: 'gap',
        direction,
        position: position + kept,
        length: e.bytes.length - kept,
        ts,
        // The kernel cuts long records alone.
        why: e.bytes.length > 512 ? 'shed_body' : 'ring_full',
      },
    ];
  });
}

test.each([
  'tls13-h1',
  'tls13-big',
  'tls13-resumed',
  'tls13-retry',
  'tls13-client-cert',
  'tls13-chacha',
  'tls12-gcm128',
  'tls12-resumed',
  'tls12-cbc-sha256',
])('%s', async (name) => {
  const { conversations, keylog } = await recording(name);
  // Not all secrets need have come.
  const partial = keylog.replaceAll(/^SERVER_HANDSHAKE_TRAFFIC_SECRET.*$/gm, '');
  let asked = 0;
  for (const [c, { events, client }] of conversations.entries()) {
    const server = client === INGRESS ? 1 : 0;
    const truth = play(events, { keylog });
    const count = events.filter((e) => e.what === 'data' && e.direction === server).length;
    for (let from = 0; from < count; from++) {
      for (let to = from; to <= Math.min(count, from + 5); to++) {
        for (const kept of KEPT_BYTES) {
          const changed = without(events, server, from, to, kept);
          for (const keys of [keylog, partial]) {
            const played = play(changed, { keylog: keys, verify: 'bound' });
            if (!played.plain[client].equals(truth.plain[client])) continue;
            if (played.gaps.some((gap) => gap.direction === client)) continue;
            asked++;
            const first = played.gaps.find((gap) => gap.direction === server);
            const shown = played.plain[server].subarray(0, first?.position);
            const what = `connection ${c}, [${from}, ${to}) of ${count}, then ${kept} bytes, ${keys === keylog ? 'all' : 'some'} secrets`;
            expect(truth.plain[server].subarray(0, shown.length).equals(shown), what).toBe(true);
            if (first === undefined) expect(shown.length, what).toBe(truth.plain[server].length);
          }
        }
      }
    }
  }
  expect(asked).toBeGreaterThan(0);
});
