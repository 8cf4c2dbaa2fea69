/** From a segment to its folder of Parquet files. One rename makes it count; before that, nothing does. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { packageVersion } from '../base/version.ts';
import { makeFolder } from './folder.ts';
import { hourName, SEALED, STORE_VERSION, segmentName } from './layout.ts';
import type { Column } from './parquet/columns.ts';
import { parquetFile } from './parquet/file.ts';
import { release } from './parquet/grown.ts';
import type { Segment } from './segment.ts';
import { segmentFilters } from './segment-filters.ts';

/** In the footer of a sealed file: version of the schema that it was written in. */
export const SCHEMA_KEY = 'headwater.store';
export const CALLS_FILE = 'calls.parquet';
export const STATES_FILE = 'states.parquet';
export const LEDGER_FILE = 'ledger.parquet';
export const SESSIONS_FILE = 'websockets.parquet';
/** Which field values, names and targets the calls have (value-filter.ts). */
export const VALUES_FILE = 'values.filter';
/** Which pieces of them the calls may have (piece-filter.ts). */
export const PIECES_FILE = 'pieces.filter';
const UNFINISHED = '.tmp';

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes one Parquet file and waits until the disk has it. Fails as `node:fs` does. */
export function writeParquet(
  path: string,
  columns: readonly Column[],
  metadata: Readonly<Record<string, string>>,
): void {
  writeWhole(path, parquetFile(columns, metadata));
}

function writeWhole(path: string, pieces: Iterable<Buffer>): void {
  const fd = openSync(path, 'wx', 0o640);
  try {
    for (const piece of pieces) {
      let at = 0;
      while (at < piece.length) at += writeSync(fd, piece, at, piece.length - at);
      release(piece);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a folder appear whole: `fill` writes files into a temporary one, which is then renamed. A folder that is there
 * already stays as it is: it came from the same segment.
 */
export function publish(folder: string, fill: (unfinished: string) => void): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  makeFolder(parent);
  const unfinished = `${folder}${UNFINISHED}`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o750 });
  try {
    fill(unfinished);
    syncFolder(unfinished);
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
  syncFolder(parent);
}

/** Makes a folder vanish for readers at once, then removes it. */
export function drop(folder: string): void {
  const gone = `${folder}${UNFINISHED}`;
  rmSync(gone, { recursive: true, force: true });
  renameSync(folder, gone);
  rmSync(gone, { recursive: true, force: true });
}

/** Seals segment `number` of the data folder below the hour in which `openedMs` lies. Idempotent. Fails as `node:fs` does. */
export function seal(data: string, number: number, openedMs: number, segment: Segment): void {
  const metadata = {
    'headwater.version': packageVersion(),
    [SCHEMA_KEY]: String(STORE_VERSION),
    'headwater.segment': String(number),
  };
  publish(join(data, SEALED, hourName(openedMs), segmentName(number)), (folder) => {
    writeParquet(join(folder, CALLS_FILE), segment.calls.all, metadata);
    const filters = segmentFilters(segment);
    writeWhole(join(folder, VALUES_FILE), [filters.values]);
    writeWhole(join(folder, PIECES_FILE), [filters.pieces]);
    if (segment.states[0]!.rows > 0) writeParquet(join(folder, STATES_FILE), segment.states, metadata);
    if (segment.ledger[0]!.rows > 0) writeParquet(join(folder, LEDGER_FILE), segment.ledger, metadata);
    if (segment.sessions[0]!.rows > 0) writeParquet(join(folder, SESSIONS_FILE), segment.sessions, metadata);
  });
}

/** Sealed segments by number: the folder of each, relative to the data folder. Unfinished ones are not among them. */
export function sealedSegments(data: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const hour of list(join(data, SEALED))) {
    for (const name of list(join(data, SEALED, hour))) {
      if (/^\d{10}$/.test(name)) found.set(Number(name), join(SEALED, hour, name));
    }
  }
  return found;
}

/** Removes what an interrupted seal left behind. */
export function removeUnfinished(data: string, below: string): void {
  for (const hour of list(join(data, below))) {
    for (const name of list(join(data, below, hour))) {
      if (name.endsWith(UNFINISHED)) rmSync(join(data, below, hour, name), { recursive: true, force: true });
    }
  }
}

/** Names in a folder; none when it is not there. */
export function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
