import { readFileSync } from 'node:fs';

/** Read at once: a process that may no longer read the program's folder later knows it all the same. package.json lies two folders above, from source and compiled. */
const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
).version;

/** Version of this package. */
export const packageVersion = (): string => VERSION;
