/** The first call of a kind of error. */
import type { ByteReader, ByteWriter } from './bytes.ts';

/** Bytes of an exchange id that is kept. */
const ID_BYTES_MAX = 96;

export interface FirstError {
  /** Unix time in ms. */
  readonly at: number;
  /** Id of the exchange. */
  readonly example: string;
}

/** The earlier of both, by a total order: merging in any order keeps the same one. */
export function earlier(a: FirstError | null, b: FirstError | null): FirstError | null {
  if (a === null || b === null) return a ?? b;
  const order = a.at - b.at || a.example.length - b.example.length || (a.example < b.example ? -1 : 1);
  return order <= 0 ? a : b;
}

export function encodeFirst({ at, example }: FirstError, out: ByteWriter): void {
  out.varint(Math.max(0, Math.round(at)));
  out.text(example);
}

/** What encodeFirst() wrote; the reader says whether it was. */
export function decodeFirst(from: ByteReader): FirstError {
  const at = from.varint();
  return { at, example: from.text(ID_BYTES_MAX) };
}
