/** Open connections, summed over those that are alike: what `headwater why` explains from. */
import { LOSS_REASONS, type LossTotal } from '../model/loss.ts';
import type { TlsFacts, TlsUnreadCause } from '../model/tls.ts';
import { WHY_GROUPS_MAX, type WhyGroup, type WhyGuess } from '../model/why.ts';
import type { Guess, LiveConnection } from './decoder.ts';

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

interface Group extends WhyGroup {
  server_addresses: string[];
  open: number;
  joined: number;
  decrypted: number;
  unread: { cause: TlsUnreadCause; connections: number }[];
  exchanges: number;
  losses: LossTotal[];
}

/** Linear in the open connections; the largest groups come first. */
export function whyGroups(live: Iterable<LiveConnection>): { groups: WhyGroup[]; more: number } {
  const groups = new Map<string, Group>();
  for (const { connection, guess } of live) {
    const pid = connection.process?.pid ?? 0;
    // Before a side is known, the lower port is the better guess for the server's, and is shown as side "unknown".
    const server =
      connection.clientDirection >= 0 || connection.local.port < connection.remote.port
        ? connection.clientDirection >= 0
          ? connection.server
          : connection.local
        : connection.remote;
    const key = `${pid} ${connection.side} ${server.port} ${guess}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = {
        pid,
        name: connection.process?.name ?? '',
        service: connection.service,
        side: connection.side,
        server_port: server.port,
        server_addresses: [],
        guess: GUESS[guess],
        open: 0,
        joined: 0,
        decrypted: 0,
        unread: [],
        exchanges: 0,
        losses: [],
      };
      groups.set(key, group);
    }
    group.open++;
    if (connection.start === 'joined') group.joined++;
    if (connection.tls !== null) addTls(group, connection.tls);
    group.exchanges += connection.exchanges;
    if (group.server_addresses.length < ADDRESSES_MAX && !group.server_addresses.includes(server.address)) {
      group.server_addresses.push(server.address);
    }
    if (connection.lost !== null) add(group.losses, connection.lost);
  }
  const sorted = [...groups.values()].sort((a, b) => b.open - a.open);
  for (const { losses } of sorted)
    losses.sort((a, b) => LOSS_REASONS.indexOf(a.reason) - LOSS_REASONS.indexOf(b.reason));
  return { groups: sorted.slice(0, WHY_GROUPS_MAX), more: Math.max(0, sorted.length - WHY_GROUPS_MAX) };
}

function addTls(group: Group, { decrypted, unread }: TlsFacts): void {
  if (decrypted) group.decrypted++;
  if (unread === null) return;
  const known = group.unread.find(({ cause }) => cause === unread);
  if (known === undefined) group.unread.push({ cause: unread, connections: 1 });
  else known.connections++;
}

function add(into: LossTotal[], losses: readonly LossTotal[]): void {
  for (const loss of losses) {
    const total = into.find(({ reason }) => reason === loss.reason);
    if (total === undefined) into.push({ ...loss });
    else {
      total.count += loss.count;
      total.bytes += loss.bytes;
    }
  }
}
