/** Records that the kernel left out and counted: what comes behind them is read at once, and nothing wrong if the count is. */
import { expect, test } from 'vitest';
import { type Event, honest, play, recording } from './rig.ts';

type Data = Event & { what: 'data' };

/** How many records lie in `bytes`, which begin with one; null: they end within one. */
function recordsIn(bytes: Buffer): number | null {
  let records = 0;
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3), records++) {
    if (at + 5 > bytes.length || at + 5 + bytes.readUInt16BE(at + 3) > bytes.length) return null;
  }
  return records;
}

/** Data of the server that is content from end to end, the last one apart; `tickets` segments come before it. */
function candidates(events: readonly Event[], client: number, tickets: number): number[] {
  const found = events.flatMap((e, i) =>
    e.what === 'data' && e.direction !== client && e.bytes[0] === 23 && recordsIn(e.bytes) !== null ? [i] : [],
  );
  return found.slice(tickets, -1);
}

/** The same without the data at `index`; the kernel says that `records` were in it. */
const without = (events: readonly Event[], index: number, records: number | null): Event[] =>
  events.flatMap((e, i): Event[] => {
    if (i !== index) return [e];
    const { direction, position, bytes, ts } = e as Data;
    const gap: Event = { what: 'gap', direction, length: bytes.length, position, ts, why: 'shed_head' };
    return records === null ? [gap] : [gap, { what: 'followed', direction, records, turns: 1, turn: true, ts }];
  });

test.each([
  ['tls13-h1', 2],
  ['tls13-big', 2],
  ['tls13-chacha', 2],
  ['tls12-gcm128', 0],
])('%s: records that are counted need no trials', async (name, tickets) => {
  const { conversations, keylog } = await recording(name);
  const { events, client } = conversations[0]!;
  const server = client === 0 ? 1 : 0;
  const truth = play(events, { keylog }).plain[server];
  const tried = candidates(events, client, tickets);
  expect(tried.length).toBeGreaterThan(0);
  for (const index of tried) {
    const records = recordsIn((events[index] as Data).bytes)!;
    const told = play(without(events, index, records), { keylog, verify: 'bound' });
    const searched = play(without(events, index, null), { keylog, verify: 'bound' });
    expect(told.shared.counters.trials).toBe(0);
    expect(searched.shared.counters.trials).toBeGreaterThan(0);
    expect(told.connection.facts.unread).toBeNull();
    // Everything but the hole, at the positions that it has in the whole stream (TLS 1.3 may pad; these peers do not).
    const [gap] = told.gaps.filter((g) => g.direction === server);
    expect(gap!.why).toBe('shed_head');
    const heard = told.plain[server];
    expect(heard.subarray(0, gap!.position)).toEqual(truth.subarray(0, gap!.position));
    expect(heard.subarray(gap!.position + gap!.length)).toEqual(truth.subarray(gap!.position + gap!.length));
    expect(told.shared.counters.turns.http1).toEqual({ request: 0, response: 1 });
  }
});

test('a wrong count never gives wrong content', async () => {
  const { conversations, keylog } = await recording('tls13-h1');
  const { events, client } = conversations[0]!;
  const server = client === 0 ? 1 : 0;
  const truth = play(events, { keylog }).plain[server];
  for (const index of candidates(events, client, 2)) {
    const records = recordsIn((events[index] as Data).bytes)!;
    for (const wrong of [records - 1, records + 1, 1_000, 65_535]) {
      const played = play(without(events, index, Math.max(0, wrong)), { keylog, verify: 'bound' });
      expect(honest(played.plain[server], truth, played, server)).toBe(true);
    }
  }
});

test.each([
  ['tls13-h1', 2],
  ['tls12-gcm128', 0],
])(
  '%s: a hole that is told after the next request: its answer begins where the client had everything',
  async (name, tickets) => {
    const { conversations, keylog } = await recording(name);
    const { events, client } = conversations[0]!;
    const server = client === 0 ? 1 : 0;
    const whole = play(events, { keylog });
    expect(whole.turns).toEqual([]);
    let tried = 0;
    for (const index of candidates(events, client, tickets)) {
      const holed = without(events, index, null);
      const asked = holed.findIndex((e, i) => i > index && e.what === 'data');
      if (holed[asked]!.direction !== client) continue;
      tried++;
      const late = [
        ...holed.slice(0, index),
        ...holed.slice(index + 1, asked + 1),
        holed[index]!,
        ...holed.slice(asked + 1),
      ];
      const { turns, plain, gaps } = play(late, { keylog, verify: 'bound' });
      expect(turns).toHaveLength(1);
      const [direction, at] = turns[0]!;
      expect(direction).toBe(server);
      expect(at).toBe(gaps[0]!.position + gaps[0]!.length);
      expect(plain[server].subarray(at, at + 9).toString('latin1')).toBe('HTTP/1.1 ');
    }
    expect(tried).toBeGreaterThan(0);
  },
);
