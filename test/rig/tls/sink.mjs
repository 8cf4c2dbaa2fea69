/** sink.mjs PORT: https, HTTP/1.1 alone; reads what it is sent, answers how much that was, and the query's id in x-id. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

createServer({ key: readFileSync('key.pem'), cert: readFileSync('cert.pem') }, async (request, response) => {
  let received = 0;
  for await (const chunk of request) received += chunk.length;
  response.setHeader('x-id', new URL(request.url, 'https://localhost').searchParams.get('id') ?? '');
  response.end(`${received}\n`);
}).listen(Number(process.argv[2]), '127.0.0.1');
