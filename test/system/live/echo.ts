import { writeFileSync } from 'node:fs';
import { Folder } from '../../rig/folder.ts';
import { findProgram } from '../../rig/need.ts';
import { freePort } from '../../rig/ports.ts';
import type { ProgramOptions } from '../../rig/program.ts';
import { Server } from '../../rig/servers/server.ts';

export interface EchoOptions extends ProgramOptions {
  readonly workers?: number;
  /** Extra parameters of `listen`. */
  readonly listen?: string;
}

/**
 * nginx that answers every request with its target as the body, its X-Request-Id, and the pid of the worker that served
 * it (X-Pid): what a record says of one half of a call can be compared with the other half.
 */
export async function echoServer(options: EchoOptions = {}): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const log = folder.file('access.log');
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
events { worker_connections 4096; accept_mutex on; }
http {
  log_format truth '$http_x_request_id\\t$request_method\\t$request_uri\\t$status\\t$body_bytes_sent';
  access_log ${log} truth;
  ${temporary}
  keepalive_requests 10000000;
  large_client_header_buffers 4 64k;
  server {
    listen ${port} ${options.listen ?? ''};
    listen [::]:${port} ipv6only=on ${options.listen ?? ''};
    location / {
      add_header X-Request-Id $http_x_request_id always;
      add_header X-Pid $pid always;
      return 200 $request_uri;
    }
  }
}
`,
  );
  const command = [findProgram('nginx')!, '-p', folder.path, '-c', folder.file('nginx.conf')];
  return Server.start({ name: 'echo', port, command, log, resources: folder }, options);
}
