/** `headwater status` as text: the ledger first, because every other number is worth only what the ledger says. Pure. */

import { formatSize } from '../../config/units.ts';
import type { LossTotal } from '../../model/loss.ts';
import type { AgentStatus, CaptureLedger, StatusLedger, TapsStatus, TlsStatus, UdpStatus } from '../../model/status.ts';
import { count, duration, percent, some, uptime } from './numbers.ts';
import { type Look, paint, safe, wrapWords } from './terminal.ts';

const LABEL_WIDTH = 13;

export function statusText(status: AgentStatus, look: Look): string {
  const sections: ReadonlyArray<readonly [string, readonly string[]]> = [
    [
      'agent',
      [
        `headwater ${safe(status.version)}, ${state(status)}, running for ${uptime(status.uptime_s)}`,
        ...status.problems.map((problem) => paint(safe(problem), 'red', look)),
      ],
    ],
    ['ledger', ledgerLines(status.ledger, look)],
    ['traffic', trafficLines(status.ledger)],
    ['rates', [rateLine(status)]],
    ['connections', [connectionLine(status)]],
    ['HTTP/2', stallLines(status)],
    ['UDP', udpLines(status.udp)],
    ['TLS', tlsLines(status.tls)],
    ['scope', scopeLines(status)],
    ['ring', [ringLine(status)]],
    ['processes', processLines(status)],
    ['programs', programLines(status)],
    ['maps', mapLines(status)],
    [
      'tail',
      [
        `${some(status.tail.viewers, 'viewer')}, ${some(status.tail.sent, 'line')} sent, ${count(status.tail.lost)} lost to slow viewers`,
      ],
    ],
    ['listening on', status.listeners.map(safe)],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([label, lines]) => lines.map((line, i) => row(i === 0 ? label : '', line, look)).join(''))
    .join('');
}

function state({ ready, problems }: AgentStatus): string {
  if (ready) return 'ready';
  return problems.length === 0 ? 'STARTING: not capturing yet' : 'NOT READY';
}

/** Nothing is cut: what is too long goes on in the next line. */
function row(label: string, line: string, look: Look): string {
  const [first, ...rest] = wrapWords(line, look.width - LABEL_WIDTH);
  const indent = ' '.repeat(LABEL_WIDTH + 4);
  return [`${paint(label.padEnd(LABEL_WIDTH), 'bold', look)}${first}`, ...rest.map((more) => indent + more), ''].join(
    '\n',
  );
}

/** "captured N of M, lost K, because ...". In requests: a response whose request was lost makes an exchange all the same. */
function ledgerLines(ledger: StatusLedger, look: Look): string[] {
  const { seen, lost } = ledger.requests;
  const offered = seen + lost;
  const head = `captured ${count(seen)} of ${count(offered)} calls (${percent(seen, offered)}), lost ${count(lost)}`;
  if (ledger.losses.length === 0) return [paint(`${head}; nothing is missing`, 'green', look)];
  return [`${head}, because:`, ...table(ledger.losses.map(lossRow))];
}

const lossRow = (loss: LossTotal): string[] => [
  `  ${loss.reason}`,
  `${count(loss.count)}x`,
  loss.bytes === 0 ? '' : formatSize(loss.bytes),
];

const CLASS_NAMES: ReadonlyArray<readonly [keyof CaptureLedger, string]> = [
  ['seen', 'seen'],
  ['copied', '  copied to the pipeline'],
  ['window', '  left out: beyond the window'],
  ['not_http', '  left out: not HTTP'],
  ['shed', '  left out: under pressure'],
  ['lost', '  lost: ring full'],
];

function trafficLines({ captured, copied_not_http: { tls, switched, other, undecided } }: StatusLedger): string[] {
  const notHttp = tls + switched + other + undecided;
  const rows = CLASS_NAMES.map(([key, name]) => [
    name,
    `${count(captured[key].segments)} segments`,
    formatSize(captured[key].bytes),
  ]);
  if (notHttp > 0) rows.splice(2, 0, ['    of it not HTTP', '', formatSize(notHttp)]);
  return table(rows);
}

function rateLine({ rates }: AgentStatus): string {
  const { exchanges_per_s: calls, segments_per_s: segments, bytes_per_s: bytes, losses_per_s: losses } = rates;
  return `${rate(calls)} calls/s, ${rate(segments)} segments/s, ${formatSize(Math.round(bytes))}/s, ${rate(losses)} losses/s (last ${uptime(rates.window_s)})`;
}

const rate = (perSecond: number): string =>
  perSecond >= 10 || perSecond === 0 ? count(perSecond) : perSecond.toFixed(1);

function connectionLine({ connections }: AgentStatus): string {
  const guesses = Object.entries(connections.by_guess).filter(([, n]) => n > 0);
  const detail = guesses.map(([guess, n]) => `${count(n)} ${safe(guess)}`).join(', ');
  return `${count(connections.open)} open${detail === '' ? '' : ` (${detail})`}, ${count(connections.total)} in all`;
}

/** Nothing where there was none. */
const stallLines = ({ connections }: AgentStatus): string[] =>
  Object.entries(connections.window_stalls)
    .filter(([, stalls]) => stalls.count > 0)
    .map(([window, { count: n, open, seconds }]) => {
      const now = open === 0 ? '' : `, ${count(open)} now`;
      return `bodies stood still ${some(n, 'time')} because the ${window} window was used up, ${duration(seconds * 1e9)} in all${now}`;
    });

/** Nothing where there is none. */
function udpLines({ quic, other }: UdpStatus): string[] {
  const lines: string[] = [];
  if (quic.datagrams > 0)
    lines.push(`QUIC (HTTP/3): ${some(quic.datagrams, 'datagram')}, ${formatSize(quic.bytes)}, not read`);
  if (other.datagrams > 0) lines.push(`other: ${some(other.datagrams, 'datagram')}, ${formatSize(other.bytes)}`);
  return lines;
}

/** `why PID` tells which files these are. */
const tapsLine = ({ processes, tapped, untapped, overflowed }: TapsStatus): string =>
  [
    `${some(tapped, 'file')} tapped of those that ${count(processes)} observed processes run`,
    ...(untapped === 0 ? [] : [`${some(untapped, 'file')} with TLS not tapped (headwater why PID says why)`]),
    ...(overflowed === 0 ? [] : [`${count(overflowed)} over the bounds, never looked at`]),
  ].join(', ');

/** Which suites are in use: the others are in --json. */
const SUITES_SHOWN = 6;
const ALERTS_SHOWN = 6;

function tlsLines(tls: TlsStatus): string[] {
  const { secrets } = tls;
  const lines =
    tls.taps_absent === ''
      ? [
          `${count(tls.decrypted)} of ${some(tls.connections, 'connection')} read, ${count(tls.resumed)} resumed; ${some(secrets.taken, 'secret')} taken, ${count(secrets.kept)} in memory`,
        ]
      : [`${some(tls.connections, 'connection')}; secrets are not taken: ${safe(tls.taps_absent)}`];
  if (tls.taps !== null) lines.push(tapsLine(tls.taps));
  const lost = secrets.ring_full + secrets.unreadable + secrets.unusable;
  if (lost > 0)
    lines.push(
      `secrets missed: ${count(secrets.ring_full)} ring full, ${count(secrets.unreadable)} unreadable, ${count(secrets.unusable)} unusable`,
    );
  if (tls.missed.records > 0)
    lines.push(
      `missed under pressure: ${some(tls.missed.records, 'record')} with ${some(tls.missed.calls, 'call')} in them, and ${some(tls.missed.other_turns, 'turn')} of HTTP/2 or unread`,
    );
  lines.push(
    ...table(
      tls.suites
        .slice(0, SUITES_SHOWN)
        .map(({ version, cipher, resumed, connections, decrypted }) => [
          `  TLS ${safe(version)} ${safe(cipher)}${resumed === 'yes' ? ', resumed' : ''}`,
          `${count(decrypted)} of ${count(connections)} read`,
        ]),
    ),
    ...table(
      tls.unread.map(({ cause, connections, bytes }) => [
        `  not read: ${cause}`,
        some(connections, 'connection'),
        formatSize(bytes),
      ]),
    ),
    ...table(
      tls.alerts
        .slice(0, ALERTS_SHOWN)
        .map(({ alert, by, connections }) => [
          `  ended by ${alert}${by === 'unknown' ? '' : ` from the ${by}`}`,
          some(connections, 'connection'),
        ]),
    ),
  );
  return lines;
}

const scopeLines = ({ cgroups }: AgentStatus): string[] =>
  cgroups.map(({ path, attached }) => `${safe(path)}${attached ? '' : '  NOT ATTACHED'}`);

const ringLine = ({ ring }: AgentStatus): string =>
  `${formatSize(ring.used_bytes)} of ${formatSize(ring.size_bytes)} used (${fill(ring.used_bytes, ring.size_bytes)}), peak ${formatSize(ring.peak_bytes)} (${fill(ring.peak_bytes, ring.size_bytes)})`;

const fill = (used: number, size: number): string => `${size === 0 ? 0 : Math.round((used / size) * 100)} %`;

const processLines = ({ processes, uptime_s: up }: AgentStatus): string[] =>
  table(
    processes.map(({ role, pid, cpu_s: cpu, rss_bytes: rss }) => [
      role,
      `pid ${pid}`,
      `${cpu.toFixed(2)} s CPU`,
      up > 0 ? `${((cpu / up) * 100).toFixed(2)} % of a core` : '',
      formatSize(rss),
    ]),
  );

const programLines = ({ programs }: AgentStatus): string[] =>
  table(
    programs.map(({ name, variant, run_count: runs, avg_ns: ns }) => [
      safe(name),
      safe(variant),
      runs === null ? 'not measured' : runs === 0 ? 'no runs while measured' : `${count(runs)} runs`,
      ns === null || runs === 0 ? '' : `${duration(ns)} each`,
    ]),
  );

const mapLines = ({ maps }: AgentStatus): string[] =>
  table(
    maps.map(({ name, type, entries, max_entries: max }) => [
      safe(name),
      safe(type),
      entries === null
        ? max === 0
          ? 'one for each socket'
          : `at most ${count(max)} entries`
        : `${count(entries)} of ${count(max)} entries (${fill(entries, max)})`,
    ]),
  );

/** Columns as wide as their widest cell; numbers keep their place because each column is padded on one side. */
function table(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths: number[] = [];
  for (const cells of rows)
    cells.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows.map((cells) =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}
