import { Folder } from '../../rig/folder.ts';
import { freePort } from '../../rig/ports.ts';
import { type NginxOptions, nginxSite } from '../../rig/servers/nginx.ts';
import type { Server } from '../../rig/servers/server.ts';

/**
 * nginx that answers every request with its target as the body, its X-Request-Id, and the pid of the worker that served
 * it (X-Pid): what a record says of one half of a call can be compared with the other half.
 */
export async function echoServer(options: Omit<NginxOptions, 'upstream'> = {}): Promise<Server> {
  return nginxSite({
    ...options,
    name: 'echo',
    folder: new Folder(),
    port: await freePort(),
    events: 'worker_connections 4096; accept_mutex on;',
    http: 'keepalive_requests 10000000; large_client_header_buffers 4 64k;',
    server: `location / {
      add_header X-Request-Id $http_x_request_id always;
      add_header X-Pid $pid always;
      return 200 $request_uri;
    }`,
  });
}
