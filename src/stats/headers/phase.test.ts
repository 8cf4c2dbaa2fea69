/** A change does not wait for a window to begin: wherever in one it happens, it is found at the end of that window or of the next. */
import { describe, expect, test } from 'vitest';
import { type Pairs, random, Traffic } from '../../../test/fixtures/header-traffic.ts';
import type { Change, ChangeKind } from './changes.ts';

const PHASES = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99];
const CLIENTS = ['python/3.1', 'okhttp/4.12', 'curl/8.5', 'Go-http-client/1.1'];

type Plan = 'new header' | 'header no longer sent' | 'other API version' | 'rotated credential' | 'other order';
const KINDS: Readonly<Record<Plan, readonly [name: string, ...kinds: ChangeKind[]]>> = {
  'new header': ['x-new', 'header_new'],
  'header no longer sent': ['x-client', 'header_vanished', 'presence'],
  'other API version': ['x-api-version', 'value_new', 'value_vanished'],
  'rotated credential': ['authorization', 'value_new', 'value_vanished'],
  'other order': [':order', 'order'],
};
const PLANS = Object.keys(KINDS) as Plan[];

/** `runs`: how many calls a client makes at a time, at most; 0: there is one client. */
function traffic(runs: number, seed: number): (plan: Plan | null) => Pairs {
  const next = random(seed);
  let [id, client, left] = [0, 1, 0];
  return (plan) => {
    if (runs > 0 && left-- <= 0) {
      client = Math.floor(next() * CLIENTS.length);
      left = Math.floor(next() * runs);
    }
    const changed = client === 1 ? plan : null;
    const generation = changed === 'rotated credential' ? 1 : 0;
    const pairs: [string, string][] = [
      ['Host', 'api.example.com'],
      ['User-Agent', CLIENTS[client]!],
      ['Accept', 'application/json'],
      ['X-Api-Version', changed === 'other API version' ? '2026-12-01' : '2026-11-01'],
      ['Authorization', `Bearer sk-proj-thisisafakekey${client}of${generation}generation0123456789`],
      ['X-Request-Id', `${(++id * 2_654_435_761) % 2 ** 32}-${id}`],
    ];
    if (changed !== 'header no longer sent') pairs.push(['X-Client', 'sdk']);
    if (changed === 'new header') pairs.push(['X-New', 'yes']);
    if (changed === 'other order') pairs.splice(0, 3, pairs[2]!, pairs[1]!, pairs[0]!);
    return pairs;
  };
}

interface Seen {
  /** What the window with the change and the next one said, and all the others. */
  readonly found: readonly Change[];
  readonly others: readonly Change[];
}

function planted(plan: Plan, phase: number, before: number, calls: number, runs: number): Seen {
  const windows = new Traffic();
  const message = traffic(runs, 3 + phase * 1_000);
  const others: Change[] = [];
  for (let w = 0; w < before; w++) others.push(...windows.window(calls, () => message(null)).changes);
  const cut = Math.floor(phase * calls);
  const found = [
    ...windows.window(calls, (i) => message(i >= cut ? plan : null)).changes,
    ...windows.window(calls, () => message(plan)).changes,
  ];
  for (let w = 0; w < 3; w++) others.push(...windows.window(calls, () => message(plan)).changes);
  return { found, others };
}

describe.each(PLANS)('%s', (plan) => {
  const [name, ...kinds] = KINDS[plan];
  test.each([
    ['uniform traffic, 20 calls a window', 20, 0, 3],
    ['uniform traffic, 300 calls a window, one known', 300, 0, 1],
    ['uniform traffic, 300 calls a window, twenty known', 300, 0, 20],
    ['uniform traffic, 5,000 calls a window', 5_000, 0, 2],
    ['one of four clients, 300 calls a window', 300, 1, 3],
    ['one of four clients in runs of up to twenty, 1,500 calls a window', 1_500, 20, 8],
  ] as const)('%s', (_, calls, runs, before) => {
    for (const phase of PHASES) {
      const { found, others } = planted(plan, phase, before, calls, runs);
      const right = found.filter((change) => change.name === name && kinds.includes(change.kind));
      expect(right.length, `phase ${phase}`).toBeGreaterThan(0);
      expect(new Set(found.map((change) => change.name))).toEqual(new Set([name]));
      expect(others, `phase ${phase}`).toEqual([]);
    }
  });
});

test('a window of twenty thousand calls, uniform, changed at its end', () => {
  for (const plan of PLANS) {
    const { found, others } = planted(plan, 0.999, 1, 20_000, 0);
    expect(found.map((change) => change.name)).toContain(KINDS[plan][0]);
    expect(others).toEqual([]);
  }
});

test.each([8, 20])('a header that half of the calls have, then one in twenty, with %i windows known', (known) => {
  for (const phase of PHASES) {
    const windows = new Traffic();
    const next = random(known + phase * 1_000);
    const message = (share: number): Pairs => [
      ['Host', 'api.example.com'],
      ['X-Request-Id', String(next())],
      ...(next() < share ? [['X-Beta', '1'] as const] : []),
    ];
    const said = Array.from({ length: known + 5 }, (_, w) => {
      const cut = w === known ? phase * 750 : w < known ? 750 : 0;
      return windows.window(750, (i) => message(i < cut ? 0.5 : 0.05)).changes;
    });
    const at = said.findIndex((changes) => changes.length > 0);
    expect([known, known + 1], `phase ${phase}`).toContain(at);
    expect(said.flat().map(({ kind, name }) => `${kind} ${name}`)).toEqual(['presence x-beta']);
  }
});
