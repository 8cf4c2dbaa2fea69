/**
 * The header that load balancers put before the first byte of a connection so that the server learns who the client is
 * (HAProxy, "The PROXY protocol", versions 1 and 2). It belongs to no call.
 */
import type { Memory } from '../base/memory.ts';

const V1 = 'PROXY ';
/** With the line's end (section 2.1). */
const V1_BYTES_MAX = 107;
const V1_LINE = /^PROXY (?:TCP4|TCP6|UNKNOWN)(?: [\x21-\x7e]*)*\r\n/;
const V2 = '\r\n\r\n\0\r\nQUIT\n';
const V2_FIXED_BYTES = 16;

/**
 * Length of the header that the first `length` bytes of a connection, at `memory[offset]`, begin with, also where its end is
 * still to come; 0: there is none, -1: too few bytes to tell.
 */
export function proxyHeaderBytes({ buf, view }: Memory, offset: number, length: number): number {
  const first = buf.latin1Slice(offset, offset + Math.min(length, V1_BYTES_MAX));
  if (first.startsWith(V1)) {
    const end = first.indexOf('\n');
    if (end < 0) return first.length < V1_BYTES_MAX ? -1 : 0;
    return V1_LINE.exec(first)?.[0].length ?? 0;
  }
  if (!V2.startsWith(first.slice(0, V2.length))) return V1.startsWith(first) ? -1 : 0;
  if (length < V2_FIXED_BYTES) return -1;
  const version = view.getUint8(offset + V2.length) >> 4;
  return version === 2 ? V2_FIXED_BYTES + view.getUint16(offset + 14) : 0;
}
