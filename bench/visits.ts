/** Connections that come and go beside a load: servers in TLS and of HTTP/2 in the observed cgroup, and the clients of visitors.ts. */
import { join } from 'node:path';
import type { Cgroup } from '../test/rig/cgroup.ts';
import { Program } from '../test/rig/program.ts';
import type { TlsHome } from '../test/rig/tls/servers.ts';
import { Workload } from './workload.ts';

const VISITORS = join(import.meta.dirname, 'visitors.ts');
const END_TIMEOUT_MS = 60_000;

export class Visits implements AsyncDisposable {
  readonly #servers: readonly Workload[];
  readonly #clients: Program;

  private constructor(servers: readonly Workload[], clients: Program) {
    this.#servers = servers;
    this.#clients = clients;
  }

  /** `aSecond` connections a second, for `seconds`. */
  static async start(cgroup: Cgroup, { folder, env }: TlsHome, aSecond: number, seconds: number): Promise<Visits> {
    const tls = { certificate: folder.file('cert.pem'), key: folder.file('key.pem'), env };
    const servers = [await Workload.start(cgroup, { tls, http2: true }), await Workload.start(cgroup, { http2: true })];
    const ports = servers.map(({ port }) => String(port));
    return new Visits(servers, new Program([process.execPath, VISITORS, ...ports, String(aSecond), String(seconds)]));
  }

  /** What the clients saw: JSON. */
  async ended(): Promise<string> {
    const { stdout, stderr } = await this.#clients.wait(END_TIMEOUT_MS);
    return `${stdout.trim()}${stderr}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#clients[Symbol.asyncDispose]();
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
  }
}
