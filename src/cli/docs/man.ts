/** The manual page headwater(1), made from the commander definitions. man(7) macros. */
import type { Command } from 'commander';
import { type CommandDoc, choicesText, describeCommand, flatten, optionText, synopsis } from './model.ts';

const EXIT_CODES: ReadonlyArray<readonly [string, string]> = [
  ['0', 'Done.'],
  ['1', 'Done, and the answer is bad: doctor found something that blocks, demo captured nothing.'],
  ['2', 'Wrong usage or unreadable input, named in one line on standard error.'],
  ['3', 'The machine or its permissions do not allow it; standard error says what to do.'],
];

/** roff source of the page. */
export function manPage(program: Command): string {
  const root = describeCommand(program);
  const commands = flatten(root).filter((command) => command.commands.length === 0);
  return `${[
    `.TH HEADWATER 1 "" "headwater ${roff(program.version() ?? '')}" "User Commands"`,
    '.SH NAME',
    `headwater \\- ${roff(lowerFirst(root.description.replace(/\.$/, '')))}`,
    '.SH SYNOPSIS',
    '.B headwater',
    '.I command',
    '[\\fIoptions\\fR]',
    '.SH DESCRIPTION',
    'Headwater captures HTTP calls (HTTP/1 and HTTP/2, in clear and inside TLS) on a Linux host by eBPF programs: nothing is changed in the applications.',
    'It shows the header fields of every call, redacts credentials, and keeps a ledger of what it could not show, by reason.',
    '.SH OPTIONS',
    ...root.options.flatMap((option) => ['.TP', `\\fB${roff(optionText(option))}\\fR`, roff(option.description)]),
    '.SH COMMANDS',
    ...commands.flatMap(commandSection),
    '.SH FILTERS',
    'A filter is an expression in the Common Expression Language with the attribute names of Envoy:',
    '.PP',
    '.RS',
    '.nf',
    roff('request.method == "POST" && response.code >= 500 && duration > duration("200ms")'),
    '.fi',
    '.RE',
    '.SH EXIT STATUS',
    ...EXIT_CODES.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, roff(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B NO_COLOR',
    'Set and not empty: no colour on a terminal.',
    '.SH FILES',
    '.TP',
    '.I /run/headwater/headwater.sock',
    roff("The agent's socket when root runs it; else headwater.sock below $XDG_RUNTIME_DIR/headwater."),
  ].join('\n')}\n`;
}

function commandSection(command: CommandDoc): string[] {
  return [
    `.SS ${roff(synopsis(command))}`,
    roff(`${upperFirst(command.description)}.`),
    ...command.arguments.flatMap((argument) => [
      '.TP',
      `\\fI${roff(argument.text)}\\fR`,
      roff(argument.description + choicesText(argument.choices)),
    ]),
    ...command.options.flatMap((option) => [
      '.TP',
      `\\fB${roff(optionText(option))}\\fR`,
      roff(option.description + choicesText(option.choices)),
    ]),
  ];
}

/** Text as roff prints it: hyphens that can be copied, no escapes, no control lines. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll("'", '\\(aq').replaceAll('"', '\\(dq');
  return escaped.startsWith('.') ? `\\&${escaped}` : escaped;
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
const upperFirst = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
