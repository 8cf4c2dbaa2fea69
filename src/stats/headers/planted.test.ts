/** Changes that somebody made, and noise that nobody did. */
import { describe, expect, test } from 'vitest';
import { type Pairs, random, Traffic } from '../../../test/fixtures/header-traffic.ts';
import type { Change } from './changes.ts';
import { HeaderGroup } from './header-stats.ts';

const CLIENTS = ['python/3.1', 'okhttp/4.12', 'curl/8.5', 'Go-http-client/1.1'];
const KEY = (client: number, generation = 0): string =>
  `Bearer sk-proj-thisisafakekey${client}of${generation}generation0123456789`;

interface Plan {
  readonly newHeader?: boolean;
  readonly silentClient?: boolean;
  readonly version?: string;
  readonly rotated?: boolean;
  readonly reordered?: boolean;
}

/** Clients with parts that change from window to window, ids, times, sizes, and rare headers. */
class Mix {
  readonly #random: () => number;
  #shares: number[] = [];
  #second = 0;
  #id = 0;

  constructor(seed: number) {
    this.#random = random(seed);
  }

  /** New parts for the next window: each client has somewhere between 5 and 67 percent. */
  shuffle(): void {
    const weights = CLIENTS.map(() => 0.2 + this.#random());
    const sum = weights.reduce((a, b) => a + b, 0);
    this.#shares = weights.map((weight) => weight / sum);
    this.#second += 60;
  }

  message(i: number, plan: Plan = {}): Pairs {
    let at = this.#random();
    let client = 0;
    while (client < CLIENTS.length - 1 && at >= this.#shares[client]!) at -= this.#shares[client++]!;
    const changed = client === 1;
    const second = this.#second + Math.floor(i / 20);
    const pairs: [string, string][] = [
      ['Host', 'api.example.com'],
      ['User-Agent', CLIENTS[client]!],
      ['Accept', client === 2 ? '*/*' : 'application/json'],
      ['X-Api-Version', changed && plan.version !== undefined ? plan.version : '2026-11-01'],
      ['Authorization', KEY(client, changed && plan.rotated ? 1 : 0)],
      ['X-Request-Id', `${(++this.#id * 2654435761) % 2 ** 32}-${this.#id}`],
      [
        'Date',
        `Sun, 22 Nov 2026 16:${String(Math.floor(second / 60) % 60).padStart(2, '0')}:${String(second % 60).padStart(2, '0')} GMT`,
      ],
      ['X-Ratelimit-Reset', String(1_795_363_445 + this.#second)],
      ['Content-Length', String(Math.floor(100 * this.#random() ** 3 * 50))],
    ];
    if (client !== 3 && !(changed && plan.silentClient)) pairs.push(['X-Client', 'sdk']);
    if (this.#random() < 0.002) pairs.push(['X-Retry', '1']);
    if (this.#random() < 0.3) pairs.push(['If-None-Match', `"${Math.floor(this.#random() * 30)}"`]);
    if (plan.newHeader && changed) pairs.push(['X-New', 'yes']);
    if (plan.reordered && changed) pairs.splice(0, 3, pairs[2]!, pairs[1]!, pairs[0]!);
    return pairs;
  }
}

/** Windows of normal traffic, and what the one with the plan says. */
function planted(plan: Plan, before: number, calls: number, seed: number): readonly Change[] {
  const traffic = new Traffic();
  const mix = new Mix(seed);
  for (let w = 0; w < before; w++) {
    mix.shuffle();
    expect(traffic.window(calls, (i) => mix.message(i)).changes).toEqual([]);
  }
  mix.shuffle();
  return traffic.window(calls, (i) => mix.message(i, plan)).changes;
}

describe.each([
  [1, 1_000],
  [2, 600],
  [8, 1_000],
  [20, 400],
])('after %i windows of %i calls, one of four clients changes', (before, calls) => {
  test('it sends a new header', () => {
    const changes = planted({ newHeader: true }, before, calls, 1);
    expect(changes).toEqual([
      expect.objectContaining({ kind: 'header_new', name: 'x-new', before: 0, direction: 'request' }),
    ]);
    expect(changes[0]!.after).toBeGreaterThan(0.02);
    expect(changes[0]!.example).toMatch(/^call-\d+$/);
  });

  test('another API version', () => {
    const changes = planted({ version: '2026-12-01' }, before, calls, 2);
    expect(changes).toEqual([
      expect.objectContaining({ kind: 'value_new', name: 'x-api-version', before: '2026-11-01', after: '2026-12-01' }),
    ]);
  });

  test('a rotated credential, told by its fingerprint alone', () => {
    const changes = planted({ rotated: true }, before, calls, 3);
    const found = changes.find((c) => c.kind === 'value_new')!;
    expect(found).toMatchObject({ kind: 'value_new', name: 'authorization' });
    expect(found.after).toMatch(/^Bearer sk-proj-\[fp:[0-9a-f]{16}\]$/);
    expect(JSON.stringify(changes)).not.toContain('fakekey');
    expect(new Set(changes.map((c) => c.name))).toEqual(new Set(['authorization']));
  });

  test('another order', () => {
    const changes = planted({ reordered: true }, before, calls, 4);
    expect(changes.length).toBeGreaterThan(0);
    for (const change of changes) {
      expect(change).toMatchObject({ kind: 'order', name: ':order' });
      expect(change.after).toMatch(/^accept, user-agent, host, /);
      expect(change.before).toMatch(/^host, user-agent, accept, /);
    }
  });
});

describe('a client stops sending a header that all sent', () => {
  test.each([1, 3, 10])('after %i windows', (before) => {
    const traffic = new Traffic();
    const message = (client: number, silent: boolean): Pairs => [
      ['Host', 'a'],
      ['User-Agent', CLIENTS[client]!],
      ...(silent && client === 1 ? [] : [['X-Client', 'sdk'] as const]),
    ];
    for (let w = 0; w < before; w++) expect(traffic.window(400, (i) => message(i % 4, false)).changes).toEqual([]);
    const { changes } = traffic.window(400, (i) => message(i % 4, true));
    expect(changes).toEqual([expect.objectContaining({ kind: 'presence', name: 'x-client', before: 1, after: 0.75 })]);
    expect(traffic.window(400, (i) => message(i % 4, true)).changes).toEqual([]);
  });

  test('the only client: the header has vanished, once', () => {
    const traffic = new Traffic();
    traffic.window(100, () => [
      ['Host', 'a'],
      ['X-Client', 'sdk'],
    ]);
    const { changes } = traffic.window(100, () => [['Host', 'a']]);
    expect(changes).toEqual([
      expect.objectContaining({
        kind: 'header_vanished',
        name: 'x-client',
        before: 1,
        after: 0,
        example: expect.stringMatching(/^call-/),
      }),
    ]);
    expect(traffic.window(100, () => [['Host', 'a']]).changes).toEqual([]);
    const back = traffic.window(100, () => [
      ['Host', 'a'],
      ['X-Client', 'sdk'],
    ]).changes;
    expect(back.map((c) => c.kind)).toEqual(['header_new']);
  });
});

describe('a constant changes', () => {
  test('both values are named, and then it is quiet', () => {
    const traffic = new Traffic();
    const message = (version: string): Pairs => [
      ['Host', 'a'],
      ['X-Api-Version', version],
    ];
    traffic.window(200, () => message('1'));
    const { changes } = traffic.window(200, () => message('2'));
    expect(changes.map(({ kind, before, after }) => ({ kind, before, after }))).toEqual([
      { kind: 'value_new', before: '1', after: '2' },
      { kind: 'value_vanished', before: '1', after: '2' },
    ]);
    for (let w = 0; w < 5; w++) expect(traffic.window(200, () => message('2')).changes).toEqual([]);
  });

  test('few calls wait for more instead of being compared', () => {
    const traffic = new Traffic();
    const message = (version: string): Pairs => [['X-Api-Version', version]];
    for (let w = 0; w < 4; w++) expect(traffic.window(10, () => message('1')).changes).toEqual([]);
    const kinds: string[] = [];
    for (let w = 0; w < 2; w++) kinds.push(...traffic.window(10, () => message('2')).changes.map((c) => c.kind));
    expect(kinds).toEqual(['value_new', 'value_vanished']);
  });

  test('few values become one in every call', () => {
    const traffic = new Traffic();
    traffic.window(500, () => [['X-Session', 'fixed']]);
    const { changes } = traffic.window(500, (i) => [['X-Session', `session ${i}`]]);
    expect(changes.map((c) => c.kind)).toContain('distribution');
  });
});

test('shares that never moved for long have moved', () => {
  const traffic = new Traffic();
  const message = (i: number, every: number): Pairs => [['X-Mode', i % every === 0 ? 'fast' : 'safe']];
  for (let w = 0; w < 20; w++) expect(traffic.window(1_000, (i) => message(i, 10)).changes).toEqual([]);
  const { changes } = traffic.window(1_000, (i) => message(i, 2));
  expect(changes.map((c) => c.kind)).toEqual(['distribution']);
  expect(changes[0]!.after).toContainEqual({ value: 'fast', share: 0.5 });
});

test('models of names and values that keep coming stay within their room, and are given back', () => {
  const traffic = new Traffic();
  const groups = Array.from(
    { length: 40 },
    (_, i) => new HeaderGroup({ service: 'api', side: 'server', method: 'GET', route: `/${i}` }),
  );
  const { room } = traffic.stats.monitor;
  for (let w = 0; w < 8; w++) {
    for (const [g, group] of groups.entries())
      for (let i = 0; i < 25; i++)
        traffic.send(
          Array.from({ length: 20 }, (_, j) => [`x-${w}-${g}-${(i * 20 + j) % 100}`, `${w} ${i}`] as const),
          group,
        );
    expect(traffic.window(0, () => []).changes.length).toBeLessThanOrEqual(1_000);
    expect(room.names).toBeLessThanOrEqual(16_384);
    expect(room.values).toBeLessThanOrEqual(65_536);
  }
  expect(room.names).toBeGreaterThan(8_000);
  expect(room.values).toBeGreaterThan(40_000);
  // What was not seen for long is forgotten, and with it its values.
  for (let w = 0; w < 200; w++) {
    for (const group of groups) for (let i = 0; i < 20; i++) traffic.send([['Host', 'a']], group);
    traffic.window(0, () => []);
  }
  expect(room.names).toBeLessThanOrEqual(2 * groups.length);
  expect(room.values).toBeLessThanOrEqual(4 * groups.length);
});

/** The whole run: HEADWATER_CALLS=1000000; by default a part of it. */
const CALLS = Number(process.env['HEADWATER_CALLS'] ?? 200_000);

test(`${CALLS} calls without a change raise no alarm`, () => {
  const alarms: Change[] = [];
  let comparisons = 0;
  for (const [seed, calls] of [
    [11, 500],
    [12, 100],
    [13, 2_000],
    [14, 50],
  ] as const) {
    const traffic = new Traffic();
    const mix = new Mix(seed);
    for (let sent = 0; sent < CALLS / 4; sent += calls) {
      mix.shuffle();
      alarms.push(...traffic.window(calls, (i) => mix.message(i)).changes);
    }
    comparisons += traffic.stats.monitor.comparisons;
  }
  expect(comparisons).toBeGreaterThan(CALLS / 100);
  expect(alarms).toEqual([]);
});
