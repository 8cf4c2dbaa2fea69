/** Values of options: how each is read, with a message that says what was expected; and the options that several commands have. */
import { InvalidArgumentError, Option } from 'commander';
import { parseDuration, parseListen } from '../config/units.ts';

/** As long as an agent hands out packets in one go. */
const EXPORT_SECONDS_MAX = 3_600;

/** An empty path is a mistake in a script (an unset variable), never a wish. */
function pathArgument(text: string): string {
  if (text === '') throw new InvalidArgumentError('expected a path.');
  return text;
}

export const pathOption = (flags: string, description: string) =>
  new Option(flags, description).argParser(pathArgument);
export const socketOption = () =>
  pathOption('--socket <path>', 'unix socket of the agent (default: headwater.sock in the runtime directory)');
export const storeSocketOption = (description: string) => pathOption('--socket <path>', description).conflicts('data');
export const filterOption = () =>
  new Option('--filter <cel>', 'only calls that match, for example: response.code >= 500');
export const jsonOption = (what: string) => new Option('--json', what);

export const dataOption = () => pathOption('--data <dir>', "data folder (default: 'data' in the state directory)");
export const sinceOption = () =>
  new Option('--since <time>', 'from here on: 15m, 2h, 7d ago, 2026-11-22, or 2026-11-22T16:04:05Z');
export const untilOption = () => new Option('--until <time>', 'up to here (default: now)');

export function limitArgument(text: string): number {
  const limit = Number(text);
  if (!/^[1-9]\d{0,7}$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1 to 99999999.');
  return limit;
}

export function secondsArgument(text: string): number {
  const seconds = Number(text);
  if (!/^[1-9]\d{0,3}$/.test(text) || seconds > EXPORT_SECONDS_MAX)
    throw new InvalidArgumentError(`expected a whole number from 1 to ${EXPORT_SECONDS_MAX}.`);
  return seconds;
}

export function rangeArgument(text: string): string {
  const ends = text.split('..');
  if (ends.length !== 2 || text === '..')
    throw new InvalidArgumentError('expected SINCE..UNTIL, such as 2h..1h; one of them may be left out.');
  return text;
}

export const collect = (value: string, before: readonly string[] = []): string[] => [...before, pathArgument(value)];

export function durationArgument(text: string): number {
  const ns = parseDuration(text);
  if (ns === null || ns < 1e9) throw new InvalidArgumentError('expected a duration of 1s or more, such as 60s.');
  return ns;
}

export function listenArgument(text: string): string {
  if (parseListen(text) === null) throw new InvalidArgumentError('expected ADDR:PORT, such as 127.0.0.1:9464.');
  return text;
}
