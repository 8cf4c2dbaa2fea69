/** Connections, open and closed, summed over those that are alike: what `headwater why` explains from. */
import type { Connection, Endpoint } from '../model/connection.ts';
import { LOSS_REASONS, type LossTotal } from '../model/loss.ts';
import type { TlsAlert, TlsFacts, TlsUnreadCause } from '../model/tls.ts';
import { WHY_CLOSED_MAX, WHY_GROUPS_MAX, type WhyGroup, type WhyGuess } from '../model/why.ts';
import type { ConnectionLife, Guess, LiveConnection } from './decoder.ts';

const ADDRESSES_MAX = 8;

/** An upgraded connection was HTTP: its calls were seen. */
const GUESS: Readonly<Record<Guess, WhyGuess>> = {
  unknown: 'unknown',
  http: 'http',
  switched: 'http',
  tls: 'tls',
  h2: 'h2',
  other: 'other',
};

type Mutable<T> = { -readonly [key in keyof T]: T[key] };

interface Group extends Mutable<WhyGroup> {
  server_addresses: string[];
  unread: { cause: TlsUnreadCause; connections: number }[];
  alerts: (TlsAlert & { connections: number })[];
  losses: LossTotal[];
}

/** Before a side is known, the lower port is the better guess for the server's, and is shown as side "unknown". */
function serverOf(connection: Connection): Endpoint {
  if (connection.clientDirection >= 0) return connection.server;
  return connection.local.port < connection.remote.port ? connection.local : connection.remote;
}

const keyOf = (connection: Connection, guess: Guess): string =>
  `${connection.process?.pid ?? 0} ${connection.side} ${serverOf(connection).port} ${guess}`;

const newGroup = (connection: Connection, guess: Guess): Group => ({
  pid: connection.process?.pid ?? 0,
  name: connection.process?.name ?? '',
  service: connection.service,
  side: connection.side,
  server_port: serverOf(connection).port,
  server_addresses: [],
  guess: GUESS[guess],
  open: 0,
  closed: 0,
  closed_s_ago: null,
  joined: 0,
  decrypted: 0,
  unread: [],
  alerts: [],
  exchanges: 0,
  losses: [],
});

function add(group: Group, connection: Connection): void {
  if (connection.tls !== null) addTls(group, connection.tls);
  group.exchanges += connection.exchanges;
  const { address } = serverOf(connection);
  if (group.server_addresses.length < ADDRESSES_MAX && !group.server_addresses.includes(address)) {
    group.server_addresses.push(address);
  }
  if (connection.lost !== null) addLosses(group.losses, connection.lost);
}

/** Connections that have ended: of a port that nobody uses at this moment something was seen all the same. */
export class ClosedConnections implements ConnectionLife {
  readonly #next: ConnectionLife;
  readonly #nowMs: () => number;
  /** The one with the last end comes last; the first makes room. */
  readonly #groups = new Map<string, { readonly group: Group; atMs: number }>();

  /**
   * @param next told of everything too.
   * @param nowMs a clock that never steps.
   */
  constructor(next: ConnectionLife, nowMs: () => number) {
    this.#next = next;
    this.#nowMs = nowMs;
  }

  met(connection: Connection): void {
    this.#next.met(connection);
  }

  named(connection: Connection): void {
    this.#next.named(connection);
  }

  ended(connection: Connection, guess: Guess): void {
    const groups = this.#groups;
    const key = keyOf(connection, guess);
    const known = groups.get(key);
    if (known !== undefined) groups.delete(key);
    else if (groups.size >= WHY_CLOSED_MAX) groups.delete(groups.keys().next().value!);
    const entry = known ?? { group: newGroup(connection, guess), atMs: 0 };
    entry.atMs = this.#nowMs();
    entry.group.closed++;
    add(entry.group, connection);
    groups.set(key, entry);
    this.#next.ended(connection, guess);
  }

  /** Copies, by what makes connections alike. */
  groups(): Map<string, Group> {
    const nowMs = this.#nowMs();
    return new Map(
      [...this.#groups].map(([key, { group, atMs }]) => {
        const copy = structuredClone(group);
        copy.closed_s_ago = Math.max(0, (nowMs - atMs) / 1_000);
        return [key, copy];
      }),
    );
  }
}

/** Linear in the connections; the largest groups come first. */
export function whyGroups(
  live: Iterable<LiveConnection>,
  closed: ClosedConnections,
): { groups: WhyGroup[]; more: number } {
  const groups = closed.groups();
  for (const { connection, guess } of live) {
    const key = keyOf(connection, guess);
    let group = groups.get(key);
    if (group === undefined) {
      group = newGroup(connection, guess);
      groups.set(key, group);
    }
    group.open++;
    if (connection.start === 'joined') group.joined++;
    add(group, connection);
  }
  const sorted = [...groups.values()].sort((a, b) => b.open - a.open || b.closed - a.closed);
  for (const { losses } of sorted)
    losses.sort((a, b) => LOSS_REASONS.indexOf(a.reason) - LOSS_REASONS.indexOf(b.reason));
  return { groups: sorted.slice(0, WHY_GROUPS_MAX), more: Math.max(0, sorted.length - WHY_GROUPS_MAX) };
}

function addTls(group: Group, { decrypted, unread, alert }: TlsFacts): void {
  if (decrypted) group.decrypted++;
  if (alert !== null) {
    const same = group.alerts.find((one) => one.alert === alert.alert && one.by === alert.by);
    if (same === undefined) group.alerts.push({ ...alert, connections: 1 });
    else same.connections++;
  }
  if (unread === null) return;
  const known = group.unread.find(({ cause }) => cause === unread);
  if (known === undefined) group.unread.push({ cause: unread, connections: 1 });
  else known.connections++;
}

function addLosses(into: LossTotal[], losses: readonly LossTotal[]): void {
  for (const loss of losses) {
    const total = into.find(({ reason }) => reason === loss.reason);
    if (total === undefined) into.push({ ...loss });
    else {
      total.count += loss.count;
      total.bytes += loss.bytes;
    }
  }
}
