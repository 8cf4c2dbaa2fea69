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
