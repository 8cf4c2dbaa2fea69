/**
 * Private copies of TLS libraries and programs: a probe fires in every process that maps the probed file, so tests probe
 * only files that nobody else runs.
 */
import { copyFileSync, mkdirSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import type { Folder } from './folder.ts';
import { run } from './program.ts';

/** Where the dynamic linker finds `name` ("libcrypto.so.3"), or null. */
export async function findLibrary(name: string): Promise<string | null> {
  const { stdout } = await run(['/sbin/ldconfig', '-p']);
  return new RegExp(`^\\s*${name.replaceAll('.', '\\.')} .* => (\\S+)$`, 'm').exec(stdout)?.[1] ?? null;
}

/** Copies of the system's OpenSSL; what is started with this environment runs them. */
export async function privateOpenssl(folder: Folder): Promise<{ LD_LIBRARY_PATH: string }> {
  const path = folder.file('lib');
  mkdirSync(path);
  for (const name of ['libcrypto.so.3', 'libssl.so.3']) {
    const found = await findLibrary(name);
    if (found === null) throw new Error(`${name} is not installed`);
    copyFileSync(realpathSync(found), `${path}/${name}`);
  }
  return { LD_LIBRARY_PATH: path };
}

/** A copy of an executable. */
export function privateProgram(folder: Folder, path: string): string {
  const copy = folder.file(`${basename(path)}-private`);
  copyFileSync(realpathSync(path), copy);
  return copy;
}
