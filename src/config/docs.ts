/** The published descriptions of the configuration, made from the schema. A test keeps docs/ equal to them. */
import { z } from 'zod';
import { configSchema } from './schema.ts';

interface SchemaNode {
  description?: string;
  type?: string | string[];
  default?: unknown;
  enum?: string[];
  pattern?: string;
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
}

/** JSON Schema (draft 2020-12) of the file as people write it. */
export function configJsonSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: 'input' });
  return { $schema, title: 'Headwater configuration', ...rest };
}

/** A Markdown table of every key: path, type, default, meaning. */
export function configKeyTable(): string {
  const rows = ['| Key | Type | Default | Meaning |', '|---|---|---|---|'];
  const visit = (node: SchemaNode, path: string): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const inner = child.items ?? child;
      const here = `${path}${key}${child.items === undefined ? '' : '[]'}`;
      const leaf = inner.properties === undefined;
      const meaning = (child.description ?? inner.description ?? '').replaceAll('|', '\\|');
      rows.push(`| \`${here}\` | ${typeText(child)} | ${leaf ? defaultText(child.default) : ''} | ${meaning} |`);
      visit(inner, `${here}.`);
    }
  };
  visit(configJsonSchema() as SchemaNode, '');
  return rows.join('\n');
}

function typeText(node: SchemaNode): string {
  if (node.items !== undefined) return `list of ${typeText(node.items)}`;
  if (node.enum !== undefined) return node.enum.join(', ');
  if (node.properties !== undefined) return 'section';
  if (Array.isArray(node.type)) return node.pattern?.includes('ms') === true ? 'duration' : 'size';
  return { string: 'text', integer: 'whole number' }[String(node.type)] ?? String(node.type);
}

const defaultText = (value: unknown): string =>
  value === undefined || value === '' || (Array.isArray(value) && value.length === 0) ? '' : `\`${String(value)}\``;
