import { EXIT, fail } from '../../base/failure.ts';
import { parseRange, type TimeRange } from '../../query/calls-range.ts';
import type { Answer } from '../../query/data.ts';
import type { Report } from '../../query/report.ts';
import type { Asked } from '../../query/states.ts';
import { reportMarkdown, reportText } from '../../stats/render.ts';
import { comparisonMarkdown, comparisonText } from '../../stats/render-comparison.ts';
import type { ReportFlags } from '../flags.ts';
import { whileWaiting } from '../text/progress.ts';
import { lookOf } from '../text/terminal.ts';
import { connect, failClient, settledData } from './agent.ts';
import { answeredBy, failQuery, openData, sayDamaged } from './data.ts';

/** `headwater report`: the five statistics over a range, or what changed between two. */
export async function report(flags: ReportFlags): Promise<number> {
  const nowMs = Date.now();
  const asked = rangeOf('', parseRange(flags.since, flags.until, nowMs));
  if (flags.against !== undefined) {
    const [since, until] = flags.against.split('..') as [string, string];
    const other = rangeOf('--against: ', parseRange(since || undefined, until || undefined, nowMs));
    return await compare(other, asked, flags, nowMs);
  }
  const found = (await ofAgent(flags)) ?? (await ofStore(asked, flags, nowMs));
  process.stdout.write(
    flags.json === true
      ? `${JSON.stringify(found, null, 2)}\n`
      : flags.markdown === true
        ? reportMarkdown(found)
        : reportText(found, lookOf(process.stdout, process.env).width),
  );
  return EXIT.DONE;
}

function rangeOf(name: string, range: Answer<TimeRange>): Asked {
  if (!range.ok) fail(EXIT.USAGE, `${name}${range.error.message}`);
  const { since, until } = range.value;
  return { sinceMs: ms(since), untilMs: ms(until) };
}

const time = (unixMs: number): string => new Date(unixMs).toISOString();
const ms = (ns: bigint | null): number | null => (ns === null ? null : Number(ns / 1_000n) / 1_000);

/** What the running agent says; null: a folder was named, or no agent runs and none was named. */
async function ofAgent({ data, socket, since, until }: ReportFlags): Promise<Report | null> {
  if (data !== undefined) return null;
  const client = connect(socket);
  const range = { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) };
  const answer = await whileWaiting('asking the agent', client.report<Report>(range));
  if (answer.ok) {
    if (answer.value.ledger.exchanges === 0)
      process.stderr.write('headwater: the agent has seen no calls in this range; what it watches: headwater status\n');
    return answer.value;
  }
  if (answer.kind === 'absent' && socket === undefined) return null;
  return failClient(client.socketPath, answer);
}

async function ofStore({ sinceMs, untilMs }: Asked, flags: ReportFlags, nowMs: number): Promise<Report> {
  const reader = await openData(flags.data);
  try {
    const { storedExtent, storedReport } = await import('../../query/states.ts');
    const found = answeredBy(
      reader,
      await whileWaiting('reading the store', storedReport(reader, sinceMs, untilMs, nowMs)),
    );
    sayDamaged(reader.damaged);
    if (found.ledger.exchanges === 0) {
      const held = storedExtent(reader);
      process.stderr.write(
        `headwater: ${reader.data} holds ${held === null ? 'no calls yet' : `calls from ${time(held.sinceMs)} to ${time(held.untilMs)}`}\n`,
      );
    }
    return found;
  } finally {
    reader.close();
  }
}

async function compare(before: Asked, after: Asked, flags: ReportFlags, nowMs: number): Promise<number> {
  const reader = await openData(flags.data ?? (await settledData(flags.socket)));
  try {
    const { storedComparison } = await import('../../query/states.ts');
    const answer = await whileWaiting('reading the store', storedComparison(reader, before, after, nowMs));
    if (!answer.ok) failQuery(answer.error);
    const found = answer.value;
    process.stdout.write(
      flags.json === true
        ? `${JSON.stringify(found, null, 2)}\n`
        : flags.markdown === true
          ? comparisonMarkdown(found)
          : comparisonText(found, lookOf(process.stdout, process.env).width),
    );
    sayDamaged(reader.damaged);
    return EXIT.DONE;
  } finally {
    reader.close();
  }
}
