// Streams events to whoever asks, until they leave. Argument: port.
import { createServer } from 'node:http';

/** Later than a FIN that only says that the request is all there is. */
const THINK_MS = 50;
const EVERY_MS = 20;

createServer((_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  const timer = setTimeout(() => {
    const every = setInterval(() => response.write('data: {"n":1}\n\n'), EVERY_MS);
    response.once('close', () => clearInterval(every));
  }, THINK_MS);
  response.once('close', () => clearTimeout(timer));
}).listen(Number(process.argv[2]), '127.0.0.1');
