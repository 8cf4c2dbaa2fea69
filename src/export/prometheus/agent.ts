/** The agent's own numbers: the ledger, rates of capture, what it costs. */
import { LOSS_REASONS } from '../../model/loss.ts';
import type { AgentStatus, CaptureLedger, Datagrams, UdpStatus } from '../../model/status.ts';
import { TLS_UNREAD_CAUSES } from '../../model/tls.ts';
import { type Exposition, Labels, type MetricFamily, NO_LABELS } from './family.ts';

const family = (
  name: string,
  type: MetricFamily['type'],
  help: string,
  labels: readonly string[] = [],
  unit: MetricFamily['unit'] = '',
): MetricFamily => ({ name, type, unit, help, labels });

const BUILD = family('headwater_build', 'info', 'Version of the agent.', ['version']);
const EXCHANGES = family(
  'headwater_exchanges',
  'counter',
  'Calls emitted; each observed side of a connection counts its own.',
);
const MESSAGES = family('headwater_messages', 'counter', 'Requests and responses, read or known to be lost.', [
  'kind',
  'state',
]);
const LOSSES = family('headwater_losses', 'counter', 'What could not be shown, by reason (docs/loss.md).', ['reason']);
const LOSS_BYTES = family(
  'headwater_loss_bytes',
  'counter',
  'Bytes that could not be shown, by reason.',
  ['reason'],
  'bytes',
);
const SEGMENTS = family(
  'headwater_segments',
  'counter',
  'TCP segments with payload; seen is the sum of the other classes.',
  ['class'],
);
const CAPTURED = family(
  'headwater_captured_bytes',
  'counter',
  'TCP payload; seen is the sum of the other classes.',
  ['class'],
  'bytes',
);
const CONNECTIONS = family('headwater_connections', 'counter', 'TCP connections met.');
const DATAGRAMS = family(
  'headwater_udp_datagrams',
  'counter',
  'UDP datagrams, of which nothing is read: QUIC (HTTP/3), which is in the losses too, and others.',
  ['protocol'],
);
const DATAGRAM_BYTES = family('headwater_udp_bytes', 'counter', 'Payload of these.', ['protocol'], 'bytes');
const OPEN = family('headwater_open_connections', 'gauge', 'TCP connections followed now.', ['guess']);
const WINDOW_STALLS = family(
  'headwater_window_stalls',
  'counter',
  "HTTP/2 bodies that stood still because their receiver's window was used up.",
  ['window'],
);
const WINDOW_STALLS_OPEN = family('headwater_window_stalls_open', 'gauge', 'Those that last.', ['window']);
const WINDOW_STALLED = family(
  'headwater_window_stalled_seconds',
  'counter',
  'Time of those that are over.',
  ['window'],
  'seconds',
);
const RING = family(
  'headwater_ring_bytes',
  'gauge',
  'Ring buffer between the kernel and the pipeline.',
  ['state'],
  'bytes',
);
const CPU = family(
  'headwater_agent_cpu_seconds',
  'counter',
  'CPU time of the agent, user and system.',
  ['process'],
  'seconds',
);
const RESIDENT = family(
  'headwater_agent_resident_bytes',
  'gauge',
  'Resident memory of the agent.',
  ['process'],
  'bytes',
);
const TLS_CONNECTIONS = family(
  'headwater_tls_connections',
  'counter',
  'TLS connections by what was agreed on; open ones count once it is settled whether they are read.',
  ['tls_protocol_version', 'tls_cipher', 'tls_resumed'],
);
const TLS_DECRYPTED = family('headwater_tls_decrypted_connections', 'counter', 'TLS connections that were read.');
const TLS_UNREAD = family(
  'headwater_tls_unread_connections',
  'counter',
  'TLS connections that were not read, by cause (docs/tls.md).',
  ['cause'],
);
const TLS_UNREAD_BYTES = family(
  'headwater_tls_unread_bytes',
  'counter',
  'Encrypted bytes that were not read, by cause.',
  ['cause'],
  'bytes',
);
const TLS_ALERTS = family(
  'headwater_tls_alerts',
  'counter',
  'TLS connections that a fatal alert ended, by its name and by who sent it.',
  ['alert', 'by'],
);
const TLS_MISSED = family(
  'headwater_tls_missed_turns',
  'counter',
  'Turns of clients in TLS that were left out under pressure or found no room: calls of HTTP/1, which requests lost has too, and others.',
  ['inside'],
);
const TLS_MISSED_RECORDS = family(
  'headwater_tls_missed_records',
  'counter',
  'TLS records that were left out under pressure or found no room.',
);
const TLS_SECRETS = family('headwater_tls_secrets', 'counter', 'TLS secrets taken, and missed by reason.', ['state']);
const VIEWERS = family('headwater_tail_viewers', 'gauge', 'Viewers connected.');

/** In the order of /metrics. */
export const AGENT_CATALOGUE: readonly MetricFamily[] = [
  BUILD,
  EXCHANGES,
  MESSAGES,
  LOSSES,
  LOSS_BYTES,
  SEGMENTS,
  CAPTURED,
  CONNECTIONS,
  DATAGRAMS,
  DATAGRAM_BYTES,
  OPEN,
  WINDOW_STALLS,
  WINDOW_STALLS_OPEN,
  WINDOW_STALLED,
  RING,
  CPU,
  RESIDENT,
  TLS_CONNECTIONS,
  TLS_DECRYPTED,
  TLS_UNREAD,
  TLS_UNREAD_BYTES,
  TLS_ALERTS,
  TLS_MISSED,
  TLS_MISSED_RECORDS,
  TLS_SECRETS,
  VIEWERS,
];

/** Everything in `status` that a time series is made of. */
export function writeAgent(status: AgentStatus, out: Exposition): void {
  const { ledger, ring, connections } = status;
  const write = (
    to: MetricFamily,
    ...samples: readonly (readonly [labels: readonly string[], value: number])[]
  ): void => {
    const writer = out.family(to);
    for (const [labels, value] of samples)
      writer.sample(labels.length === 0 ? NO_LABELS : new Labels(to.labels, labels), value);
  };
  write(BUILD, [[status.version], 1]);
  write(EXCHANGES, [[], ledger.exchanges]);
  write(
    MESSAGES,
    [['request', 'seen'], ledger.requests.seen],
    [['request', 'lost'], ledger.requests.lost],
    [['response', 'seen'], ledger.responses.seen],
    [['response', 'lost'], ledger.responses.lost],
  );
  const lost = new Map(ledger.losses.map((loss) => [loss.reason, loss]));
  write(LOSSES, ...LOSS_REASONS.map((reason) => [[reason], lost.get(reason)?.count ?? 0] as const));
  write(LOSS_BYTES, ...LOSS_REASONS.map((reason) => [[reason], lost.get(reason)?.bytes ?? 0] as const));
  const classes = Object.entries(ledger.captured) as [keyof CaptureLedger, CaptureLedger[keyof CaptureLedger]][];
  write(SEGMENTS, ...classes.map(([name, traffic]) => [[name], traffic.segments] as const));
  write(CAPTURED, ...classes.map(([name, traffic]) => [[name], traffic.bytes] as const));
  write(CONNECTIONS, [[], connections.total]);
  const udp = Object.entries(status.udp) as [keyof UdpStatus, Datagrams][];
  write(DATAGRAMS, ...udp.map(([protocol, { datagrams }]) => [[protocol], datagrams] as const));
  write(DATAGRAM_BYTES, ...udp.map(([protocol, { bytes }]) => [[protocol], bytes] as const));
  write(OPEN, ...Object.entries(connections.by_guess).map(([guess, n]) => [[guess], n] as const));
  const stalls = Object.entries(connections.window_stalls);
  write(WINDOW_STALLS, ...stalls.map(([window, { count }]) => [[window], count] as const));
  write(WINDOW_STALLS_OPEN, ...stalls.map(([window, { open }]) => [[window], open] as const));
  write(WINDOW_STALLED, ...stalls.map(([window, { seconds }]) => [[window], seconds] as const));
  write(RING, [['size'], ring.size_bytes], [['used'], ring.used_bytes], [['peak'], ring.peak_bytes]);
  write(CPU, ...status.processes.map(({ role, cpu_s }) => [[role], cpu_s] as const));
  write(RESIDENT, ...status.processes.map(({ role, rss_bytes }) => [[role], rss_bytes] as const));
  const { tls } = status;
  write(
    TLS_CONNECTIONS,
    ...tls.suites.map(({ version, cipher, resumed, connections: n }) => [[version, cipher, resumed], n] as const),
  );
  write(TLS_DECRYPTED, [[], tls.decrypted]);
  const unread = new Map(tls.unread.map((one) => [one.cause, one]));
  write(TLS_UNREAD, ...TLS_UNREAD_CAUSES.map((cause) => [[cause], unread.get(cause)?.connections ?? 0] as const));
  write(TLS_UNREAD_BYTES, ...TLS_UNREAD_CAUSES.map((cause) => [[cause], unread.get(cause)?.bytes ?? 0] as const));
  write(TLS_ALERTS, ...tls.alerts.map(({ alert, by, connections: n }) => [[alert, by], n] as const));
  write(TLS_MISSED, [['http1'], tls.missed.calls], [['other'], tls.missed.other_turns]);
  write(TLS_MISSED_RECORDS, [[], tls.missed.records]);
  const { taken, ring_full, unreadable, unusable } = tls.secrets;
  const states = { taken, ring_full, unreadable, unusable };
  write(TLS_SECRETS, ...Object.entries(states).map(([state, n]) => [[state], n] as const));
  write(VIEWERS, [[], status.tail.viewers]);
}
