/**
 * The servers of a capture: offline no process is known, so all connections to one address and port are one service, named `ADDRESS:PORT`,
 * and share their calls in flight (docs/decisions/0032).
 */
import { type Connection, OTHER } from '../model/connection.ts';
import { LoadCounter } from '../model/load.ts';
import type { ConnectionLife } from './decoder.ts';

/** Servers told apart; the connections of further ones are one service, `other`. */
export const SERVERS_MAX = 4_096;

interface Server {
  readonly service: string;
  readonly load: LoadCounter;
}

export class OfflineServers implements ConnectionLife {
  readonly #servers = new Map<string, Server>();
  readonly #rest: Server = { service: OTHER, load: new LoadCounter() };

  met(): void {}

  /** It is known which end is the server, before the connection's first call. */
  named(connection: Connection): void {
    const { address, port } = connection.server;
    const service = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    let server = this.#servers.get(service);
    if (server === undefined && this.#servers.size < SERVERS_MAX) {
      server = { service, load: new LoadCounter() };
      this.#servers.set(service, server);
    }
    server ??= this.#rest;
    connection.service = server.service;
    connection.load = server.load;
  }

  ended(): void {}
}
