/** Exit codes of every command: docs/cli.md. */
export const EXIT = {
  DONE: 0,
  /** Done, and the answer is bad. */
  BAD_ANSWER: 1,
  /** Wrong usage or unreadable input. */
  USAGE: 2,
  /** The machine or its permissions do not allow it. */
  MACHINE: 3,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with a message for the user: the only exception that the command line prints without a stack. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  /** What to do next; "" when the message says it. */
  readonly hint: string;

  constructor(exitCode: ExitCode, message: string, hint: string) {
    super(message);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** Ends the command: `message` is one line and names the bad thing, `hint` says what to do. */
export function fail(exitCode: ExitCode, message: string, hint = ''): never {
  throw new Failure(exitCode, message, hint);
}
