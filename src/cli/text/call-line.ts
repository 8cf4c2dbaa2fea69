/** One call in one line of text, and its header fields below it. Pure: record and terminal in, text out. */
import type { Outcome } from '../../model/exchange.ts';
import type { ExchangeRecord, FieldPair, RequestRecord } from '../../model/record.ts';
import { duration, shortBytes } from './numbers.ts';
import { type Colour, column, cut, type Look, paint, safe } from './terminal.ts';

/** From this width on there is room for full columns. */
const WIDE = 120;
/** What the target keeps however long the outcome is. */
const TARGET_MIN = 12;

const SIDES: Readonly<Record<string, string>> = { server: 'srv', client: 'cli' };

/**
 * `TIME SIDE SERVICE METHOD STATUS DURATION SIZES TARGET OUTCOME`, at most as wide as the terminal. What has a fixed width
 * comes first, so that columns stay columns; the target takes the rest. A narrow terminal does not say "complete".
 */
export function callLine(record: ExchangeRecord, look: Look): string {
  const wide = look.width >= WIDE;
  const { request, response } = record;
  const { time, side, service } = place(record, look);
  const method = column(safe(request?.method ?? '-'), 7, look);
  const status = String(response?.status ?? '-').padStart(3);
  const took = elapsed(record).padStart(6);
  const sizes = `${size(request)}/${size(response)}`.padStart(wide ? 11 : 9);
  const plain = record.outcome === 'complete' && record.losses.length === 0;
  const room = look.width - [time, side, service, method, status, took, sizes].join(' ').length - 1;
  const outcome = wide
    ? cut(outcomeText(record), room - TARGET_MIN - 1)
    : plain
      ? ''
      : cut(shortOutcome(record), room - 2);
  const target = safe(request === null ? '(request not seen)' : targetText(record, request));
  // Wide enough for the longest usual outcome: then outcomes form a column too.
  const targetWidth =
    outcome === '' ? room : room - 1 - (wide ? Math.max(outcome.length, OUTCOME_WIDTH) : outcome.length);
  const infinite = look.width === Number.POSITIVE_INFINITY;
  return [
    paint(time, 'dim', look),
    side,
    service,
    method,
    paint(status, statusColour(response?.status), look),
    took,
    paint(sizes, 'dim', look),
    infinite ? target : outcome === '' ? cut(target, targetWidth) : column(target, targetWidth, look),
    ...(outcome === '' ? [] : [plain ? outcome : paint(outcome, 'yellow', look)]),
  ].join(' ');
}

const SERVICE_WIDE = 24;
const SERVICE_NARROW = 14;
const SERVICE_MIN = 4;
/** What the other columns of a narrow terminal take, and the target at least. */
const BESIDE_SERVICE = 44 + TARGET_MIN;

/** On a very narrow terminal the service gives way, so that a call is one line. */
const narrowService = (width: number): number =>
  Math.max(SERVICE_MIN, Math.min(SERVICE_NARROW, width - BESIDE_SERVICE));

/** The columns that say when and where, of every kind of line. */
export function place(
  record: { readonly ts: string | null; readonly side: string; readonly service: string },
  look: Look,
): { time: string; side: string; service: string } {
  const wide = look.width >= WIDE;
  return {
    time: clock(record.ts, wide),
    side: wide ? record.side.padEnd(7) : (SIDES[record.side] ?? '?').padEnd(3),
    service: column(serviceText(record.service, wide), wide ? SERVICE_WIDE : narrowService(look.width), look),
  };
}

/** "reset_before_headers" */
const OUTCOME_WIDTH = 20;

/** On a narrow terminal the unit's kind goes: most are services. */
const serviceText = (service: string, wide: boolean): string =>
  safe((wide ? service : service.replace(/\.service$/, '')) || '-');

/** Header lines: `> ` of the request, `< ` of the response; long values wrap. Ends with a newline when there are any. */
export function headerLines(record: ExchangeRecord, look: Look): string {
  const lines = [
    ...(record.request === null ? [] : fieldLines('>', record.request, look)),
    ...(record.response === null ? [] : fieldLines('<', record.response, look)),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function fieldLines(
  mark: string,
  message: { headers: readonly FieldPair[]; trailers: readonly FieldPair[] },
  look: Look,
): string[] {
  return [...message.headers, ...message.trailers].flatMap(([name, value]) =>
    wrap(`    ${mark} ${safe(name)}: ${safe(value)}`, look.width).map((line) => paint(line, 'dim', look)),
  );
}

const INDENT = ' '.repeat(8);

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    lines.push(rest.slice(0, width));
    rest = INDENT + rest.slice(width);
  }
  lines.push(rest);
  return lines;
}

/** Local time of day: that is the clock on the reader's wall. */
function clock(ts: string | null, wide: boolean): string {
  const date = ts === null ? null : new Date(`${ts.slice(0, 23)}Z`);
  if (date === null || Number.isNaN(date.getTime())) return wide ? '--:--:--.---' : '--:--:--';
  const two = (n: number): string => String(n).padStart(2, '0');
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return wide ? `${text}.${String(date.getMilliseconds()).padStart(3, '0')}` : text;
}

/** A client's calls go to many hosts: their authority is shown; a server's calls all have its own. */
const targetText = (record: ExchangeRecord, request: RequestRecord): string =>
  record.side === 'client' && request.target.startsWith('/') ? request.authority + request.target : request.target;

const size = (message: { head_bytes: number; body_bytes: number } | null): string =>
  message === null ? '-' : shortBytes(message.head_bytes + message.body_bytes);

function elapsed(record: ExchangeRecord): string {
  const { first_request_byte: from, last_response_byte: to } = record.timing_ns;
  return from === null || to === null ? '-' : duration(to - from);
}

function outcomeText(record: ExchangeRecord): string {
  const missing = record.losses.map((loss) => `${loss.reason} ${shortBytes(loss.bytes)}`);
  return missing.length === 0 ? record.outcome : `${record.outcome}, missing: ${missing.join(', ')}`;
}

/** Whether an answer had begun is in the status column. */
const SHORT_OUTCOMES: Readonly<Partial<Record<Outcome, string>>> = {
  reset_before_headers: 'reset',
  reset_in_body: 'reset',
  client_abort: 'aborted',
  truncated: 'cut',
  protocol_error: 'bad http',
};

function shortOutcome(record: ExchangeRecord): string {
  if (record.outcome === 'complete') return 'missing bytes';
  return SHORT_OUTCOMES[record.outcome] ?? record.outcome;
}

function statusColour(status: number | undefined): Colour {
  if (status === undefined || status >= 500) return 'red';
  if (status >= 400) return 'yellow';
  return status >= 300 ? 'cyan' : 'green';
}
