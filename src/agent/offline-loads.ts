/** Calls in flight of a capture's servers: offline no process is known, so all connections to one address and port are one service's. */
import type { Connection } from '../model/connection.ts';
import { LoadCounter } from '../model/load.ts';
import type { ConnectionLife } from './decoder.ts';

/** Servers counted apart; calls of further ones share one counter. */
export const SERVERS_MAX = 4_096;

export class OfflineLoads implements ConnectionLife {
  readonly #loads = new Map<string, LoadCounter>();
  readonly #rest = new LoadCounter();

  met(): void {}

  /** It is known which end is the server, before the connection's first call. */
  named(connection: Connection): void {
    const { address, port } = connection.server;
    const key = `${address} ${port}`;
    let load = this.#loads.get(key);
    if (load === undefined && this.#loads.size < SERVERS_MAX) {
      load = new LoadCounter();
      this.#loads.set(key, load);
    }
    connection.load = load ?? this.#rest;
  }

  ended(): void {}
}
