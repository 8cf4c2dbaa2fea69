import { truncateSync, writeFileSync } from 'node:fs';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import type { ProgramOptions } from '../program.ts';
import { BIG_BYTES, Server } from './server.ts';

export interface NginxOptions extends ProgramOptions {
  readonly workers?: number;
  /** Extra parameters of `listen`, such as "deferred" or "fastopen=16". */
  readonly listen?: string;
  /** Requests are passed on to this port instead of being served. */
  readonly upstream?: number;
}

/** nginx with /small, /big, /missing, /count (the number of the request on its connection), and everything else by `upstream`. */
export async function nginx(options: NginxOptions = {}): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const log = folder.file('access.log');
  writeFileSync(folder.file('small'), 'small\n');
  writeFileSync(folder.file('big'), '');
  truncateSync(folder.file('big'), BIG_BYTES);
  const proxied = `proxy_pass http://127.0.0.1:${options.upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder.file(kind)};`)
    .join(' ');
  writeFileSync(
    folder.file('nginx.conf'),
    `daemon off;
user nobody nogroup;
worker_processes ${options.workers ?? 1};
pid ${folder.file('nginx.pid')};
error_log stderr warn;
events { worker_connections 1024; }
http {
  log_format truth '$http_x_request_id\\t$request_method\\t$request_uri\\t$status\\t$body_bytes_sent';
  access_log ${log} truth;
  ${temporary}
  keepalive_requests 1000000;
  client_max_body_size 0;
  sendfile on;
  default_type text/plain;
  server {
    listen ${port} ${options.listen ?? ''};
    listen [::]:${port} ipv6only=on ${options.listen ?? ''};
    root ${folder.path};
    location = /count { return 200 '{"n":$connection_requests}\\n'; }
    location = /sink { return 200 "ok\\n"; }
    location / { ${options.upstream === undefined ? '' : proxied} }
  }
}
`,
  );
  const command = [findProgram('nginx')!, '-p', folder.path, '-c', folder.file('nginx.conf')];
  return Server.start({ name: 'nginx', port, command, log, resources: folder }, options);
}
