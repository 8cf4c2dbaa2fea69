/** The command reference in docs/cli.md, made from the commander definitions; and the filter attributes from query/. */
import type { Command } from 'commander';
import { ATTRIBUTES } from '../../query/attributes.ts';
import { type CommandDoc, choicesText, describeCommand, flatten, optionText, synopsis } from './model.ts';

/** Markdown: a section for each command with its options. */
export function commandReference(program: Command): string {
  return flatten(describeCommand(program))
    .filter((command) => command.commands.length === 0)
    .map(commandMarkdown)
    .join('\n\n');
}

function commandMarkdown(command: CommandDoc): string {
  const lines = [
    `### headwater ${command.path.join(' ')}`,
    '',
    `\`${synopsis(command)}\``,
    '',
    `${command.description}.`,
  ];
  const rows = [
    ...command.arguments.map((a) => [a.text, a.description + choicesText(a.choices)]),
    ...command.options
      .filter((o) => o.long !== '--help')
      .map((o) => [optionText(o), o.description + choicesText(o.choices)]),
  ];
  if (rows.length > 0)
    lines.push('', '| | |', '|---|---|', ...rows.map(([name, text]) => `| \`${name}\` | ${cell(text!)} |`));
  return lines.join('\n');
}

/** Markdown: a table of what a filter can ask. */
export const attributeReference = (): string =>
  [
    '| Attribute | Type | Meaning |',
    '|---|---|---|',
    ...ATTRIBUTES.map(([name, type, meaning]) => `| \`${name}\` | ${plainType(type)} | ${cell(meaning)} |`),
  ].join('\n');

const plainType = (type: string): string =>
  ({ 'google.protobuf.Duration': 'duration', 'google.protobuf.Timestamp': 'timestamp', 'map<string, string>': 'map' })[
    type
  ] ?? type;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
