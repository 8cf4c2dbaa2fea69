import type { Connection } from '../model/connection.ts';

/**
 * Id of an exchange: `prefix-connection-ordinal`, the numbers in base 36. Unique as long as run prefixes are; the same
 * exchange always has the same id. `runPrefix` is made once by the agent and holds no "-".
 */
export const exchangeId = (runPrefix: string, connection: Connection, ordinal: number): string =>
  `${runPrefix}-${connection.id.toString(36)}-${ordinal.toString(36)}`;

/** Ids of a run. One place for all runs: V8 compiles in what it calls by where the function was made. */
export const exchangeIds =
  (runPrefix: string): ((connection: Connection, ordinal: number) => string) =>
  (connection, ordinal) =>
    exchangeId(runPrefix, connection, ordinal);
