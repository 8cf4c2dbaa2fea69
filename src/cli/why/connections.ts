/** What `why` says of connections the agent knows: by what their bytes look like, and what is missing from them. Pure. */
import { unreachable } from '../../base/assert.ts';
import type { WhyGroup, WhyGuess } from '../../model/why.ts';
import { uptime } from '../text/numbers.ts';
import type { TlsLibrary } from './facts.ts';
import { finding, list, plural, type WhyFinding } from './finding.ts';
import { UNREAD } from './tls.ts';

/** `tls`: the libraries that the process maps; null: nobody looked. `who`: "" when the groups say whose they are. */
export const aboutConnections = (
  groups: readonly WhyGroup[],
  tls: readonly TlsLibrary[] | null,
  who: string,
): WhyFinding[] => {
  const found: WhyFinding[] = [];
  for (const guess of ['http', 'tls', 'h2', 'other', 'unknown'] as const) {
    const alike = groups.filter(
      (group) => group.guess === guess && group.open + (guess === 'unknown' ? group.exchanges : group.closed) > 0,
    );
    // Refused in the handshake: that is told below, and nothing else is to be.
    if (alike.length > 0 && !(guess === 'tls' && alike.every(refused))) found.push(aboutGuess(guess, alike, tls, who));
  }
  const joined = groups.reduce((sum, group) => sum + group.joined, 0);
  if (joined > 0) {
    found.push(
      finding(
        'joined',
        'partly',
        `${plural(joined, 'connection is', 'connections are')} older than the agent: calls are seen from the first message that began after it started.`,
        'Nothing, or restart the client to open new connections.',
      ),
    );
  }
  return [...found, ...aboutAlerts(groups), ...aboutLosses(groups)];
};

const alertsOf = ({ alerts }: WhyGroup): number => alerts.reduce((sum, { connections }) => sum + connections, 0);

const refused = (group: WhyGroup): boolean =>
  group.unread.length === 0 && alertsOf(group) === group.open + group.closed;

const aboutGuess = (
  guess: WhyGuess,
  groups: readonly WhyGroup[],
  tls: readonly TlsLibrary[] | null,
  who: string,
): WhyFinding => {
  const open = groups.reduce((sum, group) => sum + group.open, 0);
  const exchanges = groups.reduce((sum, group) => sum + group.exchanges, 0);
  const owner =
    who === ''
      ? list(
          [
            ...new Set(
              groups.map((group) =>
                group.pid === 0 ? 'a process that is not known' : `${group.name} (pid ${group.pid})`,
              ),
            ),
          ],
          4,
        )
      : who;
  const ports = list(
    [...new Set(groups.map((group) => `${group.side === 'server' ? 'served on' : 'to'} port ${group.server_port}`))],
    4,
  );
  const closed = groups.reduce((sum, group) => sum + group.closed, 0);
  const counted =
    closed === 0
      ? plural(open, 'open connection')
      : open === 0
        ? plural(closed, 'connection')
        : `${plural(open, 'open connection')} and ${closed} that ${closed === 1 ? 'has' : 'have'} closed,`;
  const connections = `${counted} of ${owner}, ${ports}`;
  const gone = open > 0 ? '' : ` ${lastClosed(groups)}`;
  switch (guess) {
    case 'http':
    case 'h2': {
      const secure = groups.reduce((sum, group) => sum + group.decrypted, 0);
      const over = secure === 0 ? '' : secure === open + closed ? ', over TLS' : `, ${secure} of them over TLS`;
      const name = guess === 'http' ? 'HTTP/1' : 'HTTP/2';
      return finding(guess, 'seen', `${name}: ${plural(exchanges, 'call')} on ${connections}${over}.${gone}`);
    }
    case 'tls': {
      const libraries =
        tls === null
          ? 'which library does it is not known'
          : tls.length === 0
            ? 'no TLS library is mapped: it is linked in (Go, Rust, Java, a static build)'
            : `by ${tls.length > 1 ? 'one of ' : ''}${list(
                tls.map((one) => one.name),
                3,
              )}`;
      const causes = new Map<string, number>();
      for (const { unread } of groups)
        for (const { cause, connections: n } of unread) causes.set(UNREAD[cause], (causes.get(UNREAD[cause]) ?? 0) + n);
      const because =
        causes.size === 0
          ? 'No call was read on them so far'
          : `Not read, because ${[...causes].map(([cause, n]) => `${cause} (${n})`).join('; ')}`;
      return finding(
        'tls',
        'unseen',
        `TLS: ${connections}; ${libraries}. ${because}: bytes and times are counted.${gone}`,
        'docs/tls.md says what can be read and what helps; or observe a leg in clear (behind the proxy that ends TLS).',
      );
    }
    case 'other':
      return finding(
        'other',
        'unseen',
        `Not HTTP: ${connections}. The first bytes of either side are no HTTP message.${gone}`,
      );
    case 'unknown':
      return finding(
        'undecided',
        'unknown',
        `Not decided yet: ${connections}. No message start has been seen on them.`,
        'Send a call, then ask again.',
      );
    default:
      return unreachable(guess);
  }
};

/** Of connections that have all closed. */
const lastClosed = (groups: readonly WhyGroup[]): string => {
  const seconds = Math.min(...groups.map((group) => group.closed_s_ago ?? Number.POSITIVE_INFINITY));
  return Number.isFinite(seconds)
    ? `None is open now; the last one closed ${uptime(seconds)} ago.`
    : 'None is open now.';
};

const aboutAlerts = (groups: readonly WhyGroup[]): WhyFinding[] => {
  const totals = new Map<string, number>();
  let connections = 0;
  for (const group of groups) {
    connections += alertsOf(group);
    for (const { alert, by, connections: n } of group.alerts) {
      const name = by === 'unknown' ? alert : `${alert} from the ${by}`;
      totals.set(name, (totals.get(name) ?? 0) + n);
    }
  }
  if (connections === 0) return [];
  const by = list([...totals].map(([name, n]) => `${name} (${n})`));
  return [
    finding(
      'alerts',
      'seen',
      `TLS: ${plural(connections, 'connection')} ended with an alert: ${by}. There is no call on those that were refused in the handshake.`,
      'An alert says what its sender did not accept of the other end: certificate, version, suite or protocol. Its log says more.',
    ),
  ];
};

const aboutLosses = (groups: readonly WhyGroup[]): WhyFinding[] => {
  const totals = new Map<string, { count: number; bytes: number }>();
  for (const { reason, count, bytes } of groups.flatMap((group) => group.losses)) {
    const total = totals.get(reason) ?? { count: 0, bytes: 0 };
    totals.set(reason, { count: total.count + count, bytes: total.bytes + bytes });
  }
  if (totals.size === 0) return [];
  const what = [...totals].map(([reason, { count, bytes }]) => `${reason} ${count} (${bytes} bytes)`);
  return [
    finding(
      'losses',
      'partly',
      `Missing from these connections: ${list(what)}.`,
      'docs/loss.md says what each means and what to do.',
    ),
  ];
};
