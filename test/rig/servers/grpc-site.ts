/**
 * `grpc-site.ts PORT`: gRPC over HTTP/2 in clear. `/test.v1.Echo/Echo` succeeds, `/test.v1.Echo/Fail` is UNAVAILABLE, both with HTTP's
 * 200. Ended by SIGTERM.
 */
import { createServer } from 'node:http2';

const UNAVAILABLE = 14;
const server = createServer();
server.on('stream', (stream, { ':path': path }) => {
  const status = path === '/test.v1.Echo/Echo' ? 0 : UNAVAILABLE;
  stream.resume().once('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': `${status}` }));
    stream.end();
  });
  stream.on('error', () => {});
});
server.listen(Number(process.argv[2]), '127.0.0.1');
