/** Which data folder `query` and `report` read, and opening it. It can be read while an agent writes to it. */
import { existsSync } from 'node:fs';
import { EXIT, fail } from '../../base/failure.ts';
import { defaultDataPath } from '../../config/paths.ts';
import type { Answer, QueryFailure, StoreReader } from '../../query/data.ts';

/** Opens `--data DIR`, or the default folder; ends the command when it cannot be read. */
export async function openData(data: string | undefined): Promise<StoreReader> {
  const { readStore } = await import('../../query/data.ts');
  const path = data ?? defaultDataPath();
  if (data === undefined && !existsSync(path))
    fail(EXIT.MACHINE, `nothing is stored: there is no data folder ${path}`, START_OR_NAME);
  try {
    const opened = await readStore(path);
    if (!opened.ok) fail(EXIT.USAGE, opened.message, opened.hint);
    return opened.reader;
  } catch (error) {
    const { code, syscall, path: file } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM')
      fail(
        EXIT.MACHINE,
        `${path} cannot be read: permission denied`,
        'run it as root, or as the user that owns the folder',
      );
    if (code === 'ENOTDIR') fail(EXIT.USAGE, `${path} is no data folder of headwater: it is a file`);
    // A disk that fails, or no room for what is read of a live log ($TMPDIR).
    if (syscall !== undefined) fail(EXIT.MACHINE, `${path} cannot be read: ${code} at ${file ?? path}`);
    throw error;
  }
}

export const START_OR_NAME = 'start an agent: headwater run; or name the folder of another one: --data DIR';

/** The answer, or the command's end: what the user asked for wrongly is exit code 2. */
export function answeredBy<T>(reader: StoreReader, answer: Answer<T>): T {
  if (answer.ok) return answer.value;
  reader.close();
  return failQuery(answer.error);
}

export function failQuery(error: QueryFailure): never {
  const [message, ...rest] = error.message.split('\n').filter((line) => line.trim() !== '');
  fail(error.type === 'invalid' ? EXIT.USAGE : EXIT.BAD_ANSWER, message ?? error.type, rest.join('\n  '));
}

/** Says which files could not be read: their calls are missing from every answer. */
export function sayDamaged(damaged: Iterable<string>): void {
  for (const file of damaged)
    process.stderr.write(`headwater: ${file} is damaged: what it held is missing from this answer\n`);
}
