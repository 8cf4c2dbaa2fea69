/**
 * Mutated filters and configurations: an answer or an error with its place, never an exception. Seeded, so that a failure
 * repeats; HEADWATER_FUZZ sets the number of mutations (200,000 of them in CI).
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { compileFilter } from '../../src/query/filter.ts';
import { RecordSubject } from '../../src/query/record-subject.ts';
import { sampleRecord } from '../fixtures/samples.ts';

const MUTATIONS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
/** A configuration costs some 50 times what a filter costs. */
const CONFIG_MUTATIONS = MUTATIONS / 50;

/** Mulberry32: small, seeded, good enough to choose mutations. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** One to four edits: delete, repeat, swap with a piece of another input, insert an odd character. */
function mutate(text: string, others: readonly string[], pick: (below: number) => number): string {
  const odd = [
    '\u0000',
    '"',
    "'",
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    '\\',
    '\n',
    '\t',
    ' ',
    '.',
    ':',
    ',',
    '&',
    '*',
    '!',
    '-',
    '#',
    '|',
    '?',
    '9',
    'é',
    '\ud83d',
    '\u2028',
  ];
  let result = text;
  for (let edits = 1 + pick(4); edits > 0; edits--) {
    const at = pick(result.length + 1);
    const length = 1 + pick(8);
    const other = others[pick(others.length)]!;
    const from = pick(other.length);
    const pieces = [
      '',
      result.slice(at, at + length).repeat(2),
      other.slice(from, from + length),
      odd[pick(odd.length)]!,
    ];
    const removed = pick(2) === 0 ? length : 0;
    result = result.slice(0, at) + pieces[pick(pieces.length)] + result.slice(at + removed);
  }
  return result;
}

const FILTERS = [
  'request.method == "POST" && response.code >= 500 && "x-request-id" in request.headers && duration > duration("200ms")',
  'request.headers.exists(name, name.startsWith("x-") && request.headers[name].contains("1"))',
  'has(response.code) ? response.code in [200, 204, 304] : outcome != "complete"',
  'request.path.matches("^/v[0-9]+/users/[0-9a-f-]{36}([?]|$)") || route == "/v1/users/{id}"',
  '!(source.address == "127.0.0.1") && destination.port != 8080 && process.pid > 1 && process.name.size() < 16',
  'request.time > timestamp("2026-01-01T00:00:00Z") && int(request.total_size) * 2 > response.total_size - 1',
  'request.path.split("/").filter(part, part != "").size() == 3 && string(response.code).endsWith("0")',
  '[1, 2, 3].exists(x, x + 198 == response.code) && {"a": 1}["a"] == 1 && b"x" != b"y" && 1.5 < 2.0 && 1u == 1u',
];

test('mutated filters compile or say why, and give true or false', { timeout: 600_000 }, () => {
  const pick = random(1);
  const whole = sampleRecord();
  const subjects = [
    whole,
    sampleRecord({ request: null, process: null, ts: null }),
    sampleRecord({
      response: null,
      request: { ...whole.request!, target: `/${'a'.repeat(20_000)}`, headers: Array(500).fill(['x-a', '1']) },
    }),
  ].map((record) => new RecordSubject(record));
  let compiled = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    const text = mutate(FILTERS[pick(FILTERS.length)]!, FILTERS, pick);
    const result = compileFilter(text);
    if (!result.ok) {
      const { line, column, message, excerpt } = result.error;
      if (!(line >= 1 && column >= 1 && message !== '' && excerpt.includes('^')))
        throw new Error(JSON.stringify([text, result.error]));
      continue;
    }
    compiled++;
    for (const subject of subjects) {
      if (typeof result.filter.matches(subject) !== 'boolean') throw new Error(JSON.stringify(text));
    }
  }
  // The mutations are mild enough to reach evaluation.
  expect(compiled).toBeGreaterThan(MUTATIONS / 50);
});

test('mutated configurations are read or refused with a place', { timeout: 600_000 }, () => {
  const pick = random(2);
  const example = /```yaml\n([\s\S]*?)```/.exec(
    readFileSync(new URL('../../docs/config.md', import.meta.url), 'utf8'),
  )![1]!;
  const others = [
    example,
    'a: &a [1, 2]\nb: *a\n',
    'filter: |\n  true\n',
    '? x\n: y\n',
    '%YAML 1.2\n---\n',
    '!!binary aGk=',
    'log: {keep: {share: .inf}}',
  ];
  let refused = 0;
  for (let i = 0; i < CONFIG_MUTATIONS; i++) {
    const text = mutate(example, others, pick);
    const result = parseConfig(text, 'c.yaml');
    if (result.ok) continue;
    refused++;
    for (const { line, column, message } of result.errors) {
      if (!(line >= 1 && column >= 1 && message !== '')) throw new Error(JSON.stringify([text, result.errors]));
    }
  }
  expect(refused).toBeGreaterThan(CONFIG_MUTATIONS / 50);
  expect(refused).toBeLessThan(CONFIG_MUTATIONS);
});
