/** The machine or its permissions do not allow it (exit code 3). A value: the caller says it and ends. */
export class Refusal {
  /** What cannot be done, and why: one line, "Cannot <action>: <detail>". */
  readonly message: string;
  /** What the user does next: one line. */
  readonly fix: string;

  constructor(message: string, fix: string) {
    this.message = message;
    this.fix = fix;
  }

  toString(): string {
    return `${this.message}\n  ${this.fix}`;
  }
}
