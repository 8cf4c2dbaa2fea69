import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import { ANOMALY_BIT } from '../../model/message.ts';
import { ROLE_CONTENT_LENGTH, ROLE_TRANSFER_ENCODING } from '../lines.ts';
import type { Head } from './head.ts';
import { skipBlank, trimBlank } from './scan.ts';

const SP = 32;

/** Appends the folded line [at, contentEnd) to the value before it, after one space (RFC 9112 5.2). False: there is none. */
export function unfold(
  head: Head,
  block: FieldBlock,
  memory: Memory,
  base: number,
  at: number,
  contentEnd: number,
): boolean {
  head.anomalies |= ANOMALY_BIT.obs_fold;
  const entry = head.lastEntry;
  if (entry === null) {
    // Nothing to fold onto: whitespace between start line and first field (RFC 9112 2.2).
    head.anomalies |= ANOMALY_BIT.bad_field_line;
    return false;
  }
  const role = entry.role;
  if (role === ROLE_CONTENT_LENGTH || role === ROLE_TRANSFER_ENCODING) head.foldedFraming = true;
  const from = skipBlank(memory.view, at, contentEnd);
  const length = trimBlank(memory.view, from, contentEnd) - from;
  if (length === 0) return true;
  if (head.lastValueLength === 0) {
    head.lastValueAt = from - base;
    head.lastValueLength = length;
  } else {
    const to = base + head.lastValueAt + head.lastValueLength;
    memory.view.setUint8(to, SP);
    // To the left, byte by byte: thousands of folds of a byte each would pay for as many calls.
    for (let i = 0; i < length; i++) memory.view.setUint8(to + 1 + i, memory.view.getUint8(from + i));
    head.lastValueLength += length + 1;
  }
  const i = block.count - 1;
  block.lines[i] = entry.name!.line!;
  block.valueOffset[i] = head.lastValueAt;
  block.valueLength[i] = head.lastValueLength;
  return true;
}
