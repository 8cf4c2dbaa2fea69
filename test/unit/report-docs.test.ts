/** docs/report.md names every field of the published schema. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema | false;
  readonly oneOf?: readonly Schema[];
}
const read = (path: string): string => readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8');

function paths({ properties = {} }: Schema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    if (path === 'errors.classes' || path === 'classes') return [path, ...Object.keys(field.properties!)];
    if (field.items) return [path, ...paths(field.items, `${path}[].`)];
    return [path, ...[field, ...(field.oneOf ?? [])].flatMap((one) => paths(one, `${path}.`))];
  });
}

test('every field is in the page, below its own heading', () => {
  const schema = JSON.parse(read('report.schema.json')) as Schema & {
    readonly $defs: Readonly<Record<string, Schema>>;
  };
  const sections = new Map(
    read('report.md')
      .split('\n## ')
      .map((text) => [text.slice(0, text.indexOf('\n')), text]),
  );
  const { range, interval: _, ...named } = schema.$defs;
  const expected: [string, string[]][] = [
    ['The whole', [...paths(schema), ...paths(range!, 'range.')]],
    ...Object.entries(named).map(([name, field]): [string, string[]] => [name, paths(field)]),
  ];
  for (const [section, fields] of expected) {
    expect(fields.length).toBeGreaterThan(1);
    for (const field of fields) expect(sections.get(section), `${section}: ${field}`).toContain(`\`${field}\``);
  }
});
