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

interface Site extends ProgramOptions {
  readonly name: string;
  readonly folder: Folder;
  readonly port: number;
  readonly workers?: number;
  readonly listen?: string;
  /** Lines of the `events` and `http` blocks and of the one server. */
  readonly events: string;
  readonly http: string;
  readonly server: string;
}

/** nginx in the foreground, IPv4 and IPv6, with a log of X-Request-Id, method, target, status and body bytes. */
export function nginxSite(site: Site): Promise<Server> {
  const { name, folder, port, listen = '' } = site;
  const log = folder.file('access.log');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder.file(kind)};`)
    .join(' ');
  writeFileSync(
    folder.file('nginx.conf'),
    `daemon off;
user nobody nogroup;
worker_processes ${site.workers ?? 1};
pid ${folder.file('nginx.pid')};
error_log stderr warn;
events { ${site.events} }
http {
  log_format truth '$http_x_request_id\\t$request_method\\t$request_uri\\t$status\\t$body_bytes_sent';
  access_log ${log} truth;
  ${temporary}
  ${site.http}
  server {
    listen ${port} ${listen};
    listen [::]:${port} ipv6only=on ${listen};
    ${site.server}
  }
}
`,
  );
  const command = [findProgram('nginx')!, '-p', folder.path, '-c', folder.file('nginx.conf')];
  return Server.start({ name, port, command, log, resources: folder }, site);
}

/** nginx with /small, /big, /missing, /count (the number of the request on its connection), and everything else by `upstream`. */
export async function nginx(options: NginxOptions = {}): Promise<Server> {
  const folder = new Folder();
  writeFileSync(folder.file('small'), 'small\n');
  writeFileSync(folder.file('big'), '');
  truncateSync(folder.file('big'), BIG_BYTES);
  const proxied = `proxy_pass http://127.0.0.1:${options.upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;`;
  return nginxSite({
    ...options,
    name: 'nginx',
    folder,
    port: await freePort(),
    events: 'worker_connections 1024;',
    http: 'keepalive_requests 1000000; client_max_body_size 0; sendfile on; default_type text/plain;',
    server: `root ${folder.path};
    location = /count { return 200 '{"n":$connection_requests}\\n'; }
    location = /sink { return 200 "ok\\n"; }
    location / { ${options.upstream === undefined ? '' : proxied} }`,
  });
}
