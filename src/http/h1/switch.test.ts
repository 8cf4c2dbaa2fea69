/** Connections that become, or may become, another protocol. */
import { expect, test } from 'vitest';
import { crlf, Pair } from '../../../test/unit/h1-pair.ts';
import { H1_LIMITS } from './shared.ts';

const GET = 'GET /1 HTTP/1.1$Host: x$$';
const OK = 'HTTP/1.1 200 OK$Content-Length: 2$$ok';

test('101 stops both directions, and bytes that came too early are handed on', () => {
  const pair = new Pair()
    .client('GET /ws HTTP/1.1$Host: x$Upgrade: websocket$Connection: Upgrade$$')
    .client('\x81\x05hel\nlo')
    .server('HTTP/1.1 101 Switching Protocols$Upgrade: websocket$$\x81\x00');
  expect(pair.log).toEqual(['> GET /ws framed', '< 101 switched 0']);
  expect([pair.request.state, pair.response.state]).toEqual(['switched', 'switched']);
  expect(pair.request.switchedAt).toBe(70);
  expect(Buffer.from(pair.request.held!).toString('latin1')).toBe('\x81\x05hel\nlo');
  expect(pair.response.switchedAt).toBe(56);
  pair.client('GET /1 HTTP/1.1$Host: x$$').server('HTTP/1.1 200 OK$$');
  expect(pair.log).toHaveLength(2);
});

test('bytes that came too early are kept as they are, however they came', () => {
  const early = '\x81\x05hel\nlo\r\n\r\nGET / HTTP/1.1\r\n\r\n';
  for (let size = 1; size <= early.length; size++) {
    const pair = new Pair().client('GET /ws HTTP/1.1$Host: x$Upgrade: websocket$$');
    for (let at = 0; at < early.length; at += size) pair.client(early.slice(at, at + size));
    pair.server('HTTP/1.1 101 Switching Protocols$$');
    expect(Buffer.from(pair.request.held!).toString('latin1'), `in pieces of ${size}`).toBe(early);
    expect(pair.log).toEqual(['> GET /ws framed', '< 101 switched 0']);
  }
});

test('2xx to CONNECT stops both directions; a refusal stops none', () => {
  const connect = 'CONNECT h:443 HTTP/1.1$Host: h:443$$';
  const open = new Pair()
    .client(connect)
    .server('HTTP/1.1 200 Connection established$$')
    .client('\x16\x03\x01')
    .server('x');
  expect(open.log).toEqual(['> CONNECT h:443 framed', '< 200 switched 0']);
  expect(open.request.switchedAt).toBe(crlf(connect).length);

  const shut = new Pair().client(connect).server('HTTP/1.1 407 No$Content-Length: 0$$').client(GET).server(OK);
  expect(shut.log).toEqual(['> CONNECT h:443 framed', '< 407 framed 0', '> GET /1 framed', '< 200 framed 2']);
});

test('an upgrade that is declined leaves pipelined requests as they are', () => {
  const pair = new Pair().client(`GET /0 HTTP/1.1$Host: x$Upgrade: h2c$$${GET}`).server(OK).server(OK);
  expect(pair.log).toEqual(['> GET /0 framed', '> GET /1 framed', '< 200 framed 2', '< 200 framed 2']);
});

test('bytes held for an upgrade that is declined are what they are: an error', () => {
  const pair = new Pair().client('GET /0 HTTP/1.1$Host: x$Upgrade: h2c$$').client('\x00\x01\n').server(OK);
  expect(pair.log).toEqual(['> GET /0 framed', '>   error', '< 200 framed 2']);
  expect(pair.request.state).toBe('failed');
});

test('an upgrade asked for with a chunked body is one too', () => {
  const pair = new Pair()
    .client('POST / HTTP/1.1$Host: x$Upgrade: h2c$Transfer-Encoding: chunked$$1$a$0$X: y$$')
    .client('PRI * HTTP/2.0$$SM$$')
    .server('HTTP/1.1 101 Switching Protocols$$');
  expect(pair.log).toEqual(['> POST / framed', '< 101 switched 0']);
  expect(Buffer.from(pair.request.held!).toString('latin1')).toBe('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
});

test('an answer that cannot be read does not hold the client for ever', () => {
  const pair = new Pair().client('GET /0 HTTP/1.1$Host: x$Upgrade: h2c$$').client('\x00\n').server('HTTP/1.1 x$$');
  expect(pair.request.state).toBe('seeking');
  expect(pair.response.state).toBe('seeking');
});

test('where a message start was only guessed, what is none is passed over and the search goes on', () => {
  const pair = new Pair('joined')
    .client(GET)
    .server('HTTP/1.1 200 OK$Content-Length: 2$$okjunk$')
    .client(GET)
    .server(OK);
  expect(pair.log).toEqual(['> GET /1 framed', '< 200 framed 2', '> GET /1 framed', '< 200 framed 2']);
  expect(pair.losses.totals()).toEqual([{ reason: 'desync', count: 1, bytes: 6 }]);
});

test('what is held is bounded', () => {
  const pair = new Pair().client('CONNECT h:1 HTTP/1.1$Host: h$$').client('\x00\n');
  for (let i = 0; i < 100; i++) pair.client('x'.repeat(1_000));
  expect(pair.losses.totals().map((t) => t.reason)).toEqual(['reassembly_limit']);
  pair.server('HTTP/1.1 200 OK$$');
  expect(pair.request.held!.length).toBe(H1_LIMITS.heldBytes);
});

test('101 while the request body is still coming: the request ends first', () => {
  const pair = new Pair()
    .client('POST / HTTP/1.1$Host: x$Upgrade: h2c$Content-Length: 4$$ab')
    .server('HTTP/1.1 101 Switching Protocols$$')
    .client('cdPRI * HTTP/2.0$$');
  expect(pair.log).toEqual(['< 101 switched 0', '> POST / framed']);
  expect(pair.request.switchedAt).toBe(65);
});
