/**
 * How gRPC calls ended, by their grpc-status: HTTP says 200 whatever became of them, so the classes of errors do not see it. Kept
 * beside the classes, and only where there were such calls.
 */
import type { ByteReader, ByteWriter } from './bytes.ts';
import { decodeFirst, earlier, encodeFirst, type FirstError } from './first-error.ts';

/** The codes 0 to 16 by number (google.rpc.Code); other numbers; and calls of which no status was seen. */
export const GRPC_STATUSES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
  'other',
  'none',
] as const;
export type GrpcStatus = (typeof GRPC_STATUSES)[number];

const OTHER = GRPC_STATUSES.indexOf('other');
const NONE = GRPC_STATUSES.indexOf('none');

export class GrpcCalls {
  /** By position in GRPC_STATUSES. */
  readonly counts = new Float64Array(GRPC_STATUSES.length);
  /** The first call with another status than OK. */
  first: FirstError | null = null;

  /** Counts a call; null: no status was seen. True when it ended with another status than OK. */
  count(status: number | null): boolean {
    const place = status === null ? NONE : status < OTHER ? status : OTHER;
    this.counts[place]!++;
    return place !== 0 && place !== NONE;
  }

  /** Calls with a status. */
  get answered(): number {
    return this.counts.subarray(0, NONE).reduce((sum, calls) => sum + calls, 0);
  }

  /** Calls with another status than OK. */
  get failed(): number {
    return this.answered - this.counts[0]!;
  }

  /** Calls by name of their status, in the order of the codes; those that there were. */
  *statuses(): Generator<readonly [status: GrpcStatus, calls: number]> {
    for (const [i, name] of GRPC_STATUSES.entries()) if (this.counts[i]! > 0) yield [name, this.counts[i]!];
  }

  merge(other: GrpcCalls): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! += other.counts[i]!;
    this.first = earlier(this.first, other.first);
  }

  /** Takes away what `part`, all of which is in here, counted; the first one stays. */
  subtract(part: GrpcCalls): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! -= part.counts[i]!;
  }

  encode(out: ByteWriter): void {
    out.varint(this.counts.length);
    for (const calls of this.counts) out.varint(calls);
    out.byte(this.first === null ? 0 : 1);
    if (this.first !== null) encodeFirst(this.first, out);
  }

  static decode(from: ByteReader): GrpcCalls {
    const calls = new GrpcCalls();
    const places = from.varint();
    if (places !== calls.counts.length) from.fail();
    for (let i = 0; i < places && from.ok; i++) calls.counts[i] = from.varint();
    const first = from.byte();
    if (first > 1) from.fail();
    else if (first === 1) calls.first = decodeFirst(from);
    return calls;
  }
}
