/** Records and handshakes of which parts are missing: nothing that no tag vouches for is read, and what can be is. */
import { describe, expect, test } from 'vitest';
import { INGRESS } from '../../../src/model/segment.ts';
import { readKeyLog } from '../../../src/tls/keylog.ts';
import { type Conversation, type Event, expansionsOf, honest, type Played, play, recording } from './rig.ts';

type Data = Event & { what: 'data' };
const reasons = ({ losses }: Played): string[] => losses.totals().map((l) => l.reason);
const other = (direction: 0 | 1): 0 | 1 => (direction === INGRESS ? 1 : 0);

/** Position in `events` of the n-th segment of `direction` that holds a record of type `type`, from its first byte on. */
function segment(events: readonly Event[], direction: number, type: number, n = 0): number {
  let left = n;
  for (const [i, e] of events.entries()) {
    if (e.what === 'data' && e.direction === direction && e.bytes[0] === type && left-- === 0) return i;
  }
  throw new Error('no such segment');
}

/** The segment at `index` is lost. */
const lost = (events: readonly Event[], index: number, why: 'gap' | 'left_out' = 'gap'): Event[] =>
  events.map((e, i) =>
    i !== index || e.what !== 'data'
      ? e
      : { what: 'gap', direction: e.direction, length: e.bytes.length, position: e.position, ts: e.ts, why },
  );

/** Everything of `direction` behind byte `at` of the segment at `index` is missing, because the connection ended. */
const cutOff = (events: readonly Event[], index: number, at: number): Event[] => {
  const { direction } = events[index]!;
  return events.flatMap((e, i): Event[] => {
    if (e.direction !== direction || i < index || e.what === 'end') return [e];
    return i === index && e.what === 'data' ? [{ ...e, bytes: e.bytes.subarray(0, at) }] : [];
  });
};

describe.each(['always', 'bound'] as const)('a record cut at the end of its stream, verify %s', (verify) => {
  test.each(['tls13-h1', 'tls13-chacha', 'tls12-gcm128', 'tls12-ccm', 'tls13-h2'])('%s', async (name) => {
    const { conversations, keylog } = await recording(name);
    const { events } = conversations[0]!;
    const whole = play(events, { keylog });
    let cuts = 0;
    for (const [i, e] of events.entries()) {
      if (e.what !== 'data' || e.bytes[0] !== 23) continue;
      const size = 5 + e.bytes.readUInt16BE(3);
      if (size > e.bytes.length) continue;
      for (const at of [6, 20, 40, size - 17, size - 1]) {
        if (at < 6 || at >= size) continue;
        cuts++;
        const played = play(cutOff(events, i, at), { keylog, verify });
        const before = play(cutOff(events, i, 0), { keylog, verify });
        const direction = e.direction;
        // Up to the record it is the same; of the record itself not one byte is shown.
        const gaps = played.gaps.filter((g) => g.direction === direction);
        const shown =
          gaps.length === 0 ? played.plain[direction] : played.plain[direction].subarray(0, gaps[0]!.position);
        expect(shown).toEqual(before.plain[direction]);
        expect(whole.plain[direction].subarray(0, shown.length)).toEqual(shown);
        expect(played.losses.totals().length + played.gaps.length).toBeGreaterThan(0);
      }
    }
    expect(cuts).toBeGreaterThan(5);
  });
});

test('where tags are always checked, a record that was cut on purpose is beyond the window as a whole', async () => {
  const { conversations, keylog } = await recording('tls13-big');
  const { events, client } = conversations[0]!;
  const server = other(client);
  const whole = play(events, { keylog });
  const index = events.findIndex((e) => e.what === 'data' && e.direction === server && e.bytes.length > 8_000);
  const e = events[index] as Data;
  const cut: Event[] = [
    ...events.slice(0, index),
    { ...e, bytes: e.bytes.subarray(0, 300) },
    {
      what: 'gap',
      direction: server,
      position: e.position + 300,
      length: e.bytes.length - 300,
      ts: e.ts,
      why: 'left_out',
    },
    ...events.slice(index + 1),
  ];
  const played = play(cut, { keylog, verify: 'always' });
  expect(played.plain[server].length).toBe(whole.plain[server].length);
  expect(played.gaps.every((g) => g.direction === server && g.why === 'left_out')).toBe(true);
  expect(honest(played.plain[server], whole.plain[server], played, server)).toBe(true);
  expect(played.shared.counters.verified).toBeGreaterThanOrEqual(played.shared.counters.records);
});

describe('the first record under a key, cut by the kernel', () => {
  const first = async (
    keylogOf: (text: string) => string,
  ): Promise<{ played: Played; whole: Played; conversation: Conversation }> => {
    const { conversations, keylog } = await recording('tls13-h1');
    const conversation = conversations[0]!;
    const { events, client } = conversation;
    // The request: the client's first record under the application's keys, with the Finished before it.
    const index = segment(events, client, 23, 1);
    const e = events[index] as Data;
    const cut: Event[] = [
      ...events.slice(0, index),
      { ...e, bytes: e.bytes.subarray(0, 40) },
      {
        what: 'gap',
        direction: client,
        position: e.position + 40,
        length: e.bytes.length - 40,
        ts: e.ts,
        why: 'left_out',
      },
      ...events.slice(index + 1),
    ];
    return {
      played: play(cut, { keylog: keylogOf(keylog), verify: 'bound' }),
      whole: play(events, { keylog }),
      conversation,
    };
  };

  test('its beginning is read, and what follows', async () => {
    const { played, whole, conversation } = await first((text) => text);
    const { client } = conversation;
    expect(played.plain[client].subarray(0, 35)).toEqual(whole.plain[client].subarray(0, 35));
    expect(played.plain[client].length).toBe(whole.plain[client].length);
    expect(played.gaps.map((g) => g.why)).toEqual(['left_out']);
  });

  test('with a wrong secret it gives nothing', async () => {
    const { played, conversation } = await first((text) =>
      text.replace(/^(CLIENT_TRAFFIC_SECRET_0 .*)(.)$/m, (_, a: string, b: string) => a + (b === '0' ? '1' : '0')),
    );
    const { client } = conversation;
    expect(played.plain[client].every((byte) => byte === 0)).toBe(true);
    expect(played.connection.facts.unread).toBe('wrong_secret');
  });
});

describe('the ClientHello was lost', () => {
  test.each(['tls13-h1', 'tls13-h2', 'tls13-aes128', 'tls13-chacha', 'tls12-gcm128', 'tls12-cbc-sha', 'tls12-rsa'])(
    '%s: the latest secrets are tried, and a tag decides',
    async (name) => {
      const { conversations, keylog } = await recording(name);
      // Strangers' secrets, later and earlier than the right ones.
      const strangers = (await Promise.all(['tls13-big', 'tls12-gcm256', 'tls13-aes128'].map(recording)))
        .map((r) => r.keylog)
        .filter((text) => text !== keylog);
      const { events, client } = conversations[0]!;
      const whole = play(events, { keylog });
      const played = play(lost(events, segment(events, client, 22)), {
        keylog: `${strangers[0]}\n${keylog}\n${strangers.slice(1).join('\n')}`,
      });
      for (const d of [0, 1] as const) expect(played.plain[d]).toEqual(whole.plain[d]);
      expect(played.facts[0]!.start).toBe('joined');
      expect(played.connection.negotiation.client).toBe(client);
    },
  );

  test.each(['tls13-h1', 'tls12-gcm128'])(
    '%s: secrets of strangers read nothing, and the search is bounded',
    async (name) => {
      const { conversations } = await recording(name);
      const others = ['tls13-big', 'tls13-h2', 'tls13-key-update', 'tls13-resumed', 'tls12-gcm256', 'tls12-rsa'];
      const strangers = await Promise.all(others.map(recording));
      const { events, client } = conversations[0]!;
      const played = play(lost(events, segment(events, client, 22)), {
        keylog: strangers.map((r) => r.keylog).join('\n'),
      });
      expect(played.facts).toEqual([]);
      expect(played.connection.facts.unread).toBe('handshake_unseen');
      expect(reasons(played)).toEqual(['tls_no_secret']);
      expect(played.shared.counters.trials).toBeLessThan(3_000);
    },
  );

  test('a secret that comes after the records is tried too', async () => {
    const { conversations, keylog } = await recording('tls13-h1');
    const { events, client } = conversations[0]!;
    const whole = play(events, { keylog });
    const played = play(lost(events, segment(events, client, 22)), {
      before: (i, store) => {
        if (i === events.length - 3) readKeyLog(Buffer.from(keylog, 'latin1'), store, 0);
      },
    });
    expect(played.plain).toEqual(whole.plain);
  });
});

test('a transcript with a hole leads nowhere: the latest secrets are tried', async () => {
  const { conversations } = await recording('expansions/sha384');
  const expansions = expansionsOf('expansions/sha384');
  const { events, client } = conversations[0]!;
  const whole = play(events, { expansions });
  const server = other(client);
  // In the server's flight: a byte of its certificate.
  const index = segment(events, server, 22);
  const e = events[index] as Data;
  const hello = 5 + e.bytes.readUInt16BE(3);
  const at = hello + 6 + 300;
  expect(e.bytes.length).toBeGreaterThan(at + 1);
  const holed: Event[] = [
    ...events.slice(0, index),
    { ...e, bytes: e.bytes.subarray(0, at) },
    { what: 'gap', direction: server, position: e.position + at, length: 1, ts: e.ts, why: 'gap' },
    { ...e, bytes: e.bytes.subarray(at + 1), position: e.position + at + 1 },
    ...events.slice(index + 1),
  ];
  const played = play(holed, { expansions });
  for (const d of [0, 1] as const) expect(played.plain[d]).toEqual(whole.plain[d]);
});

test('a lost ticket is no lost content where nothing had been asked for', async () => {
  const { conversations, keylog } = await recording('tls13-key-update');
  const { events, client } = conversations[0]!;
  const whole = play(events, { keylog });
  const server = other(client);
  // Between the server's flight and the client's first request there are only tickets.
  const request = segment(events, client, 23, 1);
  const ticket = events.findIndex(
    (e, i) => i < request && e.what === 'data' && e.direction === server && e.bytes[0] === 23,
  );
  expect(ticket).toBeGreaterThan(0);
  const played = play(lost(events, ticket), { keylog });
  expect(played.gaps).toEqual([]);
  expect(played.plain).toEqual(whole.plain);
});

test('what the kernel leaves out of a connection that nobody can read is unread, byte for byte', async () => {
  const { conversations } = await recording('tls13-big');
  const { events, client } = conversations[0]!;
  const server = other(client);
  const all = play(events).shared.counters.unread.no_secret.bytes;
  const index = events.findIndex((e) => e.what === 'data' && e.direction === server && e.bytes.length > 8_000);
  for (const at of [0, 3, 300]) {
    const e = events[index] as Data;
    const cut: Event[] = [
      ...events.slice(0, index),
      ...(at === 0 ? [] : [{ ...e, bytes: e.bytes.subarray(0, at) }]),
      {
        what: 'gap',
        direction: server,
        position: e.position + at,
        length: e.bytes.length - at,
        ts: e.ts,
        why: 'left_out',
      },
      ...events.slice(index + 1),
    ];
    const played = play(cut);
    expect(played.shared.counters.unread.no_secret.bytes).toBe(all);
    expect(reasons(played)).toEqual(['tls_no_secret']);
  }
});

test('every byte behind what is no TLS is counted', async () => {
  const { conversations, keylog } = await recording('tls13-h1');
  const { events, client } = conversations[0]!;
  const index = segment(events, client, 22);
  const hello = events[index] as Data;
  const noise = Buffer.from('this is no record at all, and goes on for a while');
  const played = play([hello, { ...hello, bytes: noise }, { ...hello, bytes: noise }], { keylog });
  expect(played.shared.counters.unread.malformed).toEqual({ connections: 1, bytes: 2 * noise.length });
});
