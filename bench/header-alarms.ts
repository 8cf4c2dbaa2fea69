/**
 * How often header variability calls noise a change: `node bench/header-alarms.ts [windows for each world]`. Worlds without any change, each with
 * another kind of unrest; prints windows, comparisons and alarms of each. Then the same worlds with a header that somebody changes every
 * twenty windows, for some of the calls and again in the next window: how often that is told, and how often anything else is.
 * docs/decisions/0026 has the result.
 */

import type { Change } from '../src/stats/headers/changes.ts';
import { type Pairs, random, Traffic } from '../test/fixtures/header-traffic.ts';

type World = (next: () => number) => { window(w: number): void; message(i: number): Pairs };

const pick = (next: () => number, weights: readonly number[]): number => {
  let at = next() * weights.reduce((a, b) => a + b, 0);
  let i = 0;
  while (i < weights.length - 1 && at >= weights[i]!) at -= weights[i++]!;
  return i;
};
const client = (c: number): [string, string][] => [
  ['User-Agent', `client/${c}`],
  ...(c % 2 === 0 ? [['X-Client', `sdk-${c}`] as [string, string]] : []),
  ...(c % 3 === 0 ? [['Accept-Language', 'de'] as [string, string]] : []),
];

const WORLDS: Readonly<Record<string, World>> = {
  /** Every call by itself. */
  independent: (next) => ({
    window: () => {},
    message: (i) => [
      ['Host', 'a'],
      ...client(pick(next, [8, 4, 2, 1, 1])),
      ['X-Request-Id', `${i} ${next()}`],
      ...(next() < 0.01 ? [['X-Rare', 'yes'] as const] : []),
    ],
  }),
  /** Each client's part is drawn anew in every window, between nearly nothing and most. */
  redrawn: (next) => {
    let weights = [1, 1, 1, 1, 1, 1];
    return {
      window: () => {
        weights = weights.map(() => 0.05 + next());
      },
      message: (i) => [['Host', 'a'], ...client(pick(next, weights)), ['Content-Length', String((i * 7919) % 900)]],
    };
  },
  /** Parts wander. */
  wandering: (next) => {
    let weights = [1, 1, 1, 1];
    return {
      window: () => {
        weights = weights.map((weight) => Math.min(4, Math.max(0.15, weight * Math.exp((next() - 0.5) * 0.5))));
      },
      message: () => [['Host', 'a'], ...client(pick(next, weights))],
    };
  },
  /** Bursts: a client's calls come fifty at a time. */
  bunched: (next) => {
    let who = 0;
    let left = 0;
    return {
      window: () => {},
      message: () => {
        if (left-- <= 0) {
          who = pick(next, [4, 3, 2, 1]);
          left = Math.floor(next() * 50);
        }
        return [['Host', 'a'], ...client(who)];
      },
    };
  },
  /** A long tail of user agents, of which new ones keep coming. */
  longTail: (next) => ({
    window: () => {},
    message: () => [
      ['Host', 'a'],
      ['User-Agent', `agent/${Math.floor(1 / (1 - next()) ** 0.8)}`],
    ],
  }),
  /** Sessions of some thirty calls, with a cookie, a tag and an order of their own making. */
  sessions: (next) => {
    const open = Array.from({ length: 20 }, () => ({ id: 0, left: 0 }));
    let ids = 0;
    return {
      window: () => {},
      message: () => {
        const session = open[Math.floor(next() * open.length)]!;
        if (session.left-- <= 0) {
          session.id = ++ids;
          session.left = 10 + Math.floor(next() * 40);
        }
        return [
          ['Host', 'a'],
          ['X-Tab', `tab ${session.id}`],
          ['Cookie', `sid=fake${session.id}value`],
        ];
      },
    };
  },
  /** Times that stand still within a window, counters, ids of a deployment's cache. */
  stamps: (next) => {
    let w = 0;
    return {
      window: (n) => {
        w = n;
      },
      message: (i) => [
        ['Host', 'a'],
        ['X-Ratelimit-Reset', String(1_795_363_445 + w * 60)],
        ['Last-Modified', `Sun, 22 Nov 2026 ${String(w % 24).padStart(2, '0')}:00:00 GMT`],
        ['Date', `Sun, 22 Nov 2026 16:00:${String(i % 60).padStart(2, '0')} GMT`],
        ['X-Ratelimit-Remaining', String(10_000 - i)],
        ['Etag', `"${Math.floor(next() * 20).toString(16)}a5f30000${w % 3}"`],
      ],
    };
  },
  /** Headers that only some answers have, and now and then hardly any. */
  conditional: (next) => {
    let errors = 0;
    return {
      window: () => {
        errors = next() ** 4 * 0.3;
      },
      message: () =>
        next() < errors
          ? [
              ['Host', 'a'],
              ['Retry-After', '1'],
              ['X-Error', 'busy'],
            ]
          : [
              ['Host', 'a'],
              ['X-Cache', next() < 0.7 ? 'hit' : 'miss'],
            ],
    };
  },
};

const windows = Number(process.argv[2] ?? 1_000);
const CALLS = [40, 300, 1_500] as const;
/** Windows from one pair of changes to the next, and the windows of it that begin with a change. */
const PERIOD = 20;
const CHANGED = [0, 1];
const DEPLOYED = 'x-deployed';

type Told = Change & { w: number };

/** `parts`: one in so many calls has the header that changes; 0: nothing changes. */
function watched(name: string, world: World, calls: number, parts: number) {
  const told: Told[] = [];
  const traffic = new Traffic();
  const { window, message } = world(random(calls + name.length));
  const here = Math.ceil((windows * 40) / Math.max(40, calls ** 0.8));
  for (let w = 0; w < here; w++) {
    window(w);
    const release = 2 * Math.floor(w / PERIOD) + (w > PERIOD && w % PERIOD > 0 ? 1 : 0);
    const sent = (i: number): Pairs =>
      parts > 0 ? [...message(i), [DEPLOYED, `release ${i % parts === 0 ? release : 'of old'}`]] : message(i);
    told.push(...traffic.window(calls, sent).changes.map((change) => ({ ...change, w })));
  }
  return { told, windows: here, comparisons: traffic.stats.monitor.comparisons };
}

const examplesOf = (told: readonly Told[]): object[] =>
  told
    .slice(0, 4)
    .map(({ w, kind, name, before, after, chance }) => ({ w, kind, header: name, before, after, chance }));

let alarms = 0;
let total = 0;
let comparisons = 0;
for (const [name, world] of Object.entries(WORLDS)) {
  for (const calls of CALLS) {
    const quiet = watched(name, world, calls, 0);
    alarms += quiet.told.length;
    total += quiet.windows;
    comparisons += quiet.comparisons;
    const { told, ...counts } = quiet;
    console.log(JSON.stringify({ world: name, calls, ...counts, alarms: told.length, examples: examplesOf(told) }));
  }
}
console.log(JSON.stringify({ bench: 'header-alarms', windows: total, comparisons, alarms }));

const after = { windows: 0, changes: 0, found: 0, alarms: 0 };
for (const [name, world] of Object.entries(WORLDS)) {
  for (const calls of CALLS) {
    for (const parts of [1, 4]) {
      const { told, windows: here } = watched(name, world, calls, parts);
      const isChange = ({ w }: { w: number }): boolean => w >= PERIOD && CHANGED.includes(w % PERIOD);
      const changes = Array.from({ length: here }, (_, w) => w).filter((w) => isChange({ w })).length;
      const found = new Set(told.filter((one) => one.name === DEPLOYED && isChange(one)).map(({ w }) => w)).size;
      const others = told.filter((one) => one.name !== DEPLOYED || !isChange(one));
      after.windows += here;
      after.changes += changes;
      after.found += found;
      after.alarms += others.length;
      console.log(
        JSON.stringify({
          world: name,
          calls,
          parts,
          windows: here,
          changes,
          found,
          alarms: others.length,
          examples: examplesOf(others),
        }),
      );
    }
  }
}
console.log(JSON.stringify({ bench: 'header-alarms after changes', ...after }));
