import { writeFileSync } from 'node:fs';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import type { ProgramOptions } from '../program.ts';
import { Server } from './server.ts';

export interface HaproxyOptions extends ProgramOptions {
  /** Port of the server it passes everything on to; without it, it answers by itself. */
  readonly upstream?: number;
}

/** HAProxy, on IPv4 and IPv6. */
export async function haproxy(options: HaproxyOptions = {}): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const log = folder.file('access.log');
  const answer =
    options.upstream === undefined
      ? '  http-request return status 404 content-type text/plain string "missing\\n" if { path /missing }\n  http-request return status 200 content-type text/plain string "small\\n"'
      : `  server upstream 127.0.0.1:${options.upstream}`;
  writeFileSync(
    folder.file('haproxy.cfg'),
    `global
  log stdout format raw local0
  nbthread 1
defaults
  mode http
  log global
  option http-keep-alive
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind :::${port} v4v6
  http-request capture req.hdr(x-request-id) len 64
  log-format "%[capture.req.hdr(0)]\\t%HM\\t%HU\\t%ST\\t%B"
  default_backend out
backend out
${answer}
`,
  );
  // It logs to stdout without a date; a shell puts that in the file where the other servers' logs are.
  const command = ['sh', '-c', `exec "${findProgram('haproxy')}" -db -f "$0" > "$1"`, folder.file('haproxy.cfg'), log];
  // %B counts head and body, so it is no truth for the body.
  return Server.start({ name: 'haproxy', port, command, log, resources: folder }, options);
}
