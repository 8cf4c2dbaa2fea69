/** A server that ends its connections in every way there is, by path: `ends.ts PORT`. */
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PAUSE_MS = 30;
const head = (...fields: string[]): string =>
  `HTTP/1.1 200 OK\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;

async function answer(socket: Socket, path: string): Promise<void> {
  const chunk = `${'c'.repeat(65_536)}\r\n`;
  switch (path) {
    case '/reset-before':
      await sleep(PAUSE_MS);
      socket.resetAndDestroy();
      return;
    case '/fin-before':
      socket.end();
      return;
    case '/reset-in-body':
      socket.write(`${head('Content-Length: 100')}0123456789`);
      await sleep(PAUSE_MS);
      socket.resetAndDestroy();
      return;
    case '/short':
      socket.end(`${head('Content-Length: 100')}0123456789`);
      return;
    case '/until-fin':
      socket.end(`${head('Connection: close')}0123456789`);
      return;
    case '/until-reset':
      socket.write(`${head('Connection: close')}0123456789`);
      await sleep(PAUSE_MS);
      socket.resetAndDestroy();
      return;
    case '/idle':
      socket.write(`${head('Content-Length: 2')}ok`);
      await sleep(PAUSE_MS);
      socket.end();
      return;
    case '/events':
      socket.write(head('Content-Type: text/event-stream', 'Transfer-Encoding: chunked'));
      for (let i = 0; i < 2_000 && !socket.destroyed; i++) {
        const event = `data: {"n":${String(i).padStart(4, '0')}}\n\n`;
        socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
        if (i % 20 === 0) await sleep(1);
      }
      socket.write('0\r\n\r\n');
      return;
    case '/huge':
      socket.write(head('Transfer-Encoding: chunked'));
      // 1 GiB.
      for (let i = 0; i < 16_384 && !socket.destroyed; i++)
        if (!socket.write(`10000\r\n${chunk}`))
          await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
      socket.write('0\r\nX-End: 1\r\n\r\n');
      return;
    default:
      socket.write(`${head('Content-Length: 2')}ok`);
  }
}

createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  let text = '';
  socket.setEncoding('latin1').on('data', (more: string) => {
    text += more;
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const path = text.split(' ', 2)[1]!;
    text = text.slice(end + 4);
    void answer(socket, path);
  });
  socket.on('end', () => {
    setTimeout(() => socket.end(), PAUSE_MS);
  });
  socket.on('error', () => {});
}).listen(Number(process.argv[2]), '127.0.0.1');
