import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultConfig } from './defaults.ts';
import { CONFIG_BYTES_MAX, formatConfigError, loadConfig, parseConfig } from './load.ts';
import { overlayFlags } from './overlay.ts';
import type { Config } from './schema.ts';

const errorsOf = (text: string): string[] => {
  const result = parseConfig(text, 'c.yaml');
  return result.ok ? [] : result.errors.map(formatConfigError);
};

function configOf(text: string): Config {
  const result = parseConfig(text, 'c.yaml');
  if (!result.ok) throw new Error(result.errors.map(formatConfigError).join('\n'));
  return result.config;
}

describe('every mistake is named with its place, its path and what was expected', () => {
  test.each<[string, string, string[]]>([
    ['an unknown key', 'caputre: 1', ['c.yaml:1:1: caputre: unknown key; did you mean "capture"?']],
    [
      'an unknown key inside',
      'capture:\n  windw: 1',
      ['c.yaml:2:3: capture.windw: unknown key; did you mean "window"?'],
    ],
    [
      'an unknown key far from any',
      'timeouts:\n  zzzzzzzz: 1',
      ['c.yaml:2:3: timeouts.zzzzzzzz: unknown key; known here: response, idle'],
    ],
    [
      'a key of a list entry',
      'services:\n- name: a\n  match: {prot: 80}',
      [
        'c.yaml:3:11: services[0].match.prot: unknown key; did you mean "port"?',
        'c.yaml:3:10: services[0].match: expected at least one of port, process, unit, cgroup, got a mapping',
      ],
    ],
    ['text for a list', 'cgroups: x', ['c.yaml:1:10: cgroups: expected a list, got "x"']],
    [
      'two mistakes, in the order of the file',
      'capture:\n  window: big\n  ring: 3MiB',
      [
        'c.yaml:2:11: capture.window: expected a size, such as 16MiB, got "big"',
        'c.yaml:3:9: capture.ring: expected a power of two, such as 16MiB, got 3145728',
      ],
    ],
    [
      'a wrong choice',
      'log: {compress: zip}',
      ['c.yaml:1:17: log.compress: expected one of none, gzip, zstd, got "zip"; did you mean "gzip"?'],
    ],
    ['out of range', 'log: {keep: {share: 2}}', ['c.yaml:1:21: log.keep.share: expected a number of at most 1, got 2']],
    ['a missing key', 'services:\n- match: {port: 1}', ['c.yaml:2:3: services[0].name: missing; expected text']],
    [
      'a number without its unit',
      'timeouts: {response: 5}',
      ['c.yaml:1:22: timeouts.response: expected a duration, such as 200ms, got 5'],
    ],
    ['no address', 'listen: foo', ['c.yaml:1:9: listen: expected ADDR:PORT, such as 127.0.0.1:9464, got "foo"']],
    [
      'not a header name',
      'redact: {sensitive: ["a b"]}',
      ['c.yaml:1:22: redact.sensitive[0]: expected a header name; \'*\' stands for any characters, got "a b"'],
    ],
    ['a list at the top', '[1]', ['c.yaml:1:1: expected a mapping of keys to values, got a list']],
    [
      'a prototype',
      '__proto__: {x: 1}',
      [expect.stringMatching(/^c\.yaml:1:1: __proto__: unknown key/) as unknown as string],
    ],
    ['a duplicate key', 'filter: a\nfilter: b', ['c.yaml:2:1: map keys must be unique']],
    [
      'an unknown tag',
      'filter: !!js/function x',
      [expect.stringMatching(/^c\.yaml:1:9: unresolved tag/) as unknown as string],
    ],
    ['no YAML', 'a: [', [expect.stringMatching(/^c\.yaml:1:\d+: flow sequence/) as unknown as string]],
    ['a missing anchor', 'filter: *b', [expect.stringMatching(/unresolved alias/) as unknown as string]],
  ])('%s', (_, text, expected) => expect(new Set(errorsOf(text))).toEqual(new Set(expected)));

  test('a bomb of aliases is refused', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 10; i++)
      lines.push(
        `${String.fromCharCode(97 + i)}: &${String.fromCharCode(97 + i)} [${Array(10)
          .fill(`*${String.fromCharCode(96 + i)}`)
          .join(',')}]`,
      );
    expect(errorsOf(lines.join('\n'))).toEqual([expect.stringContaining('xcessive alias count')]);
  });

  test('any text gives a config or errors with a place, and never throws', () => {
    const word = fc.constantFrom(
      'log',
      'capture',
      'window',
      ':',
      ' ',
      '\n',
      '  ',
      '-',
      '[',
      ']',
      '{',
      '}',
      '&a',
      '*a',
      '!!x',
      '"',
      "'",
      '|',
      '>',
      '1',
      'x',
      '#',
      '? ',
      '\t',
      '\u0000',
      'é',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 40 }).map((w) => w.join('')),
        ),
        (text) => {
          const result = parseConfig(text, 'c.yaml');
          if (result.ok) return;
          expect(result.errors.length).toBeGreaterThan(0);
          for (const error of result.errors) {
            expect(error.line).toBeGreaterThan(0);
            expect(error.column).toBeGreaterThan(0);
            expect(error.message).not.toBe('');
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

test('an empty file, and empty sections, give the defaults', () => {
  expect(configOf('')).toEqual(defaultConfig());
  expect(configOf('# nothing\nlog:\n  # file: x\ncapture:\n')).toEqual(defaultConfig());
});

test('units are bytes and nanoseconds, header names are lower-case', () => {
  const config = configOf(
    'capture: {window: 16KiB}\ntimeouts: {response: 2s}\nredact: {sensitive: [X-Custom, "X-*-Token"]}\nlog: {keep: {slow: 200ms}}',
  );
  expect(config.capture.window).toBe(16_384);
  expect(config.timeouts.response).toBe(2e9);
  expect(config.redact.sensitive).toEqual(['x-custom', 'x-*-token']);
  expect(config.log.keep.slow).toBe(2e8);
});

test('flags win over the file, the file over the defaults', () => {
  const file = configOf('cgroups: [/a]\nlog: {file: /var/log/a, queue: 1MiB}\nwindow: 10s');
  expect(overlayFlags(file, {})).toEqual(file);
  const both = overlayFlags(file, {
    cgroups: ['/b'],
    log: '-',
    filter: 'true',
    statsOnly: true,
    verifyTags: true,
    window: 5e9,
    socket: '/s',
    listen: ':1',
  });
  expect(both).toMatchObject({
    cgroups: ['/b'],
    filter: 'true',
    stats_only: true,
    tls: { ...file.tls, verify_tags: true },
    window: 5e9,
    socket: '/s',
    listen: ':1',
  });
  expect(both.log).toEqual({ ...file.log, file: '-' });
});

describe('files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'headwater-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const messageOf = (file: string): string => {
    const result = loadConfig(file);
    return result.ok ? 'ok' : result.errors.map(formatConfigError).join('\n');
  };

  test('a good one', () => {
    const file = join(folder, 'good.yaml');
    writeFileSync(file, 'filter: response.code >= 500\n');
    const result = loadConfig(file);
    expect(result).toMatchObject({ ok: true, config: { filter: 'response.code >= 500' } });
    if (result.ok) expect(result.locate(['filter'])).toEqual({ file, line: 1, column: 9 });
  });

  test('none, a folder, one that is too long', () => {
    const long = join(folder, 'long.yaml');
    writeFileSync(long, '#'.repeat(CONFIG_BYTES_MAX + 1));
    expect(messageOf(join(folder, 'none.yaml'))).toBe(`${join(folder, 'none.yaml')}: no such file`);
    expect(messageOf(folder)).toBe(`${folder}: is a directory, expected a YAML file`);
    for (const path of [long, '/dev/zero']) expect(messageOf(path)).toContain('longer than the 1048576 bytes');
  });

  test.skipIf(process.getuid?.() === 0)('one that may not be read', () => {
    const file = join(folder, 'closed.yaml');
    writeFileSync(file, '');
    chmodSync(file, 0);
    expect(messageOf(file)).toBe(`${file}: permission denied`);
  });
});
