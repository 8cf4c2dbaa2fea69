/** What WebSockets carried, for the calls that were their handshakes. A session is stored when it ends, perhaps hours after its call. */
import type { WebSocketRecord } from '../model/record.ts';
import { timeText } from '../store/call-record.ts';
import { type Answer, quote, spent } from '../store/database.ts';
import type { StoreReader } from '../store/reader.ts';
import { parquet } from '../store/tables.ts';

const TIMEOUT_MS = 30_000;
const UPGRADE = 'websocket';

/** What is asked of a call. */
export interface Handshake {
  readonly id: string;
  readonly upgrade?: string;
}

/** Sessions by the id of their handshake; of those that have ended. A file that turns out to be damaged is named in `reader.damaged`. */
export async function sessionsOf(
  reader: StoreReader,
  calls: readonly Handshake[],
): Promise<Answer<ReadonlyMap<string, WebSocketRecord>>> {
  const found = new Map<string, WebSocketRecord>();
  const wanted = calls.filter(({ upgrade }) => upgrade === UPGRADE).map(({ id }) => keyOf(id));
  const sound = (): string[] =>
    reader.segments.flatMap(({ websockets }) =>
      websockets === null || reader.damaged.has(websockets) ? [] : websockets,
    );
  if (wanted.length === 0 || sound().length === 0) return { ok: true, value: found };
  const sql = (files: readonly string[]): string =>
    `SELECT run, connection, ordinal, epoch_ns(ts), side, service, session FROM ${parquet(files)}
     WHERE (run, connection, ordinal) IN (${wanted.join(', ')})`;
  let answer = await reader.database.select(sql(sound()), TIMEOUT_MS);
  if (!answer.ok && !spent(answer.error)) {
    for (const path of sound()) {
      const alone = await reader.database.select(sql([path]), TIMEOUT_MS);
      if (!alone.ok && !spent(alone.error)) reader.damaged.add(path);
    }
    if (sound().length === 0) return { ok: true, value: found };
    answer = await reader.database.select(sql(sound()), TIMEOUT_MS);
  }
  if (!answer.ok) return answer;
  for (const row of answer.value.rows) {
    const [run, connection, ordinal, ts, side, service, session] = row as [
      string,
      bigint,
      number,
      bigint | null,
      string,
      string,
      string,
    ];
    const of = `${run}-${Number(connection).toString(36)}`;
    const exchange = `${of}-${ordinal.toString(36)}`;
    found.set(exchange, {
      type: 'websocket',
      exchange,
      ts: ts === null ? null : timeText(ts),
      connection: of,
      side,
      service,
      ...(JSON.parse(session) as Omit<WebSocketRecord, 'type' | 'exchange' | 'ts' | 'connection' | 'side' | 'service'>),
    });
  }
  return { ok: true, value: found };
}

/** Id of a call as the store's columns have it. */
function keyOf(id: string): string {
  const [ordinal, connection, ...run] = id.split('-').reverse();
  return `(${quote(run.reverse().join('-'))}, ${Number.parseInt(connection!, 36)}, ${Number.parseInt(ordinal!, 36)})`;
}
