/**
 * The test site, in each language that we start servers in (site-node.ts, site.py, site.go): what its paths do.
 *
 * - `/count`          `{"n":N}`: N is how many requests this process has begun, so a lost call leaves a hole
 * - `/small`, `/missing` (404), `/big` (1 GiB of zeros)
 * - `/bytes/N`        N bytes with Content-Length
 * - `/chunked/N`      N chunks of 100 bytes, then a trailer `X-Chunks: N` (not in Python)
 * - `/close/N`        N bytes ended by closing the connection
 * - `/status/N`       that status, without a body
 * - `/slow/MS`        answers after MS milliseconds
 * - `/stall`          the head and 10 of 100 bytes, then nothing
 * - `/reset`          the head and 10 of 100 bytes, then a reset
 * - `/hint`           103 with a Link, then 200 (not in Python)
 * - `/sink`           reads the body; answers `{"received":N}`
 *
 * Called as `SITE PORT LOG`; writes one line of `id method target status bytes` for each answer.
 */
import { join } from 'node:path';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import { must, type ProgramOptions } from '../program.ts';
import { Server } from './server.ts';

const here = import.meta.dirname;

export async function nodeSite(options: ProgramOptions = {}): Promise<Server> {
  return start('node', (port, log) => [process.execPath, join(here, 'site-node.ts'), port, log], options);
}

export async function pythonSite(options: ProgramOptions = {}): Promise<Server> {
  return start('python', (port, log) => [findProgram('python3')!, join(here, 'site.py'), port, log], options);
}

export async function goSite(options: ProgramOptions = {}): Promise<Server> {
  const folder = new Folder();
  const binary = folder.file('site-go');
  // Outside a module: the site needs nothing but the standard library.
  await must([findProgram('go')!, 'build', '-o', binary, join(here, 'site.go')], {
    timeoutMs: 120_000,
    env: { GO111MODULE: 'off', GOFLAGS: '', CGO_ENABLED: '0' },
  });
  return start('go', (port, log) => [binary, port, log], options, folder);
}

async function start(
  name: string,
  command: (port: string, log: string) => string[],
  options: ProgramOptions,
  folder = new Folder(),
): Promise<Server> {
  const port = await freePort();
  const log = folder.file('access.log');
  return Server.start({ name, port, log, command: command(String(port), log), resources: folder }, options);
}
