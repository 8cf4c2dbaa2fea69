import { expect, test } from 'vitest';
import { Connection } from '../../model/connection.ts';
import { Exchange } from '../../model/exchange.ts';
import { FieldLine, HeaderName } from '../../model/fields.ts';
import { Message } from '../../model/message.ts';
import { Fingerprinter } from '../../redact/fingerprint.ts';
import { CredentialPolicy } from '../../redact/policy.ts';
import { redactor } from '../../redact/redacted.ts';
import type { SeriesKey } from '../series.ts';
import type { Change } from './changes.ts';
import { headerRows } from './rows.ts';
import type { HeaderState } from './state.ts';
import { HeaderWatch } from './watch.ts';

const name = new HeaderName(1, 'server');
const line = (value: string): FieldLine => new FieldLine(name, 'Server', value);

test('calls of a series reach the window of their minute, both directions, with times and ids of their own', () => {
  const windows: { state: HeaderState; changes: readonly Change[] }[] = [];
  const watch = new HeaderWatch({
    key: Buffer.alloc(8, 1),
    id: (connection, ordinal) => `run-${connection.id}-${ordinal}`,
    window: (state, changes) => windows.push({ state, changes }),
  });
  const key = { service: 'api', side: 'server', method: 'GET', route: '/' } as SeriesKey;
  const observer = watch.series(key)!;
  const redact = redactor(new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 1))));
  const start = Date.parse('2026-11-22T16:00:00Z');
  const x = new Exchange();
  x.connection = new Connection(7, { address: '127.0.0.1', port: 1 }, { address: '127.0.0.1', port: 2 });
  x.request = new Message();
  x.response = new Message();
  const lines = [line('nginx/1'), line('nginx/2')];
  for (let minute = 0; minute < 2; minute++) {
    for (let i = 0; i < 100; i++) {
      x.ordinal++;
      x.response.fields.clear();
      x.response.fields.push(lines[minute]!, 0, 7);
      observer.observe(redact(x), start + minute * 60_000 + i * 100);
    }
    expect(watch.running().groups.size).toBe(2);
    watch.sealed();
  }
  watch.flush();
  expect(windows.length).toBe(2);
  expect(new Date(windows[0]!.state.from).toISOString()).toBe('2026-11-22T16:00:00.000Z');
  expect(
    windows.map(({ changes }) => changes.map(({ kind, direction, name: header }) => `${kind} ${direction} ${header}`)),
  ).toEqual([[], ['value_new response server', 'value_vanished response server']]);
  expect(windows[1]!.changes[0]).toMatchObject({
    at: '2026-11-22T16:01:09.900Z',
    before: 'nginx/1',
    after: 'nginx/2',
    example: 'run-7-101',
  });
  const rows = headerRows(windows[1]!.state, key, windows[0]!.state).filter((row) => row.name === 'server');
  expect(rows).toMatchObject([
    {
      direction: 'response',
      n: 100,
      first_seen: '2026-11-22T16:01:00.000Z',
      last_seen: '2026-11-22T16:01:09.900Z',
      drift: { alarm: true },
    },
  ]);
});
