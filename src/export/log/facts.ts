/** What few calls have beyond HTTP, as a line of the header log shows it (docs/header-log.md). */
import { UNSEEN } from '../../base/clock.ts';
import type { GrpcFacts } from '../../model/exchange.ts';
import type { StreamFacts } from '../../model/units.ts';

export interface GrpcRecord {
  readonly status: number | null;
  readonly timeout_ns: number | null;
  readonly request_messages: number | null;
  readonly response_messages: number | null;
}

export interface StreamRecord {
  readonly kind: StreamFacts['kind'];
  readonly events: number | null;
  /** Nanoseconds from the call's `ts`; null: there was none, or it was not seen. */
  readonly first_ns: number | null;
  readonly last_ns: number | null;
  readonly max_gap_ns: number | null;
  readonly partial?: true;
}

export const grpcRecord = ({ status, timeoutNs, requestMessages, responseMessages }: GrpcFacts): GrpcRecord => ({
  status,
  timeout_ns: timeoutNs,
  request_messages: requestMessages,
  response_messages: responseMessages,
});

/** `from`: the call's first time, nanoseconds since the anchor, or UNSEEN. */
export function streamRecord(s: StreamFacts, from: number): StreamRecord {
  const ns = (at: number): number | null => (at === UNSEEN || from === UNSEEN ? null : at - from);
  return {
    kind: s.kind,
    events: s.events,
    first_ns: ns(s.firstAt),
    last_ns: ns(s.lastAt),
    max_gap_ns: s.maxGapNs === UNSEEN ? null : s.maxGapNs,
    ...(s.partial ? { partial: true } : {}),
  };
}
