/** What the demo prints of the calls and of the ledger. Pure: records and a width in, text out. */
import type { ExchangeRecord, FieldPair, SummaryRecord } from '../../model/record.ts';
import type { AgentStatus } from '../../model/status.ts';
import { count, duration } from '../text/numbers.ts';
import type { ShortLine } from '../text/short-report.ts';
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

/** All of one call: both legs, requests and responses, each attempt in its turn. */
export function callText(number: number, title: string, call: Call, page: Page): string {
  const legs = page.width >= WIDE ? beside(call, page) : stacked(call, page);
  return `${[rule(`${number}  ${safe(title)}`, page), ...legs].join('\n')}\n`;
}

// Both legs as tables of rows.

const requestFields = (record: ExchangeRecord | undefined): readonly FieldPair[] => record?.request?.headers ?? [];
const responseFields = (record: ExchangeRecord | undefined): readonly FieldPair[] => record?.response?.headers ?? [];

const attemptName = (i: number): string => (i === 0 ? 'gateway → provider' : `gateway → provider, attempt ${i + 1}`);
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

/** One row of two fields, either of which may be absent; without `passage` they are not compared. */
function fieldRow(left: FieldPair | null, right: FieldPair | null, passage: Passage | null, page: Page): string[] {
  const width = half(page);
  const a = left === null ? [] : wrap(fieldText(left), width);
  const b = right === null ? [] : wrap(fieldText(right), width);
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const mark = i === 0 && passage !== null ? ` ${MARK[passage]} ` : ' '.repeat(GUTTER);
    const text = `${INDENT}${(a[i] ?? '').padEnd(width)}${mark}${b[i] ?? ''}`.trimEnd();
    return paint(text, passage === null ? 'dim' : COLOUR[passage], page.look);
  });
}

/** In the order of events: the first attempt beside the request, the last one's response beside the answer. */
function beside({ inbound, upstream }: Call, page: Page): string[] {
  const first = upstream[0];
  const last = upstream.at(-1);
  const alone = (fields: readonly FieldPair[]): string[] =>
    fields.flatMap((field) => fieldRow(null, field, null, page));
  const lines = [
    ...pair(
      legTitle('client → gateway', inbound),
      first === undefined ? '(nothing went upstream)' : legTitle(attemptName(0), first),
      page,
      ['cyan', 'cyan'],
    ),
    ...pair(requestLine(inbound), first === undefined ? '' : requestLine(first), page),
    ...passages(requestFields(inbound), requestFields(first)).flatMap(({ from, to, passage }) =>
      fieldRow(from, to, passage, page),
    ),
    '',
  ];
  for (const [i, attempt] of upstream.entries()) {
    if (i > 0) {
      lines.push(...pair('', legTitle(attemptName(i), attempt), page, ['dim', 'cyan']));
      lines.push(...pair('', requestLine(attempt), page), ...alone(requestFields(attempt)), '');
    }
    if (attempt === last) break;
    lines.push(...pair('', responseLine(attempt), page, ['dim', statusColour(attempt)]));
    lines.push(...alone(responseFields(attempt)), '');
  }
  return [
    ...lines,
    ...pair(responseLine(inbound), last === undefined ? '' : responseLine(last), page, [
      statusColour(inbound),
      last === undefined ? 'dim' : statusColour(last),
    ]),
    // A response goes the other way: it comes from upstream, at the right.
    ...passages(responseFields(last), responseFields(inbound)).flatMap(({ from, to, passage }) =>
      fieldRow(to, from, passage, page),
    ),
  ];
}

// One below the other.

/** The fields of one message, marked by the rows they are part of. */
function fieldLines(fields: readonly FieldPair[], rows: readonly FieldRow[], page: Page): string[] {
  const width = page.width - 1 - INDENT.length - 2;
  return fields.flatMap((field) => {
    const passage = rows.find((row) => row.from === field || row.to === field)?.passage;
    return wrap(fieldText(field), width).map((text, i) => {
      const mark = i === 0 && passage !== undefined ? MARK[passage] : ' ';
      return paint(`${INDENT}${mark} ${text}`, passage === undefined ? 'dim' : COLOUR[passage], page.look);
    });
  });
}

function stacked({ inbound, upstream }: Call, page: Page): string[] {
  const requests = passages(requestFields(inbound), requestFields(upstream[0]));
  const responses = passages(responseFields(upstream.at(-1)), responseFields(inbound));
  const line = (text: string, colour: Colour): string[] =>
    wrap(INDENT + text, page.width - 1).map((part) => paint(part, colour, page.look));
  const leg = (title: string, record: ExchangeRecord): string[] => [
    ...line(legTitle(title, record), 'cyan'),
    ...line(requestLine(record), 'bold'),
    ...fieldLines(requestFields(record), requests, page),
    ...line(responseLine(record), statusColour(record)),
    ...fieldLines(responseFields(record), responses, page),
  ];
  const attempts = upstream.flatMap((attempt, i) => ['', ...leg(attemptName(i), attempt)]);
  const none = upstream.length === 0 ? ['', `${INDENT}(nothing went upstream)`] : [];
  return [...leg('client → gateway', inbound), ...attempts, ...none];
}

// The ledger.

export interface Accounts {
  readonly summary: SummaryRecord;
  /** Taken just before the end; null when the agent did not answer. */
  readonly status: AgentStatus | null;
  readonly callsMade: number;
  readonly calls: readonly Call[];
  /** Calls that the busy clients made, and those that were captured at the gateway. */
  readonly busyMade: number;
  readonly busyCaptured: number;
  readonly records: readonly ExchangeRecord[];
}

export function ledgerText(accounts: Accounts, page: Page): string {
  const { summary, status, callsMade, calls, busyMade, busyCaptured, records } = accounts;
  const attempts = calls.reduce((sum, call) => sum + call.upstream.length, 0);
  const whole = records.filter((record) => record.losses.length === 0).length;
  const side = (name: string): string => count(records.filter((record) => record.side === name).length);
  const rows: [string, string][] = [
    ['calls', `${count(callsMade)} made, ${count(calls.length)} captured, with ${count(attempts)} calls upstream`],
    ['busy', `${count(busyMade)} made, ${count(busyCaptured)} captured`],
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
  return labelled('Ledger', rows, page);
}

/** The five statistics of what the demo saw. */
export const statisticsText = (lines: readonly ShortLine[], page: Page): string =>
  labelled('Statistics of the gateway', lines, page);

function labelled(title: string, rows: readonly (readonly [label: string, text: string])[], page: Page): string {
  const column = rows.reduce((most, [label]) => Math.max(most, label.length), 8) + 2;
  const width = page.width - 1 - INDENT.length - column;
  const lines = rows.flatMap(([label, text]) =>
    words(text, width).map(
      (line, i) => INDENT + paint((i === 0 ? label : '').padEnd(column), 'bold', page.look) + line,
    ),
  );
  return `${[rule(title, page), ...lines].join('\n')}\n`;
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
