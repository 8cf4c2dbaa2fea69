// CLIENT VERSION ALPN URL...: one call on a connection of its own for each URL; every connection after the first offers the
// session of the one before. Prints for each: status, x-id, protocol, suite and whether the session was resumed.
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';

const [version, alpn, ...urls] = process.argv.slice(2);
let session;

const connect = ({ hostname, port }) =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: hostname,
      port,
      servername: 'localhost',
      rejectUnauthorized: false,
      ALPNProtocols: [alpn],
      minVersion: `TLSv${version}`,
      maxVersion: `TLSv${version}`,
      session,
    });
    socket.on('session', (given) => {
      session = given;
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });

const one = (socket, url) =>
  new Promise((resolve, reject) => {
    const done = (status, id) => resolve(`${status} ${id}`);
    if (alpn === 'h2') {
      const client = http2.connect(url, { createConnection: () => socket });
      client.once('error', reject);
      const stream = client.request({ ':path': url.pathname + url.search });
      let head;
      stream.once('response', (headers) => {
        head = headers;
      });
      stream.resume();
      stream.once('end', () => {
        done(head[':status'], head['x-id']);
        client.close();
      });
      stream.end();
      return;
    }
    const request = https.request(url, { createConnection: () => socket });
    request.once('response', (response) => {
      response.resume();
      response.once('end', () => {
        done(response.statusCode, response.headers['x-id']);
        socket.end();
      });
    });
    request.once('error', reject);
    request.end();
  });

for (const text of urls) {
  const url = new URL(text);
  const socket = await connect(url);
  const facts = `${socket.getProtocol()} ${socket.getCipher().standardName} ${socket.isSessionReused()}`;
  console.log(`${await one(socket, url)} ${facts}`);
  await new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', resolve)));
}
