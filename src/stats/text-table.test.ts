import { expect, test } from 'vitest';
import { type Table, textTable } from './text-table.ts';

const table = (rows: readonly (readonly string[])[]): Table => ({
  title: 'Calls',
  head: ['service', 'route', 'calls', 'classes'],
  numeric: [false, false, true, false],
  rows,
  spare: ['classes'],
});
const lines = (rows: readonly (readonly string[])[], columns: number): string[] =>
  textTable(table(rows), columns).split('\n');

const TWO = [
  ['gateway:11760 (server)', '/v1/users/{id}/orders', '12', '401 3, 404 7'],
  ['gateway:11764 (server)', '/v1/users/{id}/items', '7', ''],
];

test('where there is room, everything is shown as it is', () => {
  expect(lines(TWO, 80)[2]).toBe('gateway:11760 (server)  /v1/users/{id}/orders     12  401 3, 404 7');
  expect(lines(TWO, 80)[0]).toBe('Calls');
});

test('a side that all have is said once before anything is cut', () => {
  expect(lines(TWO, 60)).toEqual([
    'Calls, server side',
    'service        route                  calls  classes',
    'gateway:11760  /v1/users/{id}/orders     12  401 3, 404 7',
    'gateway:11764  /v1/users/{id}/items       7',
  ]);
  const both = [TWO[0]!, ['gateway:11764 (client)', ...TWO[1]!.slice(1)]];
  expect(lines(both, 60)[0]).toBe('Calls');
});

test('names are cut in the middle, so that what tells them apart stays', () => {
  const [, , first, second] = lines(TWO, 50);
  expect(first).toBe('gateway:11760  /v1/us...rders     12  401 3, 404 7');
  expect(second).toBe('gateway:11764  /v1/us...items      7');
});

test('at any width a line is no longer than that, and columns that go are named', () => {
  for (let columns = 30; columns < 90; columns++)
    for (const line of lines(TWO, columns)) expect(line.length, `${columns}: ${line}`).toBeLessThanOrEqual(columns);
  expect(lines(TWO, 36).slice(0, 2).join('').replace(/\s+/g, ' ')).toContain('not shown here: classes');
});

test('a time is whole or not there', () => {
  const first: Table = {
    title: 'First errors',
    head: ['class', 'first', 'route', 'example'],
    numeric: [false, false, false, false],
    rows: [['server_error', '2026-11-23T22:20:28.123Z', '/v1/users/{id}/orders', 'a1b2c3d4-17-3']],
    spare: ['route', 'first'],
  };
  for (let columns = 36; columns < 90; columns++) {
    const text = textTable(first, columns);
    expect(text.includes('2026'), text).toBe(text.includes('2026-11-23T22:20:28.123Z'));
  }
  expect(textTable(first, 60)).toContain('22:20:28');
});
