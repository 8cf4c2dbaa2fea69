/**
 * The work that every measurement shares: HTTP/1.1 keep-alive through nginx with one worker, wrk with 32 connections,
 * heads of 12 and 15 fields (about 500 bytes), a request id never seen before on each call, bodies of 0 to 2 KB.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { freePort } from '../test/rig/ports.ts';
import { must, Program } from '../test/rig/program.ts';
import { OUT } from './out.ts';

const BODIES = [0, 150, 700, 2_000];
/** Longer than anything waits for. */
const ENDLESS_SECONDS = 3_600;

/** Fields that nginx adds to its own, as arguments of add_header; the one that names the call goes before them. */
export const RESPONSE_FIELDS = [
  'X-Upstream-Time $msec',
  'Cache-Control "no-store, max-age=0"',
  'X-Content-Type-Options nosniff',
  'Strict-Transport-Security "max-age=31536000; includeSubDomains"',
  'Vary "Accept-Encoding, Origin"',
  'X-RateLimit-Limit 5000',
  'X-RateLimit-Remaining $connection_requests',
  'Access-Control-Allow-Origin https://app.example',
  'ETag "W/\\"5e2c-1899\\""',
];

export interface WorkloadShape {
  /** Fields of a request besides Host and the request id; 10 make 12 in all. */
  readonly requestFields?: number;
  /** Fields that nginx adds besides its own five; 10 make 15 in all. */
  readonly responseFields?: number;
  /** Bytes of response bodies, in turn. */
  readonly bodies?: readonly number[];
  /** Served over TLS, with libraries of its own. */
  readonly tls?: {
    readonly certificate: string;
    readonly key: string;
    readonly env: Readonly<Record<string, string>>;
    /** As nginx names it; TLSv1.3 without. */
    readonly protocol?: string;
  };
  /** HTTP/2 too: in clear instead of HTTP/1.1. */
  readonly http2?: boolean;
  /** nginx's access_log directive. */
  readonly accessLog?: string;
  /** Milliseconds that a connection of `endless` waits between an answer and the next call. */
  readonly pauseMs?: number;
}

/** What nginx has done since it started. */
export interface Handled {
  readonly connections: number;
  readonly calls: number;
}

const nginxConf = (port: number, statusPort: number, folder: Folder, shape: WorkloadShape): string => {
  const bodies = shape.bodies ?? BODIES;
  const { tls } = shape;
  const added = [
    'X-Request-Id $http_x_request_id',
    ...RESPONSE_FIELDS,
    ...Array.from({ length: 64 }, (_, i) => `X-Extra-Field-${i} "a constant value of field ${i}"`),
  ].slice(0, shape.responseFields ?? 10);
  const locations = bodies.map((size, i) => {
    if (size <= 3_000)
      return `location /v1/items/${i} { default_type application/json; return 200 "${'x'.repeat(size)}"; }`;
    writeFileSync(folder.file(`body-${i}`), 'x'.repeat(size));
    return `location /v1/items/${i} { default_type application/json; try_files /body-${i} =500; }`;
  });
  return `
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${folder.file('nginx.pid')}; error_log ${folder.file('error.log')} warn;
events { worker_connections 16384; }
http {
  client_body_temp_path ${folder.file('body')}; proxy_temp_path ${folder.file('proxy')}; fastcgi_temp_path ${folder.file('f')};
  uwsgi_temp_path ${folder.file('u')}; scgi_temp_path ${folder.file('s')};
  log_format headers escape=json '{"ts":"$msec","method":"$request_method","uri":"$request_uri","status":$status,"bytes":$body_bytes_sent,"time":$request_time,"host":"$http_host","ua":"$http_user_agent","id":"$http_x_request_id","auth":"$http_authorization","accept":"$http_accept","client":"$remote_addr","port":"$remote_port"}';
  access_log ${shape.accessLog ?? 'off'};
  keepalive_requests 1000000000; keepalive_timeout 600s; sendfile on; tcp_nopush off;
  root ${folder.path};
  server {
    listen 127.0.0.1:${port} ${tls === undefined ? '' : 'ssl '}${shape.http2 === true ? 'http2 ' : ''}backlog=4096;
    ${tls === undefined ? '' : `ssl_protocols ${tls.protocol ?? 'TLSv1.3'}; ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};`}
    ${added.map((field) => `add_header ${field} always;`).join('\n    ')}
    ${locations.join('\n    ')}
  }
  server { listen 127.0.0.1:${statusPort}; location = /status { stub_status; } }
}`;
};

/** Request heads for each body in turn, up to where the id goes. */
function requestHeads(shape: WorkloadShape): string[] {
  const fields = [
    ['User-Agent', 'bench-client/1.4 (linux; x86_64)'],
    ['Accept', 'application/json'],
    ['Accept-Encoding', 'gzip, deflate'],
    ['Accept-Language', 'en-US,en;q=0.8'],
    ['Authorization', 'Bearer not-a-real-token-0123456789'],
    ['Content-Type', 'application/json'],
    ['X-Api-Version', '2026-11-01'],
    ['X-Client-Name', 'bench'],
    ['Traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
    ['Connection', 'keep-alive'],
    ...Array.from({ length: 64 }, (_, i) => [`X-Extra-Field-${i}`, `a constant value of field ${i}`]),
  ].slice(0, shape.requestFields ?? 10);
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return (shape.bodies ?? BODIES).map(
    (_, i) => `GET /v1/items/${i}?page=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n${lines}X-Request-Id: `,
  );
}

const wrkScript = (shape: WorkloadShape): string => {
  const heads = requestHeads(shape);
  return `
local threads = 0
function setup(thread) thread:set("tid", threads); threads = threads + 1 end
function init(args)
  n = 0
  fixed = {}
${heads.map((head, i) => `  fixed[${i}] = ${JSON.stringify(head)}`).join('\n')}
end
function request()
  n = n + 1
  return fixed[n % ${heads.length}] .. string.format("%d-%08d-4c1e-9f", tid, n) .. "\\r\\n\\r\\n"
end
${shape.pauseMs === undefined ? '' : `function delay() return ${shape.pauseMs} end`}
function done(summary, latency, requests)
  io.write(string.format('{"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}\\n', summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`;
};

export interface Load {
  readonly requests: number;
  readonly duration_us: number;
  readonly errors: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

/** Whether somebody listens on `port` of 127.0.0.1; opens no connection. */
export function listens(port: number): boolean {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return readFileSync('/proc/net/tcp', 'utf8').includes(local);
}

/** nginx in `cgroup`, ready to be loaded. */
export class Workload implements AsyncDisposable {
  readonly port: number;
  readonly folder: Folder;
  readonly nginx: Program;
  readonly #scheme: 'http' | 'https';
  readonly #statusPort: number;

  constructor(port: number, statusPort: number, folder: Folder, nginx: Program, scheme: 'http' | 'https') {
    this.#scheme = scheme;
    this.#statusPort = statusPort;
    this.port = port;
    this.folder = folder;
    this.nginx = nginx;
  }

  static async start(cgroup: Cgroup, shape: WorkloadShape = {}): Promise<Workload> {
    const [port, statusPort] = [await freePort(), await freePort()];
    const folder = new Folder();
    await must(['chmod', '755', folder.path]);
    writeFileSync(folder.file('nginx.conf'), nginxConf(port, statusPort, folder, shape));
    writeFileSync(folder.file('load.lua'), wrkScript(shape));
    writeFileSync(
      folder.file('heads'),
      requestHeads(shape)
        .map((head) => `${head}\0`)
        .join(''),
    );
    const nginx = new Program(['nginx', '-c', folder.file('nginx.conf')], { cgroup, env: shape.tls?.env ?? {} });
    await nginx.until('listening', () => listens(port));
    return new Workload(port, statusPort, folder, nginx, shape.tls === undefined ? 'http' : 'https');
  }

  /** Saturates it for `seconds`; wrk runs outside the cgroup, so that each call is seen once. */
  async load(seconds: number, connections = 32): Promise<Load> {
    const out = await must(this.#wrk(seconds, connections), { timeoutMs: (seconds + 150) * 1000 });
    const line = out.trim().split('\n').at(-1)!;
    return JSON.parse(line) as Load;
  }

  /** What it has done, itself asked not counted. */
  async handled(): Promise<Handled> {
    const text = await (await fetch(`http://127.0.0.1:${this.#statusPort}/status`)).text();
    const [accepted, , calls] = /^ (\d+) (\d+) (\d+)/m.exec(text)!.slice(1).map(Number) as [number, number, number];
    return { connections: accepted, calls };
  }

  /** Keeps it busy until the program is ended. */
  endless(connections: number): Program {
    return new Program(this.#wrk(ENDLESS_SECONDS, connections));
  }

  #wrk(seconds: number, connections: number): string[] {
    return [
      'wrk',
      '-t1',
      // A machine that others use too may take longer than wrk's two seconds.
      '--timeout',
      '60s',
      `-c${connections}`,
      `-d${seconds}s`,
      '-s',
      this.folder.file('load.lua'),
      `${this.#scheme}://127.0.0.1:${this.port}/`,
    ];
  }

  /** `rate` calls a second (load.c). `requests` is exact: every answer is awaited. */
  async paced(rate: number, seconds: number, connections = 32): Promise<Load> {
    return await pacedLoad([this], rate, seconds, connections);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.nginx.stop('SIGTERM');
    await this.nginx[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

/** `rate` calls a second, spread over the servers, whose shape is the first one's. */
export async function pacedLoad(
  servers: readonly Workload[],
  rate: number,
  seconds: number,
  connections: number,
): Promise<Load> {
  const ports = servers.map(({ port }) => port).join(',');
  const args = [ports, connections, rate, seconds, servers[0]!.folder.file('heads')].map(String);
  const out = await must([await generator(), ...args], { timeoutMs: (seconds + 150) * 1000 });
  return JSON.parse(out) as Load;
}

/** The generator of paced load, built when its source is newer. */
export async function generator(): Promise<string> {
  const source = join(import.meta.dirname, 'load.c');
  const binary = join(OUT, 'load');
  const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (built < statSync(source).mtimeMs) {
    mkdirSync(OUT, { recursive: true });
    await must(['clang', '-O2', '-Wall', '-Werror', '-o', binary, source]);
  }
  return binary;
}
