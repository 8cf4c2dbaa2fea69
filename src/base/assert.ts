/** Programmer errors crash; operating errors are values (see docs/architecture.md). */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Ends an exhaustive switch over a closed union. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
