/** One call in one line of text, and its header fields below it. Pure: record and terminal in, text out. */
import type { ExchangeRecord, FieldPair, RequestRecord } from '../../model/record.ts';
import { duration, shortBytes } from './numbers.ts';
import { type Colour, column, cut, type Look, paint, safe } from './terminal.ts';

/** From this width on there is room for full columns. */
const WIDE = 120;
const TARGET_MIN = 8;

const SIDES: Readonly<Record<string, string>> = { server: 'srv', client: 'cli' };

/** `TIME SIDE SERVICE METHOD TARGET STATUS DURATION SIZES OUTCOME`, at most as wide as the terminal. */
export function callLine(record: ExchangeRecord, look: Look): string {
  const wide = look.width >= WIDE;
  const { request, response } = record;
  const time = clock(record.ts, wide);
  const side = wide ? record.side.padEnd(7) : (SIDES[record.side] ?? '?').padEnd(3);
  const service = column(safe(record.service || '-'), wide ? 24 : 12, look);
  const method = column(safe(request?.method ?? '?'), wide ? 7 : 4, look);
  const status = String(response?.status ?? '-').padStart(3);
  const took = elapsed(record).padStart(6);
  const sizes = `${size(request)}/${size(response)}`.padStart(wide ? 11 : 9);
  const fixed =
    time.length + side.length + service.length + method.length + status.length + took.length + sizes.length + 8;
  const room = look.width - fixed;
  // A long outcome takes its room from the target, but leaves the target something.
  const outcome = cut(outcomeText(record), Math.max(8, room - TARGET_MIN));
  const targetWidth = look.width === Number.POSITIVE_INFINITY ? 0 : Math.max(TARGET_MIN, room - outcome.length);
  const target = column(safe(request === null ? '(request not seen)' : targetText(record, request)), targetWidth, look);
  const colour = statusColour(response?.status);
  return [
    paint(time, 'dim', look),
    side,
    service,
    method,
    target,
    paint(status, colour, look),
    took,
    paint(sizes, 'dim', look),
    record.outcome === 'complete' && record.losses.length === 0 ? outcome : paint(outcome, 'yellow', look),
  ].join(' ');
}

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

function statusColour(status: number | undefined): Colour {
  if (status === undefined || status >= 500) return 'red';
  if (status >= 400) return 'yellow';
  return status >= 300 ? 'cyan' : 'green';
}
