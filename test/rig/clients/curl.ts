import { findProgram } from '../need.ts';
import { type Ended, type RunOptions, run } from '../program.ts';

/** curl, silent, with 20 s to end; `args` are its own. */
export function curl(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run([findProgram('curl')!, '--silent', '--show-error', '--max-time', '20', ...args], options);
}
