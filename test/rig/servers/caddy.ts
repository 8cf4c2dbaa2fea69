import { truncateSync, writeFileSync } from 'node:fs';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import type { ProgramOptions } from '../program.ts';
import { BIG_BYTES, type Logged, Server } from './server.ts';

interface CaddyLine {
  readonly request: { readonly method: string; readonly uri: string; readonly headers: Record<string, string[]> };
  readonly status: number;
  readonly size: number;
}

function parse(line: string): Logged | null {
  if (line === '') return null;
  const { request, status, size } = JSON.parse(line) as CaddyLine;
  const id = request.headers['X-Request-Id']?.[0] ?? '-';
  return { id, method: request.method, target: request.uri, status, bodyBytes: size };
}

/** Caddy with /small, /big, /missing. */
export async function caddy(options: ProgramOptions = {}): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const log = folder.file('access.log');
  writeFileSync(folder.file('small'), 'small\n');
  writeFileSync(folder.file('big'), '');
  truncateSync(folder.file('big'), BIG_BYTES);
  writeFileSync(
    folder.file('Caddyfile'),
    `{
  admin off
  auto_https off
}
http://:${port} {
  root * ${folder.path}
  file_server
  log {
    output file ${log}
    format json
  }
}
`,
  );
  const command = [findProgram('caddy')!, 'run', '--adapter', 'caddyfile', '--config', folder.file('Caddyfile')];
  const env = { ...options.env, HOME: folder.path, XDG_DATA_HOME: folder.path, XDG_CONFIG_HOME: folder.path };
  return Server.start({ name: 'caddy', port, command, log, parse, resources: folder }, { ...options, env });
}
