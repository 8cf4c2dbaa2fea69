/** Counts TLS connections by what their handshakes agreed on, for `status`: those that have ended, and those that are open. */
import type { Connection } from '../model/connection.ts';
import type { TlsSuiteStatus } from '../model/status.ts';
import type { TlsFacts } from '../model/tls.ts';
import type { ConnectionLife, Guess, LiveConnection } from './decoder.ts';

/** Rows kept; peers choose the names of unknown suites, so there is no natural bound. */
const ROWS_MAX = 256;
const OTHER = 'other';

type Row = { -readonly [key in keyof TlsSuiteStatus]: TlsSuiteStatus[key] };

export class TlsTally implements ConnectionLife {
  readonly #next: ConnectionLife | null;
  readonly #ended = new Map<string, Row>();

  /** @param next told of everything too. */
  constructor(next: ConnectionLife | null) {
    this.#next = next;
  }

  met(connection: Connection): void {
    this.#next?.met(connection);
  }

  named(connection: Connection): void {
    this.#next?.named(connection);
  }

  ended(connection: Connection, guess: Guess): void {
    this.#next?.ended(connection, guess);
    if (connection.tls !== null && connection.tls.version !== '') count(this.#ended, connection.tls);
  }

  /** The most frequent first. Open connections count once it is settled whether they are read. */
  rows(live: Iterable<LiveConnection>): TlsSuiteStatus[] {
    const rows = new Map([...this.#ended].map(([key, row]) => [key, { ...row }] as const));
    for (const { connection } of live) {
      const { tls } = connection;
      if (tls !== null && tls.version !== '' && (tls.decrypted || tls.unread !== null)) count(rows, tls);
    }
    return [...rows.values()].sort((a, b) => b.connections - a.connections);
  }
}

const resumption = ({ resumed }: TlsFacts): Row['resumed'] => (resumed === null ? 'unknown' : resumed ? 'yes' : 'no');

function count(rows: Map<string, Row>, facts: TlsFacts): void {
  const resumed = resumption(facts);
  let { version, cipher } = facts;
  if (rows.size >= ROWS_MAX && !rows.has(`${version} ${cipher} ${resumed}`)) [version, cipher] = [OTHER, OTHER];
  const key = `${version} ${cipher} ${resumed}`;
  let row = rows.get(key);
  if (row === undefined) {
    row = { version, cipher, resumed, connections: 0, decrypted: 0 };
    rows.set(key, row);
  }
  row.connections++;
  if (facts.decrypted) row.decrypted++;
}
