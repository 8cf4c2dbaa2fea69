/** Completion scripts, made from the commander definitions. */
import type { Command } from 'commander';
import { unreachable } from '../../base/assert.ts';
import type { Shell } from '../flags.ts';
import { type ArgumentDoc, type CommandDoc, describeCommand, flatten, type OptionDoc } from './model.ts';

/** A script for `shell` that completes commands, options and their values. */
export function completionScript(program: Command, shell: Shell): string {
  const root = describeCommand(program);
  switch (shell) {
    case 'bash':
      return bash(root);
    case 'zsh':
      return zsh(root);
    case 'fish':
      return fish(root);
    default:
      return unreachable(shell);
  }
}

const flags = (option: OptionDoc): string[] => [option.short, option.long].filter((flag) => flag !== '');
const takesValue = (option: OptionDoc): boolean => option.value !== '';
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

// ---- bash

function bash(root: CommandDoc): string {
  const commands = flatten(root);
  return `# bash completion for headwater. Made by: headwater completion bash
_headwater() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$command $word" in
${commands
  .filter((command) => command.path.length > 0)
  .map(
    (command) =>
      `      ${quote(`${command.path.slice(0, -1).join('_')} ${command.path.at(-1)}`)}) command=${command.path.join('_')} ;;`,
  )
  .join('\n')}
    esac
  done
  case "$command $previous" in
${commands.flatMap(bashValues).join('\n')}
  esac
  case $command in
${commands.map(bashWords).join('\n')}
  esac
}
complete -F _headwater headwater
`;
}

function bashValues(command: CommandDoc): string[] {
  return command.options.filter(takesValue).map((option) => {
    const patterns = flags(option).map((flag) => quote(`${command.path.join('_')} ${flag}`));
    return `    ${patterns.join(' | ')}) ${bashReply(option)} return ;;`;
  });
}

const bashChoice = (words: readonly string[]): string =>
  `mapfile -t COMPREPLY < <(compgen -W ${quote(words.join(' '))} -- "$current");`;

function bashReply(value: OptionDoc | ArgumentDoc): string {
  switch (value.kind) {
    case 'file':
      return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current");`;
    case 'folder':
      return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current");`;
    case 'choices':
      return bashChoice(value.choices);
    case 'text':
      return '';
    default:
      return unreachable(value.kind);
  }
}

function bashWords(command: CommandDoc): string {
  const options = bashChoice(command.options.flatMap(flags));
  const argument = command.arguments[0];
  const children = command.commands.map((child) => child.path.at(-1)!);
  const words = children.length > 0 ? bashChoice(children) : argument === undefined ? '' : bashReply(argument);
  const body = words === '' ? options : `if [[ $current == -* ]]; then ${options} else ${words} fi`;
  return `    ${quote(command.path.join('_'))}) ${body} ;;`;
}

// ---- zsh

function zsh(root: CommandDoc): string {
  return `#compdef headwater
# zsh completion for headwater. Made by: headwater completion zsh
${flatten(root).map(zshFunction).join('\n')}
if [ "$funcstack[1] " = '_headwater ' ]; then _headwater "$@"; else compdef _headwater headwater; fi
`;
}

const zshName = (command: CommandDoc): string => ['_headwater', ...command.path].join('_');
/** Text inside an _arguments specification. */
const zshText = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll(':', '\\:').replaceAll('[', '\\[').replaceAll(']', '\\]');

function zshFunction(command: CommandDoc): string {
  const specs = [...command.options.flatMap(zshOption), ...command.arguments.map(zshArgument)];
  if (command.commands.length === 0) {
    return `${zshName(command)}() {\n  _arguments -s -S \\\n    ${specs.join(' \\\n    ')}\n}\n`;
  }
  const list = command.commands.map(
    (child) => `    ${quote(`${zshText(child.path.at(-1)!)}:${zshText(child.description)}`)}`,
  );
  const cases = command.commands.map((child) => `      ${child.path.at(-1)}) ${zshName(child)} ;;`);
  return `${zshName(command)}() {
  local context curcontext="$curcontext" state state_descr line
  typeset -A opt_args
  local -a commands=(
${list.join('\n')}
  )
  _arguments -C -s -S \\
    ${[...specs, quote('1: :->command'), quote('*:: :->rest')].join(' \\\n    ')}
  case $state in
    command) _describe -t commands command commands ;;
    rest) case $line[1] in
${cases.join('\n')}
    esac ;;
  esac
}
`;
}

function zshOption(option: OptionDoc): string[] {
  const value = takesValue(option) ? `:${zshText(option.value.slice(1, -1))}:${zshAction(option)}` : '';
  const repeat = option.description.includes('repeatable') ? '*' : '';
  return flags(option).map((flag) => quote(`${repeat}${flag}[${zshText(option.description)}]${value}`));
}

const zshArgument = (argument: ArgumentDoc): string =>
  quote(`${argument.text.endsWith('...>') ? '*' : ''}:${zshText(argument.description)}:${zshAction(argument)}`);

function zshAction(value: OptionDoc | ArgumentDoc): string {
  switch (value.kind) {
    case 'file':
      return '_files';
    case 'folder':
      return '_files -/';
    case 'choices':
      return `(${value.choices.join(' ')})`;
    case 'text':
      return ' ';
    default:
      return unreachable(value.kind);
  }
}

// ---- fish

function fish(root: CommandDoc): string {
  const lines = flatten(root).flatMap((command) => [
    ...command.commands.map(
      (child) =>
        `complete -c headwater -f -n ${quote(fishCondition(command))} -a ${child.path.at(-1)} -d ${quote(child.description)}`,
    ),
    ...command.options.map((option) => fishOption(command, option)),
    ...command.arguments.map(
      (argument) => `complete -c headwater -n ${quote(fishCondition(command))} ${fishValue(argument, '-a')}`,
    ),
  ]);
  return `# fish completion for headwater. Made by: headwater completion fish\ncomplete -c headwater -f\n${lines.join('\n')}\n`;
}

/** True where the command's own words may stand. */
function fishCondition(command: CommandDoc): string {
  const children = command.commands.map((child) => child.path.at(-1)!);
  const inside = command.path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const notDeeper = children.length === 0 ? [] : [`not __fish_seen_subcommand_from ${children.join(' ')}`];
  return [...inside, ...notDeeper].join('; and ');
}

function fishOption(command: CommandDoc, option: OptionDoc): string {
  const short = option.short === '' ? '' : ` -s ${option.short.slice(1)}`;
  const value = takesValue(option) ? ` -r ${fishValue(option, '-a')}` : '';
  return `complete -c headwater -n ${quote(fishCondition(command))}${short} -l ${option.long.slice(2)}${value.trimEnd()} -d ${quote(option.description)}`;
}

function fishValue(value: OptionDoc | ArgumentDoc, flag: string): string {
  switch (value.kind) {
    case 'file':
      return '-F';
    case 'folder':
      return `-f ${flag} '(__fish_complete_directories)'`;
    case 'choices':
      return `-f ${flag} ${quote(value.choices.join(' '))}`;
    case 'text':
      return '-f';
    default:
      return unreachable(value.kind);
  }
}
