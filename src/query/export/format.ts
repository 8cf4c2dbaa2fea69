import type { StoredRecord } from '../../store/call-record.ts';

/** A file of calls that comes into being piece by piece. Each piece is asked for once, in order. */
export interface CallsFormat {
  begin(): Uint8Array | string;
  calls(calls: readonly StoredRecord[]): Uint8Array | string;
  end(): Uint8Array | string;
}
