/** Fatal alerts are told with their name and their sender; what ends nothing is not. */
import { expect, test } from 'vitest';
import { type Event, type Played, play, recording } from './rig.ts';

const [WARNING, FATAL] = [1, 2];
const [CLOSE_NOTIFY, HANDSHAKE_FAILURE, UNRECOGNIZED_NAME, NO_SUCH] = [0, 40, 112, 201];

/** The ClientHello of a recording, and a record in clear as the answer to it or instead of anything more. */
async function refused(by: 'client' | 'server', alert: readonly number[], hello = true): Promise<Played> {
  const { events, client } = (await recording('tls13-h1')).conversations[0]!;
  const first = events.find((e) => e.what === 'data')!;
  const bytes = Buffer.from([21, 3, 3, 0, alert.length, ...alert]);
  const direction = by === 'client' ? client : client === 0 ? 1 : 0;
  const position = by === 'client' && first.what === 'data' && hello ? first.bytes.length : 0;
  const last: Event = { ...first, what: 'data', direction, bytes, position, ts: first.ts + 1 } as Event;
  return play(hello ? [first, last] : [last]);
}

const facts = ({ connection, shared }: Played): object => ({
  alert: connection.facts.alert,
  counted: [...shared.counters.alerts.values()],
});

test.each(['client', 'server'] as const)('in clear, from the %s', async (by) => {
  const alert = { alert: 'handshake_failure', by };
  expect(facts(await refused(by, [FATAL, HANDSHAKE_FAILURE]))).toEqual({
    alert,
    counted: [{ ...alert, connections: 1 }],
  });
});

test('without a hello nobody can tell whose it is; a number without a name stays one', async () => {
  const { connection } = await refused('server', [FATAL, NO_SUCH], false);
  expect(connection.facts.alert).toEqual({ alert: 'alert 201', by: 'unknown' });
});

test.each([
  ['a warning', [WARNING, UNRECOGNIZED_NAME]],
  ['an end', [WARNING, CLOSE_NOTIFY]],
  ['an end that claims to be fatal', [FATAL, CLOSE_NOTIFY]],
  ['a byte', [FATAL]],
  ['three bytes', [FATAL, HANDSHAKE_FAILURE, 0]],
])('%s is none', async (_, alert) => {
  expect(facts(await refused('server', alert))).toEqual({ alert: null, counted: [] });
});

test.each(['tls13-h1', 'tls12-gcm128', 'tls13-h2'])('%s ends without one, read or not', async (name) => {
  const { conversations, keylog } = await recording(name);
  const { events } = conversations[0]!;
  for (const played of [play(events, { keylog }), play(events)])
    expect(facts(played)).toEqual({ alert: null, counted: [] });
});
