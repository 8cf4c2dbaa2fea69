import { describe, expect, test } from 'vitest';
import { formatSize, parseDuration, parseListen, parseSize } from './units.ts';

describe('parseSize', () => {
  test.each([
    ['4096', 4_096],
    [4_096, 4_096],
    ['64KiB', 65_536],
    ['64 kib', 65_536],
    ['1.5M', 1_572_864],
    ['1GB', 1e9],
    ['0', 0],
    ['12B', 12],
  ])('%s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    '',
    'big',
    '-1',
    '1TiB',
    '1.5',
    '0.3KiB',
    '1 2',
    '1e3',
    'constructor',
    Number.NaN,
    -5,
    1.5,
    2 ** 60,
    '9007199254740993',
  ])('%s is refused', (text) => expect(parseSize(text)).toBeNull());
});

describe('parseDuration', () => {
  test.each([
    ['200ms', 2e8],
    ['1.5s', 1.5e9],
    ['1m30s', 9e10],
    ['7d', 604_800e9],
    ['0', 0],
    [0, 0],
    ['10us', 1e4],
    ['10µs', 1e4],
  ])('%s is %d ns', (text, ns) => expect(parseDuration(text)).toBe(ns));

  test.each(['', '5', 5, '-1s', '1 s', 's', '1x', '1s2', '1000000000d'])('%s is refused', (text) =>
    expect(parseDuration(text)).toBeNull(),
  );
});

describe('parseListen', () => {
  test.each([
    ['127.0.0.1:9464', '127.0.0.1', 9_464],
    ['[::1]:80', '::1', 80],
    [':0', '::', 0],
    ['localhost:65535', 'localhost', 65_535],
  ])('%s', (text, host, port) => expect(parseListen(text)).toEqual({ host, port }));

  test.each(['', '80', 'host', 'host:', 'host:65536', '::1:80', '[::1]80', 'a b:80', 'host:8o'])(
    '%s is refused',
    (text) => expect(parseListen(text)).toBeNull(),
  );
});

test.each([
  [0, '0 B'],
  [1_023, '1023 B'],
  [65_536, '64 KiB'],
  [1_572_864, '1.5 MiB'],
  [2 ** 40, '1 TiB'],
])('%d bytes are shown as %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
