// HTTPS/1.1 answers of any length and framing: bodies-server.mjs PORT VERSION, beside cert.pem and key.pem. Asked for by the query:
// id, size (bytes in all), piece (bytes of one write), framing (chunked, length or close), trailer (1: x-sum behind the body),
// gate (1: all but the first piece waits until somebody asks for /go), quoted (0: the body does not quote HTTP).
import { readFileSync } from 'node:fs';
import https from 'node:https';

const [port, version] = process.argv.slice(2);
// A body that quotes what HTTP is made of.
const quoted = Buffer.from('HTTP/1.1 200 OK\r\nx-id: quoted\r\n\r\n10\r\n0\r\n\r\n');
const fill = Buffer.alloc(1 << 20, quoted);
const plain = Buffer.alloc(1 << 20, 'x');

const options = {
  key: readFileSync('key.pem'),
  cert: readFileSync('cert.pem'),
  minVersion: `TLSv${version}`,
  maxVersion: `TLSv${version}`,
};
const gates = [];
const server = https.createServer(options, async (request, response) => {
  const query = new URL(request.url, 'https://localhost').searchParams;
  if (request.url === '/go') {
    for (const open of gates.splice(0)) open();
    response.end();
    return;
  }
  const size = Number(query.get('size'));
  const piece = Number(query.get('piece'));
  const framing = query.get('framing');
  request.resume();
  response.setHeader('x-id', query.get('id'));
  if (framing === 'length') response.setHeader('content-length', size);
  if (framing === 'close') {
    response.setHeader('connection', 'close');
    response.useChunkedEncodingByDefault = false;
  }
  if (query.get('trailer') === '1') response.setHeader('trailer', 'x-sum');
  for (let sent = 0; sent < size; sent += piece) {
    const more = response.write((query.get('quoted') === '0' ? plain : fill).subarray(0, Math.min(piece, size - sent)));
    if (sent === 0 && query.get('gate') === '1') await new Promise((resolve) => gates.push(resolve));
    if (!more && response.writableNeedDrain) await new Promise((resolve) => response.once('drain', resolve));
  }
  if (query.get('trailer') === '1') response.addTrailers({ 'x-sum': query.get('id') });
  response.end();
});
server.listen(Number(port), '127.0.0.1');
