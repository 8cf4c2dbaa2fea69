import { EXIT } from '../../base/failure.ts';
import type { ExchangeRecord, WebSocketRecord } from '../../model/record.ts';
import type { CallAnswer, SqlAnswer } from '../../query/calls.ts';
import { jsonValue } from '../../query/json-value.ts';
import type { QueryFlags } from '../flags.ts';
import { callLine, headerLines } from '../text/call-line.ts';
import { some } from '../text/numbers.ts';
import { whileWaiting } from '../text/progress.ts';
import { cut, lookOf, safe } from '../text/terminal.ts';
import { webSocketLine } from '../text/websocket-line.ts';
import { settledData } from './agent.ts';
import { answeredBy, failQuery, openData, sayDamaged } from './data.ts';
import { checkFilterFlag, failFilter } from './settings.ts';

/** Calls asked for in one go. */
const PAGE = 1_000;

/** `headwater query`: past calls, newest first, or the rows of a SELECT. */
export async function query(flags: QueryFlags): Promise<number> {
  if (flags.filter !== undefined) checkFilterFlag(flags.filter);
  const reader = await openData(flags.data ?? (await settledData(flags.socket)));
  try {
    const calls = await import('../../query/calls.ts');
    if (flags.sql !== undefined) {
      const rows = calls.querySql(reader, flags.sql, { rows: flags.limit ?? PAGE });
      showRows(answeredBy(reader, await whileWaiting('asking the store', rows)), flags);
      return EXIT.DONE;
    }
    const { parseRange } = await import('../../query/calls-range.ts');
    const range = answeredBy(reader, parseRange(flags.since, flags.until, Date.now()));
    const limit = flags.limit ?? calls.CALLS_LIMIT;
    let shown = 0;
    let cursor: string | null = null;
    let searching = 'searching the store';
    const startedMs = performance.now();
    do {
      const page: Promise<CallAnswer> = calls.queryCalls(reader, {
        ...(flags.filter === undefined ? {} : { filter: flags.filter }),
        range,
        limit: Math.min(PAGE, limit - shown),
        pageMs: calls.PAGE_MS,
        ...(cursor === null ? {} : { cursor }),
      });
      const answer: CallAnswer = await whileWaiting(searching, page, startedMs);
      if (!answer.ok) {
        reader.close();
        if (answer.error.type === 'filter') failFilter(answer.error.error);
        failQuery(answer.error);
      }
      const sessions = new Map(answer.value.websockets.map((session) => [session.exchange, session]));
      for (const call of answer.value.calls) {
        await show(call, flags);
        const session = sessions.get(call.id);
        if (session !== undefined) await show(session, flags);
      }
      shown += answer.value.calls.length;
      cursor = answer.value.next;
      if (answer.value.searched_until !== null)
        searching = `searching the store before ${answer.value.searched_until.slice(0, 19)}Z`;
      if (cursor === null) sayDamaged(answer.value.damaged);
    } while (cursor !== null && shown < limit);
    if (process.stderr.isTTY)
      process.stderr.write(
        shown === 0
          ? 'no call matches\n'
          : `${some(shown, 'call')}${cursor === null ? '' : '; there are more: --limit N'}\n`,
      );
    return EXIT.DONE;
  } finally {
    reader.close();
  }
}

async function show(record: ExchangeRecord | WebSocketRecord, flags: QueryFlags): Promise<void> {
  const look = lookOf(process.stdout, process.env);
  const text =
    flags.json === true
      ? `${JSON.stringify(record)}\n`
      : record.type === 'websocket'
        ? `${webSocketLine(record, look)}\n`
        : `${callLine(record, look)}\n${flags.headers === true ? headerLines(record, look) : ''}`;
  if (process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

function showRows({ columns, rows, more }: SqlAnswer, flags: QueryFlags): void {
  const cells = rows.map((row) => row.map(jsonValue));
  if (flags.json === true) {
    for (const row of cells)
      process.stdout.write(`${JSON.stringify(Object.fromEntries(columns.map((name, i) => [name, row[i]])))}\n`);
  } else {
    const texts = cells.map((row) => row.map((cell) => safe(typeof cell === 'string' ? cell : JSON.stringify(cell))));
    const look = lookOf(process.stdout, process.env);
    const widths = fittingWidths([columns, ...texts], look.width);
    for (const row of [columns, ...texts])
      process.stdout.write(
        `${cut(
          row
            .map((cell, i) => cut(cell, widths[i]!).padEnd(widths[i]!))
            .join(GAP)
            .trimEnd(),
          look.width,
        )}\n`,
      );
    if (rows.length === 0 && process.stderr.isTTY) process.stderr.write('no rows\n');
  }
  if (more) process.stderr.write('headwater: there are more rows: --limit N, or LIMIT and OFFSET in the query\n');
}

const GAP = '  ';
/** What a column keeps on a narrow terminal. */
const CELL_MIN = 8;

/** As wide as the widest cell, the widest columns cut first until a row fits. */
function fittingWidths(rows: readonly (readonly string[])[], width: number): number[] {
  const widths = rows[0]!.map((_, i) => rows.reduce((most, row) => Math.max(most, row[i]!.length), 0));
  const over = (): number => widths.reduce((sum, w) => sum + w, GAP.length * (widths.length - 1)) - width;
  while (over() > 0) {
    const widest = Math.max(...widths);
    if (widest <= CELL_MIN) break;
    const next = Math.max(CELL_MIN, ...widths.filter((w) => w < widest));
    const all = widths.flatMap((w, i) => (w === widest ? [i] : []));
    const less = Math.max(1, Math.min(widest - next, Math.ceil(over() / all.length)));
    for (const i of all) widths[i] = widest - less;
  }
  return widths;
}
