// HTTPS/1.1 on node:https, which older Node.js and Bun have too: https-server.mjs PORT VERSION, beside cert.pem and key.pem.
import { readFileSync } from 'node:fs';
import https from 'node:https';

const [port, version] = process.argv.slice(2);
const options = {
  key: readFileSync('key.pem'),
  cert: readFileSync('cert.pem'),
  minVersion: `TLSv${version}`,
  maxVersion: `TLSv${version}`,
};
https
  .createServer(options, (request, response) => {
    response.setHeader('x-id', new URL(request.url, 'https://localhost').searchParams.get('id') ?? '');
    response.end('hello\n');
  })
  .listen(Number(port), '127.0.0.1');
