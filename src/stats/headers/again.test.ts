/** A change does not hide the next one: what it changed to is the reference at once. And what changes all the time is soon no news. */
import { describe, expect, test } from 'vitest';
import { type Pairs, random, Traffic } from '../../../test/fixtures/header-traffic.ts';
import type { Change } from './changes.ts';

const CLIENTS = ['python/3.1', 'okhttp/4.12', 'curl/8.5', 'Go-http-client/1.1'];

/** What a client sends that has changed `n` times. */
type Sent = (n: number) => { readonly set?: Pairs; readonly turned?: number };

const FORTH: Readonly<Record<string, readonly [name: string, Sent]>> = {
  'an API version, and the next': ['x-api-version', (n) => ({ set: [['X-Api-Version', `2026-1${n}-01`]] })],
  'a credential, rotated again': [
    'authorization',
    (n) => ({ set: [['Authorization', `Bearer sk-proj-thisisafakekeyofgeneration${n}0123456789`]] }),
  ],
  'an order, and another': [':order', (n) => ({ turned: n })],
};
const BACK: typeof FORTH = {
  'an API version, and back': ['x-api-version', (n) => ({ set: [['X-Api-Version', `2026-1${n % 2}-01`]] })],
  'a header, gone again': ['x-new', (n) => ({ set: n % 2 === 1 ? [['X-New', 'yes']] : [] })],
  'an order, and back': [':order', (n) => ({ turned: n % 2 })],
};

/** A window of `calls` in which the nth change happens when `phase` of it is over; the first of `clients` changes. */
function windowsOf(calls: number, clients: number, sent: Sent): (n: number, phase?: number) => Change[] {
  const traffic = new Traffic();
  const next = random(7);
  let id = 0;
  const message = (n: number): Pairs => {
    const client = Math.floor(next() * clients);
    const { set = [], turned = 0 } = sent(client === 0 ? n : 0);
    const names: Pairs = [
      ['Host', 'api.example.com'],
      ['User-Agent', CLIENTS[client]!],
      ['Accept', 'application/json'],
      ['Accept-Language', 'de'],
    ];
    const order = [...names.slice(turned), ...names.slice(0, turned)];
    return [...order, ...set, ['X-Request-Id', `${(++id * 2_654_435_761) % 2 ** 32}-${id}`]];
  };
  return (n, phase = 0) => traffic.window(calls, (i) => message(i < phase * calls ? n - 1 : n)).changes;
}

function changesThrice([name, sent]: (typeof FORTH)[string], calls: number, clients: number, before: number): void {
  for (const gap of [1, 4]) {
    for (const phase of [0, 0.5]) {
      const window = windowsOf(calls, clients, sent);
      for (let w = 0; w < before; w++) expect(window(0)).toEqual([]);
      for (const n of [1, 2, 3]) {
        const found = [...window(n, phase), ...window(n)].map((change) => change.name);
        expect(found, `change ${n}, ${gap} windows apart, at ${phase}`).toContain(name);
        expect(new Set(found)).toEqual(new Set([name]));
        for (let w = 0; w < gap; w++) expect(window(n), `quiet after change ${n}`).toEqual([]);
      }
    }
  }
}

describe.each(Object.entries({ ...FORTH, ...BACK }))('%s, of all calls', (_, way) => {
  test('20 calls a window', () => changesThrice(way, 20, 1, 3));
  test('300 calls a window', () => changesThrice(way, 300, 1, 2));
  test('300 calls a window, long known', () => changesThrice(way, 300, 1, 20));
});

/** What the others still send is no news when one of them sends it again (docs/decisions/0026, price). */
describe.each(Object.entries(FORTH))('%s, of one of four clients', (_, way) => {
  test('600 calls a window', () => changesThrice(way, 600, 4, 3));
  test('400 calls a window, long known', () => changesThrice(way, 400, 4, 20));
});

test('a value that is another one in every window is told five times, and no more', () => {
  const window = windowsOf(300, 1, (n) => ({ set: [['X-Release', `blue-${'abcdefghij'[n % 10]}${n} of spring`]] }));
  const told: number[] = [];
  for (let n = 0; n < 40; n++) if (window(n).length > 0) told.push(n);
  expect(told).toEqual([1, 2, 3, 4, 5]);
});
