/** Clients of the report's test, and what commands print. Clients run outside the cgroup: each call is seen once, by its server. */
import { expect } from 'vitest';
import { type Call, undici } from '../../rig/clients/plan.ts';
import { Program } from '../../rig/program.ts';

export const PATHS = ['/small', '/status/503', '/bytes/2000', '/slow/4', '/missing'];
/** Twenty for each path: enough for a window to be judged. */
export const BATCH = 100;
/** All five kinds of change at once: a new header, one that is no longer sent, another version, another credential, another order. */
export const OLD = { 'x-api-version': '1', 'x-client': 'sdk-1', authorization: 'Bearer canary-before-5f3a91c2' };
export const NEW = { authorization: 'Bearer canary-after-77e0b4d1', 'x-new': 'yes', 'x-api-version': '2' };

/** BATCH calls one after the other; ids count on from `made`. */
export async function batchOf(port: number, made: number, headers: Readonly<Record<string, string>>): Promise<void> {
  const calls: Call[] = Array.from({ length: BATCH }, (_, i) => ({
    url: `http://127.0.0.1:${port}${PATHS[i % PATHS.length]}`,
    headers: { ...headers, 'x-request-id': `r${made + i}` },
  }));
  const answers = await undici(calls);
  expect(answers.filter(({ status }) => status === 0)).toEqual([]);
}

/**
 * Some dozen calls a second, so that all that is printed of them is kept, until it is asked to end: it finishes the call at hand and
 * prints how many there were.
 */
export const steadyCalls = (port: number, ids: string): Program =>
  new Program([
    process.execPath,
    '-e',
    `const [port, ids] = process.argv.slice(1); let asked = false; process.once('SIGTERM', () => { asked = true; });
    (async () => { let i = 0; for (; !asked; i++) {
      await fetch('http://127.0.0.1:' + port + '/small', { headers: { 'x-request-id': ids + i } }).then((r) => r.text());
      await new Promise((done) => setTimeout(done, 10));
    } process.stdout.write(String(i)); process.exit(0); })();`,
    String(port),
    ids,
  ]);

/** What --json printed, a value a line. */
export const jsonLines = <T = unknown>(stdout: string): T[] =>
  stdout === ''
    ? []
    : stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as T);
