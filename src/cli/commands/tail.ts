import { EXIT, fail } from '../../base/failure.ts';
import type { ExchangeRecord, SummaryRecord, TailLostRecord, WebSocketRecord } from '../../model/record.ts';
import { parseRange, type TimeRange } from '../../query/calls-range.ts';
import type { TailFlags } from '../flags.ts';
import { callLine, headerLines } from '../text/call-line.ts';
import { count } from '../text/numbers.ts';
import { whileWaiting } from '../text/progress.ts';
import { lookOf } from '../text/terminal.ts';
import { webSocketLine } from '../text/websocket-line.ts';
import { answered, connect } from './agent.ts';
import { LineBuffer } from './line-buffer.ts';
import { PAST_MAX, pastCalls } from './past-calls.ts';
import { checkFilterFlag } from './settings.ts';

type TailRecord = ExchangeRecord | WebSocketRecord | SummaryRecord | TailLostRecord;

/** `headwater tail`: until SIGINT, or until the agent ends. */
export async function tail(flags: TailFlags): Promise<number> {
  if (flags.filter !== undefined) checkFilterFlag(flags.filter);
  const range = flags.since === undefined ? null : rangeSince(flags.since);
  const client = connect(flags.socket);
  const stream = answered(client, await client.tail(flags.filter ?? null));
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interrupted = true;
      stream.close();
    });
  }
  try {
    let lines = stream.lines;
    /** Calls and sessions shown already: those that ended after the live view began and were stored before the past was read. */
    let shown: Set<string> | null = null;
    if (range !== null) {
      // The live view has begun, so from here on every call is in it, in what has settled, or in both.
      const waiting = new LineBuffer(lines);
      const { data } = answered(client, await client.settled());
      const past = await whileWaiting('reading the store', pastCalls(data, range, flags.filter));
      if (past.more) process.stderr.write(`headwater: only the newest ${count(PAST_MAX)} past calls are shown\n`);
      for (const record of past.records) await show(JSON.stringify(record), flags);
      shown = new Set(past.records.map(keyOf));
      lines = waiting.lines();
    }
    if (process.stderr.isTTY) process.stderr.write(waitingText(flags));
    for await (const line of lines) {
      if (shown !== null && shown.size > 0 && shown.delete(keyOf(JSON.parse(line) as TailRecord))) continue;
      await show(line, flags);
    }
  } catch (error) {
    if (!interrupted) throw error;
  } finally {
    stream.close();
  }
  if (!interrupted) process.stderr.write('headwater: the agent has ended\n');
  return EXIT.DONE;
}

function rangeSince(since: string): TimeRange {
  const range = parseRange(since, undefined, Date.now());
  return range.ok ? range.value : fail(EXIT.USAGE, range.error.message);
}

const waitingText = (flags: TailFlags): string =>
  flags.filter === undefined
    ? 'waiting for calls (Ctrl-C ends)\n'
    : `waiting for calls that match ${flags.filter} (Ctrl-C ends)\n`;

/** What a record is known by: a call's id, or that of the handshake of a WebSocket. */
const keyOf = (record: TailRecord): string =>
  record.type === 'exchange' ? record.id : record.type === 'websocket' ? `ws ${record.exchange}` : '';

/** Waits while the reader of our output is slow, so that it is the agent that counts what we could not take. */
async function show(line: string, flags: TailFlags): Promise<void> {
  const text = flags.json === true ? `${line}\n` : describe(JSON.parse(line) as TailRecord, flags);
  if (text === '' || process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

function describe(record: TailRecord, flags: TailFlags): string {
  // The terminal may have been resized since the last line.
  const look = lookOf(process.stdout, process.env);
  switch (record.type) {
    case 'exchange':
      return `${callLine(record, look)}\n${flags.headers === true ? headerLines(record, look) : ''}`;
    case 'websocket':
      return `${webSocketLine(record, look)}\n`;
    case 'tail_lost':
      return `... ${count(record.count)} calls not shown: this viewer was too slow\n`;
    case 'summary':
      return '';
  }
}
