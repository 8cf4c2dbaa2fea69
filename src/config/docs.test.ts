import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { withGeneratedBlock } from '../../test/fixtures/generated-block.ts';
import { configJsonSchema, configKeyTable } from './docs.ts';
import { parseConfig } from './load.ts';

const docs = (name: string): URL => new URL(`../../docs/${name}`, import.meta.url);

test('docs/config.schema.json is what the schema says (vitest -u writes it)', async () => {
  await expect(`${JSON.stringify(configJsonSchema(), null, 2)}\n`).toMatchFileSnapshot('../../docs/config.schema.json');
});

test('the keys in docs/config.md are those of the schema (vitest -u writes them)', async () => {
  const text = withGeneratedBlock(docs('config.md'), 'keys', configKeyTable());
  await expect(text).toMatchFileSnapshot('../../docs/config.md');
});

test('keys have the type that they say', () => {
  expect(configKeyTable()).toContain('| `log.keep.slow` | duration |');
  expect(configKeyTable()).toContain('| `capture.window` | size | `8KiB` |');
});

test('every key has a description', () => {
  const bare: string[] = [];
  const visit = (node: { properties?: object; items?: object; description?: string }, path: string): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      if ((child.description ?? '') === '') bare.push(`${path}${key}`);
      visit(child, `${path}${key}.`);
      if (child.items !== undefined) visit(child.items, `${path}${key}[].`);
    }
  };
  visit(configJsonSchema(), '');
  expect(bare).toEqual([]);
});

test('the published schema and the program agree', () => {
  const validate = new Ajv2020({ strict: false }).compile(configJsonSchema());
  const cases: Array<[string, object]> = [
    ['{}', {}],
    ['{capture: {window: 16KiB}}', { capture: { window: '16KiB' } }],
    ['{capture: {window: big}}', { capture: { window: 'big' } }],
    ['{timeouts: {idle: 1m30s}}', { timeouts: { idle: '1m30s' } }],
    ['{timeouts: {idle: 90}}', { timeouts: { idle: '90' } }],
    ['{log: {compress: zip}}', { log: { compress: 'zip' } }],
    ['{nothing: 1}', { nothing: 1 }],
    ['{services: [{name: a, match: {port: 80}}]}', { services: [{ name: 'a', match: { port: 80 } }] }],
    ['{services: [{match: {port: 80}}]}', { services: [{ match: { port: 80 } }] }],
  ];
  for (const [text, value] of cases) expect([text, validate(value)]).toEqual([text, parseConfig(text, 'c').ok]);
});

test('the example in docs/config.md is a valid configuration', () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(readFileSync(docs('config.md'), 'utf8'))?.[1] ?? '';
  expect(example).not.toBe('');
  expect(parseConfig(example, 'docs/config.md')).toMatchObject({ ok: true });
});
