import { EXIT } from '../../base/failure.ts';
import type { ExchangeRecord, SummaryRecord, TailLostRecord } from '../../model/record.ts';
import type { TailFlags } from '../program.ts';
import { callLine, headerLines } from '../text/call-line.ts';
import { count } from '../text/numbers.ts';
import { lookOf } from '../text/terminal.ts';
import { answered, connect } from './agent.ts';
import { checkFilterFlag } from './settings.ts';

type TailRecord = ExchangeRecord | SummaryRecord | TailLostRecord;

/** `headwater tail`: until SIGINT, or until the agent ends. */
export async function tail(flags: TailFlags): Promise<number> {
  if (flags.filter !== undefined) checkFilterFlag(flags.filter);
  const client = connect(flags.socket);
  const stream = answered(client, await client.tail(flags.filter ?? null));
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interrupted = true;
      stream.close();
    });
  }
  if (process.stderr.isTTY) process.stderr.write(waiting(flags));
  try {
    for await (const line of stream.lines) await show(line, flags);
  } catch (error) {
    if (!interrupted) throw error;
  }
  if (!interrupted) process.stderr.write('headwater: the agent has ended\n');
  return EXIT.DONE;
}

const waiting = (flags: TailFlags): string =>
  flags.filter === undefined
    ? 'waiting for calls (Ctrl-C ends)\n'
    : `waiting for calls that match ${flags.filter} (Ctrl-C ends)\n`;

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
    case 'tail_lost':
      return `... ${count(record.count)} calls not shown: this viewer was too slow\n`;
    case 'summary':
      return '';
  }
}
