/** Recorded connections of real peers (test/fixtures/tls): read whole, cut anywhere, with secrets that are late, partial or wrong. */
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readKeyLog } from '../../../src/tls/keylog.ts';
import { type Conversation, type Event, fixture, honest, type Played, play, recording } from './rig.ts';

const NAMES = readdirSync(new URL('../../fixtures/tls/', import.meta.url))
  .filter((name) => name.endsWith('.pcapng'))
  .map((name) => name.slice(0, -7));

/** Clients that close their socket without it. */
const SILENT = ['tls13-h2', 'tls13-padded'];

const texts = (played: Played, { client }: Conversation): [string, string] => [
  played.plain[client].toString('latin1'),
  played.plain[client === 0 ? 1 : 0].toString('latin1'),
];

const whole = (events: readonly Event[], keylog: string): Played => play(events, { keylog });
const totals = ({ losses }: Played): object => losses.totals();

/** Secrets of a key log but those of some labels. */
const without = (keylog: string, ...labels: string[]): string =>
  keylog
    .split('\n')
    .filter((line) => !labels.some((label) => line.startsWith(`${label} `)))
    .join('\n');

/** The data event at `index` cut after `at` bytes. */
function split(events: readonly Event[], index: number, at: number): Event[] {
  const event = events[index]!;
  if (event.what !== 'data') return [...events];
  const first: Event = { ...event, bytes: event.bytes.subarray(0, at) };
  const second: Event = { ...event, bytes: event.bytes.subarray(at), position: event.position + at };
  return [...events.slice(0, index), first, second, ...events.slice(index + 1)];
}

/** A hole of `length` bytes at byte `at` of the data event at `index`. */
function hole(
  events: readonly Event[],
  index: number,
  at: number,
  length: number,
  why: 'gap' | 'left_out' = 'gap',
): Event[] {
  const event = events[index]!;
  if (event.what !== 'data') throw new Error('no data');
  const { direction, bytes, position, ts } = event;
  const cut = Math.min(length, bytes.length - at);
  const parts: Event[] = [];
  if (at > 0) parts.push({ ...event, bytes: bytes.subarray(0, at) });
  parts.push({ what: 'gap', direction, position: position + at, length: cut, why, ts });
  if (at + cut < bytes.length) parts.push({ ...event, bytes: bytes.subarray(at + cut), position: position + at + cut });
  return [...events.slice(0, index), ...parts, ...events.slice(index + 1)];
}

describe.each(NAMES)('%s', (name) => {
  test('every request and response is read, nothing is lost', async () => {
    const { conversations, keylog } = await recording(name);
    expect(conversations.length).toBeGreaterThan(0);
    for (const conversation of conversations) {
      const played = whole(conversation.events, keylog);
      expect(totals(played)).toEqual([]);
      expect(played.gaps).toEqual([]);
      const [asked, answered] = texts(played, conversation);
      if (name.endsWith('h2')) expect(asked).toMatch(/^PRI \* HTTP\/2\.0\r\n\r\nSM\r\n\r\n/);
      else {
        expect(asked).toMatch(/^GET \//);
        expect(answered).toMatch(/^HTTP\/1\.1 \d\d\d /);
        expect(answered.match(/^HTTP\/1\.1 /gm)!.length).toBeLessThanOrEqual(asked.match(/^GET \//gm)!.length);
      }
      expect(played.facts).toEqual([{ secure: true, alpn: played.facts[0]!.alpn, start: 'opened' }]);
      const { facts } = played.connection;
      expect(facts.handshakeNs).toBeGreaterThan(0);
      expect(facts.ja4).toMatch(/^t1[23][di]\d{4}..(_[0-9a-f]{12}){2}$/);
      expect(facts.unread).toBe(null);
    }
  });

  test('close_notify ends what the client says, before TCP does', async () => {
    const { conversations, keylog } = await recording(name);
    for (const { events, client } of conversations) {
      const played = whole(
        events.filter((e) => e.what !== 'end'),
        keylog,
      );
      expect(played.ends[client]).toBe(SILENT.includes(name) ? 'capture_end' : 'fin');
    }
  });

  test('wherever segments are cut, the bytes are the same', async () => {
    const { conversations, keylog } = await recording(name);
    for (const { events } of conversations) {
      const expected = whole(events, keylog);
      const all = events.reduce((sum, e) => sum + (e.what === 'data' ? e.bytes.length : 0), 0);
      // Every byte of the small ones; a prime step through the others keeps the run short and visits all residues.
      const step = all < 4_500 ? 1 : 13;
      let count = 0;
      for (const [i, event] of events.entries()) {
        if (event.what !== 'data') continue;
        for (let at = 1; at < event.bytes.length; at++) {
          if (count++ % step !== 0) continue;
          const played = whole(split(events, i, at), keylog);
          if (
            !played.plain[0].equals(expected.plain[0]) ||
            !played.plain[1].equals(expected.plain[1]) ||
            played.gaps.length > 0
          ) {
            expect.fail(`cut after byte ${at} of event ${i}`);
          }
        }
      }
      expect(count).toBeGreaterThan(500);
    }
  });

  test('byte by byte the bytes are the same', async () => {
    const { conversations, keylog } = await recording(name);
    for (const { events } of conversations) {
      const expected = whole(events, keylog);
      const single = events.flatMap((e): Event[] =>
        e.what !== 'data'
          ? [e]
          : [...e.bytes].map((_, i) => ({ ...e, bytes: e.bytes.subarray(i, i + 1), position: e.position + i })),
      );
      const played = whole(single, keylog);
      expect(played.plain).toEqual(expected.plain);
      expect(totals(played)).toEqual([]);
    }
  });

  test('secrets that come late give the same', async () => {
    const { conversations, keylog } = await recording(name);
    for (const { events } of conversations) {
      const expected = whole(events, keylog);
      for (let late = 1; late <= events.length - 1; late++) {
        const played = play(events, {
          before: (i, store) => {
            if (i === late) readKeyLog(Buffer.from(keylog, 'latin1'), store, 0);
          },
        });
        expect(played.plain).toEqual(expected.plain);
        expect(totals(played)).toEqual([]);
      }
    }
  });

  test('without secrets nothing is read and every protected byte is counted', async () => {
    const { conversations } = await recording(name);
    for (const { events } of conversations) {
      const played = play(events);
      expect(played.facts).toEqual([]);
      expect(played.connection.facts.unread).toBe('no_secret');
      expect(played.losses.totals().map((l) => l.reason)).toEqual(['tls_no_secret']);
      const { unread } = played.shared.counters;
      expect(unread.no_secret.connections).toBe(1);
      expect(unread.no_secret.bytes).toBe(played.losses.totals()[0]!.bytes);
      expect(played.connection.facts.sni).toBe('localhost');
    }
  });

  test('wrong secrets decrypt nothing', async () => {
    const { conversations, keylog } = await recording(name);
    const wrong = keylog.replace(
      /([0-9a-f])([0-9a-f]{8})$/gm,
      (_, a: string, b: string) => (a === '0' ? '1' : '0') + b,
    );
    for (const { events } of conversations) {
      const played = play(events, { keylog: wrong });
      expect(played.plain[0].length + played.plain[1].length).toBe(0);
      expect(played.connection.facts.unread).toBe('wrong_secret');
      expect(played.losses.totals().map((l) => l.reason)).toEqual(['tls_no_secret']);
    }
  });

  test('a hole anywhere never shifts or invents a byte', async () => {
    const { conversations, keylog } = await recording(name);
    for (const { events } of conversations) {
      const expected = whole(events, keylog);
      let holes = 0;
      for (const [i, event] of events.entries()) {
        if (event.what !== 'data') continue;
        for (let at = 0; at < event.bytes.length; at += 29) {
          for (const length of [1, 60, 100_000]) {
            const played = play(hole(events, i, at, length), { keylog });
            holes++;
            for (const d of [0, 1] as const) {
              if (!honest(played.plain[d], expected.plain[d], played, d)) {
                expect.fail(`a hole of ${length} bytes at byte ${at} of event ${i}`);
              }
            }
          }
        }
      }
      expect(holes).toBeGreaterThan(50);
    }
  });
});

test('captures are there for what issue 5 names', () => {
  for (const part of [
    'tls13-h2',
    'resumed',
    'retry',
    'client-cert',
    'key-update',
    'early-data',
    'renegotiation',
    'ccm8',
    'cbc-mte',
  ]) {
    expect(NAMES.some((name) => name.includes(part))).toBe(true);
  }
  expect(fixture('x')).toMatch(/x\.pcapng$/);
});

test('facts of the handshake', async () => {
  const facts = async (name: string, n = 0) => {
    const { conversations, keylog } = await recording(name);
    return whole(conversations[n]!.events, keylog).connection.facts;
  };
  expect(await facts('tls13-resumed', 0)).toMatchObject({ version: '1.3', resumed: false });
  expect(await facts('tls13-resumed', 1)).toMatchObject({ resumed: true, certificateNotAfter: null });
  expect(await facts('tls12-resumed', 0)).toMatchObject({ version: '1.2', resumed: false });
  expect(await facts('tls12-resumed', 1)).toMatchObject({ resumed: true, alpn: 'http/1.1' });
  expect(await facts('tls13-early-data', 1)).toMatchObject({ resumed: true, earlyData: true });
  expect(await facts('tls13-early-refused', 1)).toMatchObject({ earlyData: false });
  expect(await facts('tls13-client-cert')).toMatchObject({ clientCertificate: true });
  expect(await facts('tls12-client-cert')).toMatchObject({ clientCertificate: true });
  expect((await facts('tls13-h2')).alpn).toBe('h2');
  expect((await facts('tls13-h1')).clientCertificate).toBe(false);
  expect((await facts('tls12-gcm128')).certificateNotAfter).toBeGreaterThan(1.7e9);
  expect((await facts('tls13-h1')).certificateNotAfter).toBeGreaterThan(1.7e9);
});

test('key updates are followed, in both directions', async () => {
  const { conversations, keylog } = await recording('tls13-key-update');
  const played = whole(conversations[0]!.events, keylog);
  expect(played.shared.counters.keyUpdates).toBeGreaterThanOrEqual(3);
});

describe('partial secrets', () => {
  test('the application secrets alone read everything', async () => {
    const { conversations, keylog } = await recording('tls13-h1');
    const { events } = conversations[0]!;
    const expected = whole(events, keylog);
    const played = play(events, {
      keylog: without(keylog, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'SERVER_HANDSHAKE_TRAFFIC_SECRET'),
    });
    expect(played.plain).toEqual(expected.plain);
    expect(totals(played)).toEqual([]);
  });

  test.each(['CLIENT', 'SERVER'])('without the %s secret its bytes are a loss of the connection', async (side) => {
    const { conversations, keylog } = await recording('tls13-h1');
    const { events, client } = conversations[0]!;
    const expected = whole(events, keylog);
    const played = play(events, { keylog: without(keylog, `${side}_TRAFFIC_SECRET_0`) });
    const lost = side === 'CLIENT' ? client : client === 0 ? 1 : 0;
    const other = lost === 0 ? 1 : 0;
    expect(played.plain[other]).toEqual(expected.plain[other]);
    expect(played.gaps.length).toBeGreaterThan(0);
    expect(played.gaps.every((gap) => gap.direction === lost && gap.why === 'tls_no_secret')).toBe(true);
    expect(played.connection.facts.unread).toBe('partial_secret');
    expect(played.shared.counters.unread.partial_secret.bytes).toBe(played.losses.totals()[0]!.bytes);
  });
});

test('records that the kernel cut give their beginning, and the rest is left out', async () => {
  const { conversations, keylog } = await recording('tls13-big');
  const { events, client } = conversations[0]!;
  const server = client === 0 ? 1 : 0;
  const expected = whole(events, keylog);
  let index = -1;
  events.forEach((e, i) => {
    if (
      e.what === 'data' &&
      e.direction === server &&
      (index < 0 || e.bytes.length > (events[index] as { bytes: Buffer }).bytes.length)
    )
      index = i;
  });
  const event = events[index] as Event & { what: 'data' };
  const size = 5 + event.bytes.readUInt16BE(3);
  expect(size).toBeGreaterThan(4_000);
  // The record may go on in the next segment, which is there.
  const to = Math.min(size, event.bytes.length);
  for (const known of [12, 300, to - 40]) {
    const played = play(hole(events, index, known, to - known, 'left_out'), { keylog, verify: 'bound' });
    expect(played.plain[server].length).toBe(expected.plain[server].length);
    const [gap] = played.gaps;
    expect(gap).toMatchObject({ direction: server, length: Math.min(to, size - 17) - known, why: 'left_out' });
    const [from, next] = [gap!.position, gap!.position + gap!.length];
    expect(played.plain[server].subarray(0, from)).toEqual(expected.plain[server].subarray(0, from));
    expect(played.plain[server].subarray(next)).toEqual(expected.plain[server].subarray(next));
    expect(totals(played)).toEqual([]);
  }
});

describe('records that their sender pads by 16 bytes each (Java)', () => {
  const body = async (): Promise<{ events: Event[]; keylog: string; client: 0 | 1; at: number[] }> => {
    const { conversations, keylog } = await recording('tls13-padded');
    const { events, client } = conversations[0]!;
    const at = events.flatMap((e, i) =>
      e.what === 'data' && e.direction === client && e.bytes[0] === 23 && e.bytes.length > 1_000 ? [i] : [],
    );
    expect(at.length).toBeGreaterThan(2);
    return { events, keylog, client: client as 0 | 1, at };
  };

  test('that the kernel cut leave out no more than there was', async () => {
    const { events, keylog, client, at } = await body();
    const expected = whole(events, keylog);
    for (const index of at) {
      const { length } = (events[index] as Event & { what: 'data' }).bytes;
      for (const known of [20, 300]) {
        const played = play(hole(events, index, known, length - known, 'left_out'), { keylog, verify: 'bound' });
        const [gap] = played.gaps;
        expect(gap).toMatchObject({ direction: client, length: length - 5 - 17 - 16 - (known - 5) });
        expect(played.plain[client].length).toBe(expected.plain[client].length);
        const after = gap!.position + gap!.length;
        expect(played.plain[client].subarray(after)).toEqual(expected.plain[client].subarray(after));
      }
    }
  });

  test('that are lost as a whole are as long as they were', async () => {
    const { events, keylog, client, at } = await body();
    const expected = whole(events, keylog);
    const index = at[0]!;
    const { length } = (events[index] as Event & { what: 'data' }).bytes;
    const played = play(hole(events, index, 0, length, 'gap'), { keylog, verify: 'bound' });
    expect(played.gaps).toMatchObject([{ direction: client, length: length - 5 - 17 - 16 }]);
    expect(played.plain[client].length).toBe(expected.plain[client].length);
  });
});

test('acknowledgements and times are told in decrypted bytes', async () => {
  const { conversations, keylog } = await recording('tls13-h1');
  const { events, client } = conversations[0]!;
  const server = client === 0 ? 1 : 0;
  const played = whole(events, keylog);
  const asked = played.pieces.filter(([d]) => d === client);
  const answered = played.pieces.filter(([d]) => d === server);
  expect(asked.length).toBe(2);
  // Each response acknowledges the request before it, whole; each request the responses before it.
  expect(answered[0]![4]).toBe(asked[0]![2]);
  expect(asked[1]![4]).toBe(answered[0]![2]);
  for (const [, , , ts] of played.pieces) expect(events.some((e) => e.ts === ts)).toBe(true);
});

test('what waits is bounded, and goes on without secrets when the bound is reached', async () => {
  const { conversations } = await recording('tls13-big');
  const played = play(conversations[0]!.events, { limits: { waitBytes: 8_192 } });
  expect(played.connection.facts.unread).toBe('limit');
  expect(played.losses.totals().map((l) => l.reason)).toEqual(['tls_no_secret']);
});
