/** TLS statistics by the minute: in memory, in the store, over a range. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TlsFacts } from '../../../src/model/tls.ts';
import { STATE_KIND, storedReport } from '../../../src/query/states.ts';
import { TlsMinutes } from '../../../src/stats/tls-minutes.ts';
import { readStore } from '../../../src/store/reader.ts';
import { validReport } from '../report-schema.ts';
import { NOW_MS, StoreRig } from '../store-rig.ts';

const MINUTE_MS = 60_000;
const FIRST = Math.floor(NOW_MS / MINUTE_MS);

const facts = (of: Partial<TlsFacts>): TlsFacts => Object.assign(new TlsFacts(), of);

/** Three minutes of two services, with a name of its own in each, and a minute that comes back late. */
function filled(): TlsMinutes {
  const minutes = new TlsMinutes();
  for (const [minute, count] of [
    [0, 5],
    [1, 7],
    [130, 11],
    [0, 2],
  ] as const) {
    for (let i = 0; i < count; i++) {
      const resumed = i % 2 === 0;
      const of = {
        version: '1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        alpn: 'h2',
        ja4: `t13d-${minute}`,
        sni: `m${minute}.test`,
        resumed,
      };
      minutes.observe(
        'web',
        'server',
        facts({ ...of, handshakeNs: 1e6 * (i + 1), certificateNotAfter: 2e9 - minute }),
        FIRST + minute,
      );
      minutes.observe('api', 'client', facts({ version: '1.2', resumed: null }), FIRST + minute);
    }
  }
  return minutes;
}

let data: string;
beforeEach(() => {
  data = join(mkdtempSync(join(tmpdir(), 'headwater-')), 'data');
});
afterEach(() => rmSync(join(data, '..'), { recursive: true, force: true }));

test('memory answers for whole minutes, open ones too', () => {
  const minutes = filled();
  const at = (from: number, to: number) => minutes.range((FIRST + from) * MINUTE_MS, (FIRST + to) * MINUTE_MS).report();
  expect(at(0, 200)).toEqual(minutes.total.report());
  expect(at(0, 1)[0]).toMatchObject({ service: 'api', connections: 7, resumption: null });
  expect(at(1, 2).find(({ service }) => service === 'web')).toMatchObject({
    connections: 7,
    resumption: 4 / 7,
    server_names: { 'm1.test': 7 },
    handshake: { max: 7e6, mean: 4e6 },
  });
  expect(at(2, 130)).toEqual([]);
});

test('ended minutes are handed over once, and merged they are the whole', () => {
  const minutes = filled();
  minutes.finish();
  const { states, lost } = minutes.ended();
  expect(states.map(({ minute, service }) => [minute - FIRST, service])).toEqual(
    [0, 1, 130, 0].flatMap((minute) => [
      [minute, 'web'],
      [minute, 'api'],
    ]),
  );
  expect(lost).toBe(0);
  expect(minutes.ended().states).toEqual([]);
});

test('a certificate that was renewed is forgotten after a day or two, one that is still shown is not', () => {
  const minutes = new TlsMinutes();
  const DAY = 24 * 60;
  const ends = (): Record<string, number | null> =>
    Object.fromEntries([...minutes.total].map(({ service, state }) => [service, state.certificateNotAfter]));
  for (let minute = 0; minute < 4 * DAY; minute += 10) {
    minutes.advance(minute);
    minutes.observe('renewed', 'server', facts({ certificateNotAfter: minute < DAY ? 1e9 : 2e9 }), minute);
    minutes.observe('shown', 'server', facts({ certificateNotAfter: 1e9 }), minute);
    if (minute === 0) minutes.observe('silent', 'server', facts({ certificateNotAfter: 1e9 }), minute);
    expect(ends()['shown']).toBe(1e9);
    if (minute < DAY) expect(ends()).toEqual({ renewed: 1e9, shown: 1e9, silent: 1e9 });
  }
  expect(ends()).toEqual({ renewed: 2e9, shown: 1e9, silent: null });
  // What is kept of each minute is not forgotten.
  expect([...minutes.range(0, MINUTE_MS)].map(({ state }) => state.certificateNotAfter)).toEqual([1e9, 1e9, 1e9]);
});

test('names that peers make up take bounded memory; minutes that nobody took are counted', () => {
  const minutes = new TlsMinutes();
  for (let minute = 0; minute < 400; minute++)
    for (let i = 0; i < 300; i++)
      minutes.observe(
        `s${i % 5}`,
        'server',
        facts({ sni: `${'x'.repeat(100)}${minute}-${i}`, ja4: `${'j'.repeat(36)}${i}` }),
        minute,
      );
  minutes.finish();
  const { states, lost } = minutes.ended();
  expect(states.length + lost).toBe(2_000);
  expect(states.reduce((sum, { state }) => sum + state.length, 0)).toBeLessThanOrEqual(8 << 20);
  expect(lost).toBeGreaterThan(0);
  expect(minutes.sinceMs).toBeGreaterThan(0);
  expect(minutes.total.report().reduce((sum, { connections }) => sum + connections, 0)).toBe(120_000);
});

test('the store answers for a range what memory would, from minutes and from merged hours', async () => {
  const minutes = filled();
  minutes.finish();
  const rig = await new StoreRig(data).open();
  rig.call({});
  for (const { minute, service, side, state } of minutes.ended().states) {
    const key = { service, side, method: '', route: '', kind: STATE_KIND.tls };
    expect(rig.store.writer.state({ level: 'minute', startMs: minute * MINUTE_MS, ...key }, state)).toBe(true);
  }
  await rig.store.close(NOW_MS + 131 * MINUTE_MS, 1, []);
  const opened = await readStore(data);
  if (!opened.ok) throw new Error(opened.message);
  using reader = { ...opened, [Symbol.dispose]: () => opened.reader.close() };
  for (const [from, to] of [
    [0, 1],
    [1, 2],
    [0, 60],
    [0, 240],
    [100, 200],
  ] as const) {
    const [since, until] = [(FIRST + from) * MINUTE_MS, (FIRST + to) * MINUTE_MS];
    const report = await storedReport(reader.reader, since, until, NOW_MS + 240 * MINUTE_MS);
    if (!report.ok) throw new Error(report.error.message);
    expect(report.value.tls).toEqual(minutes.range(since, until).report());
    expect(validReport(report.value), JSON.stringify(validReport.errors)).toBe(true);
  }
});
