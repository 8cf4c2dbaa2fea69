import type { WebSocketRecord } from '../../model/record.ts';
import type { StoredRecord } from '../../store/call-record.ts';

/** Some calls, in order. */
export interface CallBatch {
  readonly calls: readonly StoredRecord[];
  /** By the id of the call that was the handshake: what WebSockets carried, as far as they have ended. */
  readonly websockets: ReadonlyMap<string, WebSocketRecord>;
}

/** A file of calls that comes into being piece by piece. Each piece is asked for once, in order. */
export interface CallsFormat {
  begin(): Uint8Array | string;
  calls(batch: CallBatch): Uint8Array | string;
  end(): Uint8Array | string;
}
