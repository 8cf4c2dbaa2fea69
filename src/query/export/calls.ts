/** Every stored call that is wanted, oldest first, in bounded memory: one segment at a time, a few thousand calls at a time. */
import { RECORD_COLUMNS, RecordBuilder } from '../../store/call-record.ts';
import type { Answer, Rows } from '../../store/database.ts';
import type { StoreReader } from '../../store/reader.ts';
import type { SegmentFiles } from '../../store/segment-files.ts';
import { callsTable } from '../../store/tables.ts';
import { all, holds, mayMeet } from '../condition.ts';
import { sessionsOf } from '../sessions.ts';
import type { WantedCalls } from '../wanted-calls.ts';
import type { CallBatch } from './format.ts';

/** Calls read in one go. */
const BATCH = 8_192;
const TIMEOUT_MS = 60_000;

/**
 * In the order in which they were stored, which is that in which they ended. A file that turns out to be damaged is left out and named in
 * `reader.damaged`. A batch may be empty.
 */
export async function* storedCalls(
  reader: StoreReader,
  { condition, matches }: WantedCalls,
): AsyncGenerator<Answer<CallBatch>> {
  const builder = new RecordBuilder();
  for (const files of reader.segments) {
    if (!mayMeet(condition.need, files)) continue;
    let after = -1;
    for (;;) {
      const where = all(condition, holds(`sequence > ${after}`)).sql;
      const answer = await read(reader, files, where);
      if (!answer.ok) {
        if (answer.error.type === 'timeout' || answer.error.type === 'memory') yield answer;
        // The statement is this program's own: what fails about it is the file.
        else await reader.exclude(files.calls);
        break;
      }
      const { rows } = answer.value;
      const calls = rows.map((row) => builder.record(row)).filter(matches);
      const websockets = await sessionsOf(reader, calls);
      if (!websockets.ok) {
        yield websockets;
        break;
      }
      yield { ok: true, value: { calls, websockets: websockets.value } };
      if (rows.length < BATCH) break;
      after = Number(rows.at(-1)![0]);
    }
  }
}

const read = (reader: StoreReader, files: SegmentFiles, where: string): Promise<Answer<Rows>> =>
  reader.database.select(
    `SELECT ${RECORD_COLUMNS.join(', ')} FROM ${callsTable([files])} WHERE ${where} ORDER BY sequence LIMIT ${BATCH}`,
    TIMEOUT_MS,
  );
