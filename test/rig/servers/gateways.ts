/** Gateways that pass everything on to one server, each with what it needs to listen on one port of loopback. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Cgroup } from '../cgroup.ts';
import { findProgram } from '../need.ts';
import type { TlsHome } from '../tls/servers.ts';
import type { Server } from './server.ts';

interface Place {
  readonly port: string;
  readonly upstream: number;
  /** A folder of its own. */
  readonly folder: string;
  /** Writes a file in it; returns its path. */
  readonly put: (text: string) => string;
}

/** The arguments of each, by the name of its program. */
const GATEWAYS = {
  apache2: ({ port, upstream, folder, put }: Place) => [
    '-DFOREGROUND',
    '-d',
    folder,
    '-f',
    put(`${['mpm_event', 'authz_core', 'proxy', 'proxy_http'].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
Listen 127.0.0.1:${port}
PidFile ${folder}/pid
DefaultRuntimeDir ${folder}
ErrorLog ${folder}/error
ProxyPass / http://127.0.0.1:${upstream}/
`),
  ],
  h2o: ({ port, upstream, put }: Place) => [
    '-c',
    put(`user: root
hosts:
  default:
    listen: { host: 127.0.0.1, port: ${port} }
    paths: { "/": { proxy.reverse.url: "http://127.0.0.1:${upstream}/" } }
`),
  ],
  lighttpd: ({ port, upstream, folder, put }: Place) => [
    '-D',
    '-f',
    put(`server.modules = ("mod_proxy")
server.document-root = "${folder}"
server.bind = "127.0.0.1"
server.port = ${port}
server.stream-response-body = 1
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${upstream})))
`),
  ],
  nghttpx: ({ port, upstream }: Place) => [
    '--conf=/dev/null',
    `-f127.0.0.1,${port};no-tls`,
    `-b127.0.0.1,${upstream}`,
    '--no-ocsp',
  ],
  squid: ({ port, upstream, folder, put }: Place) => [
    '-N',
    '-f',
    put(`http_port 127.0.0.1:${port} accel no-vhost defaultsite=localhost
cache_peer 127.0.0.1 parent ${upstream} 0 no-query originserver
http_access allow all
cache deny all
pid_filename ${folder}/pid
access_log none
cache_log ${folder}/log
coredump_dir ${folder}
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
`),
  ],
  varnishd: ({ port, upstream, folder }: Place) => [
    '-F',
    '-n',
    `${folder}/work`,
    '-a',
    `127.0.0.1:${port}`,
    '-b',
    `127.0.0.1:${upstream}`,
    '-s',
    'malloc,16m',
  ],
};

export type Gateway = keyof typeof GATEWAYS;
export const gateways = Object.keys(GATEWAYS) as Gateway[];

export const gateway = (name: Gateway, home: TlsHome, cgroup: Cgroup, upstream: number): Promise<Server> =>
  home.serve(
    name,
    (port) => {
      const folder = home.folder.file(`${name}-work`);
      // Some give up root for a user of their own.
      mkdirSync(folder, { mode: 0o777 });
      const put = (text: string): string => {
        writeFileSync(`${folder}/conf`, text);
        return `${folder}/conf`;
      };
      return [findProgram(name)!, ...GATEWAYS[name]({ port, upstream, folder, put })];
    },
    cgroup,
  );
