import { expect, test } from 'vitest';
import { Memory } from '../../base/memory.ts';
import type { FieldLine } from '../../model/fields.ts';
import { NameTable } from '../names.ts';
import { SharedLines } from './lines.ts';

function sharing(): (name: string, value: string) => FieldLine | null {
  const lines = new SharedLines(new NameTable());
  return (name, value) => {
    const memory = Memory.from(Buffer.from(value, 'latin1'));
    return lines.value(lines.nameLine(name), memory, 0, value.length);
  };
}

/** So many values are tried; far more than it takes to judge a name. */
const MANY = 1_000;

test('a value is shared from its second sight on, by name', () => {
  const seen = sharing();
  expect(seen('x-a', 'same')).toBeNull();
  const line = seen('x-a', 'same');
  expect(line?.value).toBe('same');
  expect(seen('x-a', 'same')).toBe(line);
  expect(seen('x-b', 'same')).toBeNull();
});

test('a name whose values come a few times each has none that is shared, and harms no other name', () => {
  const seen = sharing();
  let shared = 0;
  for (let i = 0; i < MANY; i++) {
    for (let n = 0; n < 5; n++) if (seen('x-time', `${i}`) !== null) shared++;
    for (let n = 0; n < 5; n++) seen('server', 'test');
  }
  // Those of the first values, which were taken on trust.
  expect(shared).toBeLessThan(MANY);
  expect(seen('x-time', '1')).toBeNull();
  expect(seen('x-time', '1')).toBeNull();
  expect(seen('server', 'test')?.value).toBe('test');
});

test('a name whose values come again and again later has them shared then', () => {
  const seen = sharing();
  for (let i = 0; i < MANY; i++) for (let n = 0; n < 2; n++) seen('x-mode', `${i}`);
  expect(seen('x-mode', 'on')).toBeNull();
  let sights = 0;
  while (seen('x-mode', 'on') === null && sights < 1_000_000) sights++;
  expect(seen('x-mode', 'on')?.value).toBe('on');
});
