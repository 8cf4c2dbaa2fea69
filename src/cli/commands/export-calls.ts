/** `headwater export`: stored calls that match, oldest first, in a format that other tools read. Redacted: the store holds nothing else. */
import { EXIT } from '../../base/failure.ts';
import { parseRange } from '../../query/calls-range.ts';
import { storedCalls } from '../../query/export/calls.ts';
import { CsvCalls } from '../../query/export/csv.ts';
import type { CallsFormat } from '../../query/export/format.ts';
import { HarCalls } from '../../query/export/har.ts';
import { NdjsonCalls } from '../../query/export/ndjson.ts';
import { ParquetCalls } from '../../query/export/parquet.ts';
import { wantedCalls } from '../../query/wanted-calls.ts';
import type { ExportFlags } from '../flags.ts';
import { some } from '../text/numbers.ts';
import { whileWaiting } from '../text/progress.ts';
import { settledData } from './agent.ts';
import { answeredBy, failQuery, openData, sayDamaged } from './data.ts';
import { type Output, openOutput } from './output.ts';
import { checkFilterFlag, failFilter } from './settings.ts';

const FORMATS: Readonly<Record<ExportFlags['format'], () => CallsFormat>> = {
  ndjson: () => new NdjsonCalls(),
  har: () => new HarCalls(),
  csv: () => new CsvCalls(),
  parquet: () => new ParquetCalls(),
};

export async function exportCalls(flags: ExportFlags): Promise<number> {
  if (flags.filter !== undefined) checkFilterFlag(flags.filter);
  const reader = await openData(flags.data ?? (await settledData(flags.socket)));
  try {
    const range = answeredBy(reader, parseRange(flags.since, flags.until, Date.now()));
    const wanted = wantedCalls(flags.filter, range);
    if (!wanted.ok) return wanted.error.type === 'filter' ? failFilter(wanted.error.error) : failQuery(wanted.error);
    const output: Output = await openOutput(flags.output, flags.format === 'parquet');
    const format = FORMATS[flags.format]();
    let written = 0;
    try {
      await output.write(format.begin());
      const batches = storedCalls(reader, wanted.value)[Symbol.asyncIterator]();
      for (;;) {
        const { value: batch, done } = await whileWaiting(`exporting, ${some(written, 'call')} so far`, batches.next());
        if (done === true) break;
        if (!batch.ok) return failQuery(batch.error);
        written += batch.value.calls.length;
        await output.write(format.calls(batch.value));
      }
      await output.write(format.end());
    } finally {
      await output.close();
    }
    sayDamaged(reader.damaged);
    if (flags.output !== '-') process.stderr.write(`headwater: ${some(written, 'call')} in ${flags.output}\n`);
    return EXIT.DONE;
  } finally {
    reader.close();
  }
}
