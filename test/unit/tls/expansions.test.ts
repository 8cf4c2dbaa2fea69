/**
 * What OpenSSL's EVP_KDF_derive is called with in TLS 1.3 leads to its connection by transcript hash alone: recorded calls
 * of real clients (test/fixtures/tls/expansions.c) read what their key log reads, and nothing of another connection.
 */
import { describe, expect, test } from 'vitest';
import { addExpansion, expansionsOf, type Played, play, recording } from './rig.ts';

const NAMES = [
  'sha256',
  'sha384',
  'retry',
  'resumed',
  'client-cert',
  'long-chain',
  'early-data',
  'early-refused',
  'retry-early',
];
const totals = ({ losses }: Played): object => losses.totals();

describe.each(NAMES)('%s', (name) => {
  const file = `expansions/${name}`;

  test('every connection is bound by its transcript and read like with its key log', async () => {
    const { conversations, keylog } = await recording(file);
    const expansions = expansionsOf(file);
    for (const { events, client } of conversations) {
      const expected = play(events, { keylog });
      const played = play(events, { expansions });
      expect(played.plain[client].toString('latin1')).toMatch(/^GET \//);
      expect(played.plain).toEqual(expected.plain);
      expect(played.pieces).toEqual(expected.pieces);
      expect(totals(played)).toEqual([]);
      expect(played.shared.counters.refused).toBe(expected.shared.counters.refused);
      expect({ ...played.connection.facts }).toEqual({ ...expected.connection.facts });
    }
  });

  test('calls that come late, one by one and in any order, give the same', async () => {
    const { conversations, keylog } = await recording(file);
    const expansions = expansionsOf(file);
    for (const { events } of conversations) {
      const expected = play(events, { keylog });
      for (const order of [expansions, [...expansions].reverse()]) {
        for (let late = 1; late < events.length; late += 2) {
          const played = play(events, {
            expansions: [],
            before: (i, store) => {
              const from = i - late;
              if (i === events.length - 1) for (const one of order.slice(Math.max(0, from))) addExpansion(store, one);
              else if (from >= 0 && order[from] !== undefined) addExpansion(store, order[from]);
            },
          });
          expect(played.plain).toEqual(expected.plain);
          expect(totals(played)).toEqual([]);
        }
      }
    }
  });

  test('calls of other connections lead nowhere', async () => {
    const { conversations } = await recording(file);
    const others = NAMES.filter((other) => other !== name).flatMap((other) => expansionsOf(`expansions/${other}`));
    for (const { events } of conversations) {
      const played = play(events, { expansions: others });
      expect(played.facts).toEqual([]);
      expect(played.connection.facts.unread).toBe('no_secret');
      expect(played.shared.counters.refused).toBe(0);
    }
  });
});

test('the recordings hold what makes transcripts different', async () => {
  const facts = async (name: string, n: number) => {
    const { conversations, keylog } = await recording(`expansions/${name}`);
    return play(conversations[n]!.events, { keylog }).connection.facts;
  };
  expect(await facts('resumed', 1)).toMatchObject({ resumed: true });
  expect(await facts('client-cert', 0)).toMatchObject({ clientCertificate: true });
  expect(await facts('early-data', 1)).toMatchObject({ resumed: true, earlyData: true });
  expect(await facts('early-refused', 1)).toMatchObject({ earlyData: false });
  expect(expansionsOf('expansions/early-data').filter((e) => e.label === 'CLIENT_EARLY_TRAFFIC_SECRET').length).toBe(1);
  expect(new Set(NAMES.flatMap((n) => expansionsOf(`expansions/${n}`).map((e) => e.hash)))).toEqual(
    new Set(['sha256', 'sha384']),
  );
});
