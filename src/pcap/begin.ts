import { stat } from 'node:fs/promises';
import type { ClockAnchor } from '../base/clock.ts';
import { readCapture } from './reader.ts';

/** Thrown to end the reading of a file whose first time is known. */
const ENOUGH = new Error('the first time is known');

/**
 * The earliest anchor of several capture files, so that none has times before it: what lies more than a month before would have
 * none. null: no file has a time. Reads the beginning of each regular file; a pipe can be read once only, and is left out. What
 * cannot be read is for the reader to say.
 */
export async function earliestAnchor(paths: readonly string[]): Promise<ClockAnchor | null> {
  let earliest: ClockAnchor | null = null;
  for (const path of paths) {
    const anchor = await anchorOf(path);
    if (anchor !== null && (earliest === null || anchor.wallNs < earliest.wallNs)) earliest = anchor;
  }
  return earliest;
}

async function anchorOf(path: string): Promise<ClockAnchor | null> {
  const regular = await stat(path).then(
    (file) => file.isFile(),
    () => false,
  );
  if (!regular) return null;
  let first: ClockAnchor | null = null;
  const known = async (): Promise<void> => {
    if (first !== null) throw ENOUGH;
  };
  const nobody = { segment: () => {}, socket: () => {} };
  const onAnchor = (anchor: ClockAnchor): void => {
    // Packets without a time have an anchor of 0.
    if (anchor.wallNs !== 0n) first = anchor;
  };
  await readCapture(path, nobody, { lose: () => {} }, { onAnchor, between: known }).catch((error) => {
    if (error !== ENOUGH) throw error;
  });
  return first;
}
