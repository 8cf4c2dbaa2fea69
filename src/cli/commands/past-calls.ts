/** Calls of the store in the order in which they ended. */
import { EXIT, fail } from '../../base/failure.ts';
import type { ExchangeRecord, WebSocketRecord } from '../../model/record.ts';
import { queryCalls } from '../../query/calls.ts';
import type { TimeRange } from '../../query/calls-range.ts';
import { openData, sayDamaged } from './data.ts';

/** Calls held in memory to turn their order round. */
export const PAST_MAX = 100_000;
const PAGE = 5_000;

/** Oldest first, what a WebSocket carried behind its handshake; `more`: older ones were left out. */
export async function pastCalls(
  data: string,
  range: TimeRange,
  filter: string | undefined,
): Promise<{ records: (ExchangeRecord | WebSocketRecord)[]; more: boolean }> {
  const reader = await openData(data);
  try {
    const calls: ExchangeRecord[] = [];
    const sessions = new Map<string, WebSocketRecord>();
    let cursor: string | null = null;
    do {
      const answer = await queryCalls(reader, {
        range,
        limit: Math.min(PAGE, PAST_MAX - calls.length),
        ...(filter === undefined ? {} : { filter }),
        ...(cursor === null ? {} : { cursor }),
      });
      if (!answer.ok) fail(EXIT.BAD_ANSWER, answer.error.message);
      calls.push(...answer.value.calls);
      for (const session of answer.value.websockets) sessions.set(session.exchange, session);
      cursor = answer.value.next;
    } while (cursor !== null && calls.length < PAST_MAX);
    sayDamaged(reader.damaged);
    const records = calls.reverse().flatMap((call) => [call, sessions.get(call.id) ?? []].flat());
    return { records, more: cursor !== null };
  } finally {
    reader.close();
  }
}
