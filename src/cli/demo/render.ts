/** What the demo prints of the calls and of the ledger. Pure: records and a width in, text out. */
import type { ExchangeRecord, FieldPair, SummaryRecord } from '../../model/record.ts';
import type { AgentStatus } from '../../model/status.ts';
import { count, duration } from '../text/numbers.ts';
import { type Colour, cut, type Look, paint, safe } from '../text/terminal.ts';
import { type Call, type FieldRow, type Passage, passages } from './legs.ts';

/** From this width on the two legs of a call stand side by side. */
const WIDE = 110;
/** Width where the output is no terminal. */
const PLAIN_WIDTH = 120;
const INDENT = '  ';
const GUTTER = 3;

const MARK: Readonly<Record<Passage, string>> = { forwarded: '=', rewritten: '~', added: '+', dropped: '-' };
const COLOUR: Readonly<Record<Passage, Colour>> = {
  forwarded: 'dim',
  rewritten: 'yellow',
  added: 'green',
  dropped: 'red',
};

export interface Page {
  readonly look: Look;
  readonly width: number;
}

export const pageOf = (look: Look): Page => ({
  look,
  width: Number.isFinite(look.width) ? Math.min(look.width, 200) : PLAIN_WIDTH,
});

const rule = (title: string, { look, width }: Page): string => {
  const text = cut(`── ${title} `, width - 1);
  return paint(text.padEnd(width - 1, '─'), 'bold', look);
};

export function legend({ look, width }: Page): string {
  const parts = (['forwarded', 'rewritten', 'added', 'dropped'] as const).map(
    (passage) => `${paint(MARK[passage], COLOUR[passage], look)} ${passage}`,
  );
  const lead = width >= WIDE ? 'What the gateway did to each header field:  ' : 'Header fields:  ';
  return `${lead}${parts.join('   ')}`;
}

/** All of one call: both legs, request and response. */
export function callText(number: number, title: string, call: Call, page: Page): string {
  const lines = [rule(`${number}  ${safe(title)}`, page)];
  const { inbound, upstream } = call;
  const first = upstream[0] ?? null;
  lines.push(...(page.width >= WIDE ? beside(inbound, first, page) : stacked(inbound, first, page)));
  for (const [i, attempt] of upstream.slice(1).entries()) {
    lines.push(
      '',
      ...(page.width >= WIDE
        ? besideAgain(attempt, inbound, i + 2, page)
        : stackedAgain(attempt, inbound, i + 2, page)),
    );
  }
  return `${lines.join('\n')}\n`;
}

// Both legs as tables of rows.

const requestRows = (from: ExchangeRecord, to: ExchangeRecord | null): FieldRow[] =>
  passages(from.request?.headers ?? [], to?.request?.headers ?? []);
/** A response goes the other way: it comes from upstream and leaves inbound. */
const responseRows = (inbound: ExchangeRecord, upstream: ExchangeRecord | null): FieldRow[] =>
  passages(upstream?.response?.headers ?? [], inbound.response?.headers ?? []);

const legTitle = (name: string, record: ExchangeRecord): string =>
  `${name}  ${record.client.address}:${record.client.port} → ${record.server.port}`;
const requestLine = ({ request }: ExchangeRecord): string =>
  request === null ? '(request not seen)' : safe(`${request.method} ${request.target}`);

function responseLine(record: ExchangeRecord): string {
  const { response, timing_ns: at } = record;
  if (response === null) return `(no response: ${record.outcome})`;
  const total = at.last_response_byte === null ? '' : `, ${duration(at.last_response_byte)}`;
  const first = at.first_response_byte === null ? '' : ` (first byte ${duration(at.first_response_byte)})`;
  const missing = record.losses.map((loss) => `, missing: ${loss.reason} ${count(loss.bytes)} bytes`).join('');
  const outcome = record.outcome === 'complete' ? '' : `, ${record.outcome}`;
  return safe(
    `${response.status} ${response.reason}${outcome}${missing}${total}${first}, ${count(response.body_bytes)} bytes`,
  );
}

function statusColour(record: ExchangeRecord): Colour {
  const status = record.response?.status ?? 0;
  return status >= 200 && status < 300 ? 'green' : status >= 400 && status < 500 ? 'yellow' : 'red';
}

/** In lines of at most `width`, broken at a space where one is near the end; what goes on below is indented. */
function wrap(text: string, width: number): string[] {
  let rest = text;
  const lines: string[] = [];
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width);
    const end = space > width * 0.6 ? space : width;
    lines.push(rest.slice(0, end));
    rest = INDENT + INDENT + rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

const fieldText = ([name, value]: FieldPair): string => safe(`${name}: ${value}`).trimEnd();

// Side by side.

const half = (page: Page): number => Math.floor((page.width - 1 - INDENT.length - GUTTER) / 2);

function pair(
  left: string,
  right: string,
  page: Page,
  colours: readonly [Colour, Colour] = ['bold', 'bold'],
): string[] {
  const width = half(page);
  const a = wrap(left, width);
  const b = wrap(right, width);
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const padding = ' '.repeat(width - (a[i] ?? '').length + GUTTER);
    const right = paint(b[i] ?? '', colours[1], page.look);
    return `${INDENT}${paint(a[i] ?? '', colours[0], page.look)}${right === '' ? '' : padding + right}`;
  });
}

/** One row of fields; `flip`: what came to the gateway stands at the right (responses). */
function fieldRow(row: FieldRow, flip: boolean, page: Page): string[] {
  const width = half(page);
  const [left, right] = flip ? [row.to, row.from] : [row.from, row.to];
  const a = left === null ? [] : wrap(fieldText(left), width);
  const b = right === null ? [] : wrap(fieldText(right), width);
  const colour = COLOUR[row.passage];
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const mark = i === 0 ? ` ${MARK[row.passage]} ` : '   ';
    const text = `${INDENT}${(a[i] ?? '').padEnd(width)}${mark}${b[i] ?? ''}`.trimEnd();
    return paint(text, colour, page.look);
  });
}

function beside(inbound: ExchangeRecord, upstream: ExchangeRecord | null, page: Page): string[] {
  return [
    ...pair(
      legTitle('client → gateway', inbound),
      upstream === null ? '(nothing went upstream)' : legTitle('gateway → provider', upstream),
      page,
      ['cyan', 'cyan'],
    ),
    ...pair(requestLine(inbound), upstream === null ? '' : requestLine(upstream), page),
    ...requestRows(inbound, upstream).flatMap((row) => fieldRow(row, false, page)),
    '',
    ...pair(responseLine(inbound), upstream === null ? '' : responseLine(upstream), page, [
      statusColour(inbound),
      upstream === null ? 'dim' : statusColour(upstream),
    ]),
    ...responseRows(inbound, upstream).flatMap((row) => fieldRow(row, true, page)),
  ];
}

function besideAgain(attempt: ExchangeRecord, inbound: ExchangeRecord, number: number, page: Page): string[] {
  return [
    ...pair('', legTitle(`gateway → provider, attempt ${number}`, attempt), page, ['cyan', 'cyan']),
    ...pair('', requestLine(attempt), page),
    ...requestRows(inbound, attempt)
      .filter((row) => row.to !== null)
      .flatMap((row) => fieldRow({ ...row, from: null }, false, page)),
    '',
    ...pair('', responseLine(attempt), page, ['dim', statusColour(attempt)]),
    ...responseRows(inbound, attempt)
      .filter((row) => row.from !== null)
      .flatMap((row) => fieldRow({ ...row, to: null }, true, page)),
  ];
}

// One below the other.

function fields(message: readonly FieldPair[], passageOf: (field: FieldPair) => Passage | null, page: Page): string[] {
  const width = page.width - 1 - INDENT.length - 2;
  return message.flatMap((field) => {
    const passage = passageOf(field);
    return wrap(fieldText(field), width).map((text, i) => {
      const mark = i === 0 && passage !== null ? MARK[passage] : ' ';
      return paint(`${INDENT}${mark} ${text}`, passage === null ? 'dim' : COLOUR[passage], page.look).trimEnd();
    });
  });
}

function leg(
  title: string,
  record: ExchangeRecord,
  rows: { request: FieldRow[]; response: FieldRow[] },
  page: Page,
): string[] {
  const { look } = page;
  const at = (list: FieldRow[], field: FieldPair): Passage | null =>
    list.find((row) => row.from === field || row.to === field)?.passage ?? null;
  return [
    paint(cut(INDENT + legTitle(title, record), page.width - 1), 'cyan', look),
    ...wrap(INDENT + requestLine(record), page.width - 1).map((line) => paint(line, 'bold', look)),
    ...fields(record.request?.headers ?? [], (field) => at(rows.request, field), page),
    ...wrap(INDENT + responseLine(record), page.width - 1).map((line) => paint(line, statusColour(record), look)),
    ...fields(record.response?.headers ?? [], (field) => at(rows.response, field), page),
  ];
}

function stacked(inbound: ExchangeRecord, upstream: ExchangeRecord | null, page: Page): string[] {
  const rows = { request: requestRows(inbound, upstream), response: responseRows(inbound, upstream) };
  const below =
    upstream === null ? [`${INDENT}(nothing went upstream)`] : leg('gateway → provider', upstream, rows, page);
  return [...leg('client → gateway', inbound, rows, page), '', ...below];
}

const stackedAgain = (attempt: ExchangeRecord, inbound: ExchangeRecord, number: number, page: Page): string[] =>
  leg(
    `gateway → provider, attempt ${number}`,
    attempt,
    { request: requestRows(inbound, attempt), response: responseRows(inbound, attempt) },
    page,
  );

// The ledger.

export interface Accounts {
  readonly summary: SummaryRecord;
  /** Taken just before the end; null when the agent did not answer. */
  readonly status: AgentStatus | null;
  readonly callsMade: number;
  readonly calls: readonly Call[];
  readonly records: readonly ExchangeRecord[];
}

export function ledgerText({ summary, status, callsMade, calls, records }: Accounts, page: Page): string {
  const attempts = calls.reduce((sum, call) => sum + call.upstream.length, 0);
  const whole = records.filter((record) => record.losses.length === 0).length;
  const side = (name: string): string => count(records.filter((record) => record.side === name).length);
  const rows: [string, string][] = [
    ['calls', `${count(callsMade)} made, ${count(calls.length)} captured, with ${count(attempts)} calls upstream`],
    [
      'records',
      `${count(summary.exchanges)}: ${side('server')} at the server's end, ${side('client')} at the client's end of a connection`,
    ],
    ['whole', `${count(whole)} of ${count(records.length)} records miss nothing`],
    [
      'traffic',
      `${count(summary.segments)} segments with ${count(summary.bytes)} bytes on ${count(summary.connections)} connections`,
    ],
  ];
  if (status !== null) {
    const { copied, window, not_http, shed, lost } = status.ledger.captured;
    const parts = [
      `${count(copied.segments)} copied`,
      `${count(window.segments)} beyond the window`,
      `${count(not_http.segments)} not HTTP`,
      `${count(shed.segments)} shed`,
      `${count(lost.segments)} lost`,
    ];
    rows.push(['segments', parts.join(', ')]);
    const cpu = status.processes.reduce((sum, process) => sum + process.cpu_s, 0);
    const memory = status.processes.reduce((sum, process) => sum + process.rss_bytes, 0);
    rows.push([
      'cost',
      `${cpu.toFixed(2)} s of CPU, ${count(memory / 2 ** 20)} MiB of memory in ${status.processes.length} processes`,
    ]);
  }
  const losses = summary.losses.map((loss) => `${loss.reason} ${count(loss.count)}x, ${count(loss.bytes)} bytes`);
  rows.push(['losses', losses.length === 0 ? 'none' : losses.join('; ')]);
  const width = page.width - 1 - INDENT.length - 10;
  const lines = rows.flatMap(([label, text]) =>
    words(text, width).map((line, i) => INDENT + paint((i === 0 ? label : '').padEnd(10), 'bold', page.look) + line),
  );
  return `${[rule('Ledger', page), ...lines].join('\n')}\n`;
}

/** Breaks at spaces. */
function words(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}
