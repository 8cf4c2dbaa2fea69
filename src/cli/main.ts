/** The command line. Says little and starts quickly: every command's code is loaded when it is called. */
import { CommanderError } from 'commander';
import { EXIT, Failure } from '../base/failure.ts';
import { buildProgram } from './program.ts';
import { safeLines } from './text/terminal.ts';

// The reader has gone (`| head`): nobody is left to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.DONE);
  throw error;
});
process.stderr.on('error', () => {});

try {
  await buildProgram().parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error);
}

/** Tells the user what went wrong; anything unforeseen is a defect and shows its stack. */
function report(error: unknown): number {
  if (error instanceof Failure) {
    process.stderr.write(`headwater: ${safeLines(error.message)}\n`);
    if (error.hint !== '') process.stderr.write(`  ${safeLines(error.hint)}\n`);
    return error.exitCode;
  }
  if (error instanceof CommanderError) {
    // Commander has printed help or its one line already.
    return error.exitCode === 0 ? EXIT.DONE : EXIT.USAGE;
  }
  throw error;
}
