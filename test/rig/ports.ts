import { createServer } from 'node:net';

/**
 * Below the ephemeral range (ip(7), ip_local_port_range: 32768 and up), so that no outgoing connection takes a port between the look and the
 * server's bind. Test files that run beside one another look in residue classes of their own, and runs beside one another begin anywhere.
 */
const FIRST = 10_000;
const LAST = 31_999;
const WORKERS_MAX = 4;
const TRIES_MAX = 1_000;

const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % WORKERS_MAX;
const places = (LAST + 1 - FIRST) / WORKERS_MAX;
let place = Math.floor(Math.random() * places);

/** A TCP port that nobody listens on now, on all addresses; no other call of this process or of a worker beside it gives the same. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < TRIES_MAX; i++) {
    place = (place + 1) % places;
    const port = FIRST + place * WORKERS_MAX + worker;
    if (await isFree(port)) return port;
  }
  throw new Error(`Cannot find a free port: ${TRIES_MAX} between ${FIRST} and ${LAST} are taken`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(false);
      else reject(error);
    });
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
