/** The commander definitions as plain data: what completions, the man page and docs/cli.md are made from. */
import type { Argument, Command, Option } from 'commander';

/** What the shell offers for a value. */
type ValueKind = 'file' | 'folder' | 'choices' | 'text';

export interface OptionDoc {
  /** "-h" or "". */
  readonly short: string;
  /** "--help". */
  readonly long: string;
  /** "<file>" or "" for a switch. */
  readonly value: string;
  readonly kind: ValueKind;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface ArgumentDoc {
  /** "<file...>", "[command]". */
  readonly text: string;
  readonly kind: ValueKind;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface CommandDoc {
  /** ["config", "check"]; [] is the program itself. */
  readonly path: readonly string[];
  readonly description: string;
  readonly options: readonly OptionDoc[];
  readonly arguments: readonly ArgumentDoc[];
  readonly commands: readonly CommandDoc[];
}

export function describeCommand(command: Command, path: readonly string[] = []): CommandDoc {
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    options: help.visibleOptions(command).map(describeOption),
    arguments: command.registeredArguments.map((argument) => ({
      text: argumentText(argument),
      kind: kindOf(argument.name(), argument.argChoices),
      choices: argument.argChoices ?? [],
      description: argument.description,
    })),
    commands: help.visibleCommands(command).map((child) => describeCommand(child, [...path, child.name()])),
  };
}

function argumentText(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** Every command that does something, in the order of definition; the program itself first. */
export function flatten(command: CommandDoc): CommandDoc[] {
  return [command, ...command.commands.flatMap(flatten)];
}

/** `headwater config check <file>`. */
export const synopsis = (command: CommandDoc): string =>
  [
    'headwater',
    ...command.path,
    ...(command.options.length > 0 ? ['[options]'] : []),
    ...command.arguments.map((a) => a.text),
  ].join(' ');

/** `--filter <cel>`, `-h, --help`. */
export const optionText = (option: OptionDoc): string =>
  `${option.short === '' ? '' : `${option.short}, `}${option.long}${option.value === '' ? '' : ` ${option.value}`}`;

/** The description, with its choices and its default. */
export const choicesText = (choices: readonly string[]): string =>
  choices.length === 0 ? '' : ` (${choices.join(', ')})`;

function describeOption(option: Option): OptionDoc {
  const value = /<.+>/.exec(option.flags)?.[0] ?? '';
  return {
    short: option.short ?? '',
    long: option.long ?? '',
    value,
    kind: kindOf(value.slice(1, -1), option.argChoices),
    choices: option.argChoices ?? [],
    description:
      option.description + (typeof option.defaultValue === 'string' ? ` (default: ${option.defaultValue})` : ''),
  };
}

function kindOf(name: string, choices: readonly string[] | undefined): ValueKind {
  if (choices !== undefined && choices.length > 0) return 'choices';
  if (name === 'file' || name === 'path') return 'file';
  return name === 'dir' ? 'folder' : 'text';
}
