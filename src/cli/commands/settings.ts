/** What `run` and `replay` share before they start: the configuration and the filter, checked. */
import { EXIT, fail } from '../../base/failure.ts';
import { defaultConfig } from '../../config/defaults.ts';
import { type ConfigError, formatConfigError, loadConfig } from '../../config/load.ts';
import { type ConfigFlags, overlayFlags } from '../../config/overlay.ts';
import type { Config } from '../../config/schema.ts';
import { compileFilter, type FilterError } from '../../query/filter.ts';

/** Flags > file > defaults. Ends the command (exit code 2) when the file or the filter is wrong. */
export function settings(file: string | undefined, flags: ConfigFlags): Config {
  const fromFile = file === undefined ? defaultConfig() : checkedFile(file);
  if (flags.filter !== undefined) checkFilterFlag(flags.filter);
  return overlayFlags(fromFile, flags);
}

/** Ends the command (exit code 2) when `text` is no filter. */
export function checkFilterFlag(text: string): void {
  const compiled = compileFilter(text);
  if (!compiled.ok) failFilter(compiled.error);
}

export function failFilter(error: FilterError): never {
  const place = error.line === 1 ? `column ${error.column}` : `line ${error.line}, column ${error.column}`;
  fail(EXIT.USAGE, `--filter, ${place}: ${error.message}`, error.excerpt.replaceAll('\n', '\n  '));
}

/** The configuration in `file`, its filter compiled too; ends the command (exit code 2) with every mistake in it. */
export function checkedFile(file: string): Config {
  const loaded = loadConfig(file);
  if (!loaded.ok) failConfig(loaded.errors);
  const { config } = loaded;
  if (config.filter !== '') {
    const compiled = compileFilter(config.filter);
    if (!compiled.ok) {
      const { message, excerpt, column } = compiled.error;
      const place = formatConfigError({
        ...loaded.locate(['filter']),
        path: 'filter',
        message: `column ${column}: ${message}`,
      });
      fail(EXIT.USAGE, place, excerpt.replaceAll('\n', '\n  '));
    }
  }
  return config;
}

function failConfig(errors: readonly ConfigError[]): never {
  const [first, ...others] = errors.map(formatConfigError);
  fail(EXIT.USAGE, first!, others.join('\n  '));
}
