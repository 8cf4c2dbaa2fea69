/** Real servers over TLS, each on private copies of the libraries or of the executable that Headwater probes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../cgroup.ts';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import { privateOpenssl, privateProgram } from '../private-tls.ts';
import { must, Program, type ProgramOptions } from '../program.ts';
import { Server } from '../servers/server.ts';
import { selfSigned } from './certificate.ts';

const here = import.meta.dirname;
const peers = join(here, '../../system/tls');

/** A folder with a certificate (cert.pem, key.pem, both.pem, store.p12) and copies of what is probed. */
export class TlsHome implements AsyncDisposable {
  readonly folder: Folder;
  /** Makes the dynamic linker take the copies of libcrypto and libssl. */
  readonly env: { readonly LD_LIBRARY_PATH: string };
  readonly #started: AsyncDisposable[] = [];
  #node = '';
  #go = '';

  private constructor(folder: Folder, env: { LD_LIBRARY_PATH: string }) {
    this.folder = folder;
    this.env = env;
  }

  static async open(): Promise<TlsHome> {
    const folder = new Folder();
    const home = new TlsHome(folder, await privateOpenssl(folder));
    await home.#certify();
    return home;
  }

  /** A copy of Node, which carries its own OpenSSL. */
  get node(): string {
    if (this.#node === '') this.#node = privateProgram(this.folder, process.execPath);
    return this.#node;
  }

  /** A Go program, server and client in one. `flags`: of go build. */
  async go(...flags: string[]): Promise<string> {
    if (this.#go !== '' && flags.length === 0) return this.#go;
    const program = this.folder.file(`peer-go${flags.join('').replaceAll(/\W/g, '')}`);
    await must([findProgram('go')!, 'build', ...flags, '-o', program, '.'], {
      cwd: join(peers, 'peer-go'),
      env: { GOFLAGS: '-mod=mod' },
      timeoutMs: 120_000,
    });
    if (flags.length === 0) this.#go = program;
    return program;
  }

  async #certify(): Promise<void> {
    const { folder } = this;
    const openssl = findProgram('openssl')!;
    await selfSigned(folder.path);
    await must(['sh', '-c', 'cat cert.pem key.pem > both.pem; chmod 644 *.pem'], { cwd: folder.path });
    const store = ['-inkey', 'key.pem', '-in', 'cert.pem', '-passout', 'pass:changeit', '-out', 'store.p12'];
    await must([openssl, 'pkcs12', '-export', ...store], { cwd: folder.path });
  }

  /** Started and listening; ends with this home. `log`: where the server says what it did. */
  async serve(
    name: string,
    command: (port: string) => Promise<readonly string[]> | readonly string[],
    cgroup: Cgroup | undefined,
    options: ProgramOptions = {},
  ): Promise<Server> {
    const port = await freePort();
    const server = await Server.start(
      { name, port, command: await command(String(port)), log: this.folder.file(`${name}-${port}.log`) },
      {
        ...options,
        cwd: this.folder.path,
        env: { ...this.env, ...options.env },
        ...(cgroup === undefined ? {} : { cgroup }),
      },
    );
    this.#started.push(server);
    return server;
  }

  /** A program in this home's environment that ends with it. */
  program(command: readonly string[], options: ProgramOptions = {}): Program {
    const program = new Program(command, { ...options, cwd: this.folder.path, env: { ...this.env, ...options.env } });
    this.#started.push(program);
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#started.reverse()) await one[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

export interface NginxTls {
  /** Everything is passed on to this https server. */
  readonly upstream?: number;
  readonly workers?: number;
  /** What stands behind the address of its `listen`; default: ssl http2. */
  readonly listen?: string;
  /** Further directives of its server. */
  readonly directives?: string;
}

/** Answers with the id of the query in x-id; its log has id, protocol, suite, "r" where the session was resumed, HTTP version. */
export const nginxTls = (home: TlsHome, cgroup: Cgroup | undefined, options: NginxTls = {}): Promise<Server> =>
  home.serve(
    'nginx',
    (port) => {
      const { folder } = home;
      const file = (name: string): string => folder.file(`nginx-${port}-${name}`);
      const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((kind) => `${kind}_temp_path ${file(kind)};`)
        .join(' ');
      const answer =
        options.upstream === undefined
          ? 'add_header x-id $arg_id; return 200 "hello\\n";'
          : `proxy_pass https://127.0.0.1:${options.upstream}; proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_server_name on; proxy_ssl_name localhost; proxy_http_version 1.1; proxy_set_header Connection "";`;
      writeFileSync(
        file('conf'),
        `daemon off; worker_processes ${options.workers ?? 1}; pid ${file('pid')}; error_log ${file('error')}; user root;
events { worker_connections 4096; }
http {
  log_format tls '$arg_id\\t$ssl_protocol\\t$ssl_cipher\\t$ssl_session_reused\\t$server_protocol';
  access_log ${folder.file(`nginx-${port}.log`)} tls;
  ${scratch}
  keepalive_requests 10000000;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${folder.file('cert.pem')}; ssl_certificate_key ${folder.file('key.pem')};
  ssl_session_cache shared:S:1m;
  server { listen 127.0.0.1:${port} ${options.listen ?? 'ssl http2'} backlog=4096; ${options.directives ?? ''} location / { ${answer} } }
}
`,
      );
      return [findProgram('nginx')!, '-p', folder.path, '-c', file('conf')];
    },
    cgroup,
  );

export const apacheTls = (home: TlsHome, cgroup: Cgroup): Promise<Server> =>
  home.serve(
    'apache',
    async (port) => {
      const { folder } = home;
      await must(['sh', '-c', 'mkdir -p www; echo hello > www/x; chmod -R a+rX www'], { cwd: folder.path });
      const modules = ['mpm_event', 'authz_core', 'ssl', 'headers', 'http2'];
      writeFileSync(
        folder.file('apache.conf'),
        `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
Listen 127.0.0.1:${port}
User nobody
Group nogroup
PidFile ${folder.file('apache.pid')}
DefaultRuntimeDir ${folder.path}
ErrorLog ${folder.file('apache.err')}
DocumentRoot ${folder.file('www')}
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile ${folder.file('cert.pem')}
SSLCertificateKeyFile ${folder.file('key.pem')}
Header always set x-id "expr=%{QUERY_STRING}"
Header always edit x-id "^id=" ""
`,
      );
      return [findProgram('apache2')!, '-d', folder.path, '-f', folder.file('apache.conf'), '-DFOREGROUND'];
    },
    cgroup,
  );

/** `upstream`: every call is passed on to this https server, over connections of its own, HTTP/1 or as both agree. */
export const haproxyTls = (
  home: TlsHome,
  cgroup: Cgroup,
  options: { readonly upstream?: number } = {},
): Promise<Server> =>
  home.serve(
    'haproxy',
    (port) => {
      const { folder } = home;
      const answer = 'http-request return status 200 content-type text/plain string "hello\\n" hdr x-id "%[urlp(id)]"';
      const pass = `default_backend out
backend out
  server origin 127.0.0.1:${options.upstream} ssl verify none sni str(localhost) alpn h2,http/1.1`;
      const file = folder.file(`haproxy-${port}.cfg`);
      writeFileSync(
        file,
        `global
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:${port} ssl crt ${folder.file('both.pem')} alpn h2,http/1.1
  ${options.upstream === undefined ? answer : pass}
`,
      );
      return [findProgram('haproxy')!, '-db', '-f', file];
    },
    cgroup,
  );

export const caddyTls = (home: TlsHome, cgroup: Cgroup): Promise<Server> =>
  home.serve(
    'caddy',
    (port) => {
      const { folder } = home;
      writeFileSync(
        folder.file('Caddyfile'),
        `{
  admin off
  auto_https disable_redirects
}
https://localhost:${port} {
  bind 127.0.0.1
  tls ${folder.file('cert.pem')} ${folder.file('key.pem')}
  header x-id {query.id}
  respond "hello"
}
`,
      );
      const copy = privateProgram(folder, findProgram('caddy')!);
      return [copy, 'run', '--adapter', 'caddyfile', '--config', folder.file('Caddyfile')];
    },
    cgroup,
    { env: { HOME: home.folder.path, XDG_DATA_HOME: home.folder.path, XDG_CONFIG_HOME: home.folder.path } },
  );

export const nodeTls = (home: TlsHome, cgroup: Cgroup): Promise<Server> =>
  home.serve('node', (port) => [home.node, join(peers, 'server.mjs'), port], cgroup);

export const pythonTls = (home: TlsHome, cgroup: Cgroup): Promise<Server> =>
  home.serve('python', (port) => [findProgram('python3')!, join(peers, 'server.py'), port], cgroup);

/** Servers of site.py: "fork" (the handshake and the rest in two processes), "memory" and "asyncio" (no socket in the library). */
export const unusualTls = (home: TlsHome, cgroup: Cgroup, mode: 'fork' | 'memory' | 'asyncio'): Promise<Server> =>
  home.serve(`python-${mode}`, (port) => [findProgram('python3')!, join(here, 'site.py'), port, mode], cgroup);

/** `flags`: of go build, such as those that strip it. */
export const goTls = (home: TlsHome, cgroup: Cgroup, ...flags: string[]): Promise<Server> =>
  home.serve('go', async (port) => [await home.go(...flags), 'serve', port], cgroup);

/** Java's own TLS, which is not tapped. */
export const javaTls = (home: TlsHome, cgroup: Cgroup): Promise<Server> =>
  home.serve('java', (port) => [findProgram('java')!, join(peers, 'Server.java'), port], cgroup);

export const CLIENT = join(here, 'client.mjs');
export const PEERS = peers;
