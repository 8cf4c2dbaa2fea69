import { assert } from '../base/assert.ts';
import { compileFilter, type Filter } from '../query/filter.ts';

/** Compiles the configured filter, null for "". The command line has checked it and said what was wrong with it. */
export function filterOf(text: string): Filter | null {
  if (text === '') return null;
  const compiled = compileFilter(text);
  assert(compiled.ok, 'the command line checks filters');
  return compiled.filter;
}
