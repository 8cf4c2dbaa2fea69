/** Mutated TLS: no throw, no byte that was not sent, nothing left in memory. Seeded; HEADWATER_FUZZ sets how many. */
import { describe, expect, it } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { readCertificate } from '../../src/tls/certificate.ts';
import { readClientHello, readEncryptedExtensions, readServerHello } from '../../src/tls/hello.ts';
import { ja4 } from '../../src/tls/ja4.ts';
import { readKeyLog } from '../../src/tls/keylog.ts';
import { type Event, honest, newStore, play, recording } from '../unit/tls/rig.ts';
import { mutate, Random } from './random.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
/** A whole connection costs a hundred times what a message does. */
const CONNECTION_RUNS = Math.ceil(RUNS / 20);
const NAMES = [
  'tls13-h1',
  'tls13-early-data',
  'tls13-key-update',
  'tls12-gcm128',
  'tls12-cbc-mte',
  'tls12-cbc-sha384',
  'tls12-ccm8',
  'tls12-renegotiation',
];

const recordings = await Promise.all(NAMES.map((name) => recording(name)));

describe('connections', () => {
  it(`${CONNECTION_RUNS} times bytes changed, cut, doubled or moved in up to three segments`, () => {
    const random = new Random(1);
    let read = 0;
    for (let run = 0; run < CONNECTION_RUNS; run++) {
      const { conversations, keylog } = recordings[run % recordings.length]!;
      const { events } = conversations[random.below(conversations.length)]!;
      const changed: Event[] = [...events];
      for (let n = 1 + random.below(3); n > 0; n--) {
        const i = random.below(changed.length);
        const event = changed[i]!;
        if (event.what === 'data') changed[i] = { ...event, bytes: mutate(event.bytes, random) };
        else if (event.what === 'end' && random.below(2) === 0) changed.splice(i, 1);
      }
      const verify = random.below(2) === 0 ? 'always' : 'bound';
      // The listener throws when positions do not fit, and play() when anything is left.
      const played = play(changed, { keylog, verify });
      read += played.plain[0].length + played.plain[1].length;
    }
    expect(read).toBeGreaterThan(0);
  });

  it('a changed ciphertext is never delivered where tags are checked', () => {
    const random = new Random(2);
    for (let run = 0; run < CONNECTION_RUNS; run++) {
      const { conversations, keylog } = recordings[run % recordings.length]!;
      const { events } = conversations[0]!;
      const i = random.below(events.length);
      const event = events[i]!;
      // Single records only, so that the header stays what it is.
      if (event.what !== 'data' || event.bytes.length < 6 || 5 + event.bytes.readUInt16BE(3) !== event.bytes.length)
        continue;
      if (event.bytes[0] !== 23) continue;
      const bytes = Buffer.from(event.bytes);
      const at = 5 + random.below(bytes.length - 5);
      bytes[at] = bytes[at]! ^ (1 << random.below(8));
      const changed = [...events.slice(0, i), { ...event, bytes }, ...events.slice(i + 1)];
      const truth = play(events, { keylog }).plain[event.direction];
      const played = play(changed, { keylog, verify: 'always' });
      if (!honest(played.plain[event.direction], truth, played, event.direction))
        expect.fail(`event ${i} of run ${run}`);
      expect(played.shared.counters.refused).toBeGreaterThan(0);
    }
  });
});

describe('messages', () => {
  const bodies = recordings.flatMap(({ conversations }) =>
    conversations.flatMap(({ events }) =>
      events.slice(0, 3).flatMap((e) => (e.what === 'data' && e.bytes[0] === 22 ? [e.bytes.subarray(9)] : [])),
    ),
  );

  it(`${RUNS} hellos, extensions and certificates`, () => {
    const random = new Random(3);
    let read = 0;
    for (let run = 0; run < RUNS; run++) {
      const body = Memory.from(mutate(bodies[run % bodies.length]!, random));
      const hello = readClientHello(body, 0, body.size);
      if (hello !== null) {
        read++;
        expect(ja4(hello).length).toBe(36);
      }
      readServerHello(body, 0, body.size);
      readEncryptedExtensions(body, 0, body.size);
      readCertificate(body, 0, body.size, run % 2 === 0);
    }
    expect(bodies.length).toBeGreaterThan(10);
    expect(read).toBeGreaterThan(RUNS / 100);
  });

  it(`${CONNECTION_RUNS} key logs`, () => {
    const random = new Random(4);
    const store = newStore();
    let malformed = 0;
    for (let run = 0; run < CONNECTION_RUNS; run++) {
      const text = mutate(Buffer.from(recordings[run % recordings.length]!.keylog, 'latin1'), random);
      const lines = text.toString('latin1').split('\n').length;
      const result = readKeyLog(text, store, run);
      malformed += result.malformed;
      expect(result.secrets + result.malformed).toBeLessThanOrEqual(lines);
      expect(result.firstMalformed > 0).toBe(result.malformed > 0);
      expect(store.memory.used).toBe(store.size);
    }
    expect(malformed).toBeGreaterThan(0);
    store.close();
  });
});
