import { EXIT } from '../../base/failure.ts';
import { defaultSocketPath } from '../../config/paths.ts';
import type { TimeRange } from '../../query/calls-range.ts';
import type { Report } from '../../query/report.ts';
import { AgentClient } from '../../serve/client.ts';
import { comparisonMarkdown, comparisonText, reportMarkdown, reportText } from '../../stats/render.ts';
import type { ReportFlags } from '../program.ts';
import { answeredBy, openData, sayDamaged } from './data.ts';

/** `headwater report`: the five statistics over a range, or what changed between two. */
export async function report(flags: ReportFlags): Promise<number> {
  if (
    flags.against === undefined &&
    flags.data === undefined &&
    flags.since === undefined &&
    flags.until === undefined
  ) {
    const live = await ofAgent(flags.socket);
    if (live !== null) {
      show(live, flags);
      return EXIT.DONE;
    }
  }
  const reader = await openData(flags.data);
  try {
    const { parseRange } = await import('../../query/calls-range.ts');
    const states = await import('../../query/states.ts');
    const now = Date.now();
    const range = answeredBy(reader, parseRange(flags.since, flags.until, now));
    if (flags.against === undefined) {
      show(answeredBy(reader, await states.storedReport(reader, ms(range.since), ms(range.until))), flags);
    } else {
      const { compareRanges } = await import('../../stats/compare.ts');
      const [since, until] = flags.against.split('..');
      const other = answeredBy(reader, parseRange(since === '' ? undefined : since, until, now));
      const side = async (asked: TimeRange) => {
        const found = answeredBy(reader, await states.storedSpan(reader, ms(asked.since), ms(asked.until)));
        const sinceMs = ms(asked.since) ?? found?.sinceMs ?? 0;
        const untilMs = Math.max(sinceMs + 1, ms(asked.until) ?? (found === null ? 0 : found.untilMs + 1));
        const { series } = answeredBy(reader, await states.storedStates(reader, { sinceMs, untilMs }));
        return { states: series, seconds: (untilMs - sinceMs) / 1_000 };
      };
      const rows = compareRanges(await side(other), await side(range));
      process.stdout.write(
        flags.json === true
          ? `${JSON.stringify({ routes: rows }, null, 2)}\n`
          : flags.markdown === true
            ? comparisonMarkdown(rows)
            : comparisonText(rows),
      );
    }
    sayDamaged(reader.damaged);
    return EXIT.DONE;
  } finally {
    reader.close();
  }
}

const ms = (ns: bigint | null): number | null => (ns === null ? null : Number(ns / 1_000n) / 1_000);

/** What the running agent has seen since it started; null: none runs. */
async function ofAgent(socket: string | undefined): Promise<Report | null> {
  const answer = await new AgentClient(socket ?? defaultSocketPath()).report<Report>();
  return answer.ok ? answer.value : null;
}

function show(found: Report, { json, markdown }: ReportFlags): void {
  process.stdout.write(
    json === true
      ? `${JSON.stringify(found, null, 2)}\n`
      : markdown === true
        ? reportMarkdown(found)
        : reportText(found),
  );
}
