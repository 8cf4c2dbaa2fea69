/** The schema of a data folder: made, checked, and brought to this program's version. */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readAtMost } from '../base/bounded-file.ts';
import { LIVE, SEALED, STORE_VERSION, VERSION_FILE } from './layout.ts';
import { sealLogs } from './migrate-logs.ts';
import type { StoreDamage } from './recover.ts';

/** A version of the schema, and how folders of older ones are brought to it. */
export interface Schema {
  readonly version: number;
  /** Step i brings a folder from version i + 1 to i + 2. Each may be interrupted and run again; it returns the damage that it met. */
  readonly steps: readonly ((data: string) => readonly StoreDamage[])[];
}
export const SCHEMA: Schema = { version: STORE_VERSION, steps: [sealLogs] };

const VERSION_BYTES_MAX = 4_096;

export type VersionResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly message: string; readonly hint: string };

/** Version of a data folder; 0: it is none yet. A file that cannot be understood gives NaN. */
export function versionOf(data: string): number {
  let bytes: Buffer | null;
  try {
    bytes = readAtMost(join(data, VERSION_FILE), VERSION_BYTES_MAX);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 0;
    if (code === 'EISDIR') return Number.NaN;
    throw error;
  }
  try {
    const { version } = JSON.parse(bytes?.toString() ?? '') as { version?: unknown };
    return Number.isInteger(version) && (version as number) > 0 ? (version as number) : Number.NaN;
  } catch {
    return Number.NaN;
  }
}

/** Whether this program can read the folder as it is. */
export function checkVersion(data: string): VersionResult {
  const version = versionOf(data);
  const path = join(data, VERSION_FILE);
  if (Number.isNaN(version)) {
    return {
      ok: false,
      message: `${path} does not say which version the store has`,
      hint: `Put {"version":${STORE_VERSION}} there if this program wrote the folder, or use another data folder.`,
    };
  }
  if (version > STORE_VERSION) {
    return {
      ok: false,
      message: `the store in ${data} has version ${version}, this program knows versions up to ${STORE_VERSION}`,
      hint: 'Use the newer headwater that wrote it, or another data folder.',
    };
  }
  return { ok: true };
}

/** Makes a folder what `schema` says; one that is new, or older. Returns the damage met. Its caller has the lock. Fails as `node:fs` does. */
export function prepareFolder(data: string, { version: wanted, steps }: Schema = SCHEMA): StoreDamage[] {
  const from = versionOf(data);
  const damage: StoreDamage[] = [];
  for (let version = from === 0 ? wanted - 1 : from; version < wanted; version++) {
    if (from > 0) damage.push(...steps[version - 1]!(data));
    const path = join(data, VERSION_FILE);
    writeFileSync(`${path}.tmp`, `{"version":${version + 1}}\n`, { mode: 0o640, flush: true });
    renameSync(`${path}.tmp`, path);
  }
  for (const name of [LIVE, SEALED]) {
    if (!existsSync(join(data, name))) mkdirSync(join(data, name), { mode: 0o750 });
  }
  return damage;
}
