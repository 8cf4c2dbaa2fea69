/** A raw TCP server whose segments the tests determine: it runs in the captured cgroup and does what its argument says. */
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';

const [, , portText, behaviour, script] = process.argv;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const CHUNK = 48 * 1024;

const behaviours: Record<string, (socket: Socket) => void> = {
  /** Answers each empty line with a short response. */
  http: (socket) => {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        text = text.slice(end + 4);
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }
    });
  },
  /** A response header block of 64 KiB in pieces, then a long body. */
  bigHead: (socket) => {
    socket.once('data', async () => {
      const head = `HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n${'x-filler: '.padEnd(998, 'f')}\r\n`.padEnd(1, '');
      const rest = `${'y-filler: '.padEnd(62, 'g')}\r\n`.repeat(Math.floor((65536 - head.length - 4) / 64));
      const whole = `${head}${rest}\r\n`;
      for (let at = 0; at < whole.length; at += 9000) {
        socket.write(whole.slice(at, at + 9000));
        await pause(3);
      }
      socket.end(Buffer.alloc(500_000, 0x62));
    });
  },
  /** Chunks of 48 KiB, three hundred of them. */
  chunked: (socket) => {
    socket.once('data', async () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      const chunk = Buffer.concat([
        Buffer.from(`${CHUNK.toString(16)}\r\n`),
        Buffer.alloc(CHUNK, 0x63),
        Buffer.from('\r\n'),
      ]);
      for (let i = 0; i < 300; i++)
        if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
      socket.end('0\r\nx-sum: 1\r\n\r\n');
    });
  },
  /** Many small events, each a segment: a sender that waits for acknowledgements (Nagle) joins them when its reader is late. */
  events: (socket) => {
    socket.setNoDelay(true);
    socket.once('data', async () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
      for (let i = 0; i < 100; i++) {
        socket.write(`data: ${String(i).padStart(8, '0')} ${'e'.repeat(480)}\n\n`);
        await pause(1);
      }
      socket.end();
    });
  },
  /** Says something at each segment that it reads. */
  turns: (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 102 Processing\r\n\r\n'));
  },
  /** Reads, says nothing. */
  sink: (socket) => {
    socket.resume();
  },
  /** On the first byte it sends the file named by its third argument, a JSON list of writes in base64, and ends. */
  play: (socket) => {
    socket.once('data', async () => {
      for (const write of JSON.parse(readFileSync(script!, 'utf8')) as string[]) {
        socket.write(Buffer.from(write, 'base64'));
        await pause(0);
      }
      socket.end();
    });
  },
  /** Speaks no HTTP: the server first, then an answer to everything. */
  banner: (socket) => {
    socket.write('\x00\x01banner\n');
    socket.on('data', () => socket.write(Buffer.alloc(1000, 0x7e)));
  },
};

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => {});
  behaviours[behaviour!]!(socket);
});
server.listen(Number(portText), '::');
