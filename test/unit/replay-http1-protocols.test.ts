import { Talk } from '../fixtures/pcap/talk.ts';
import { casesOf, o } from './replay-cases.ts';
import { get, ok } from './replay-lines.ts';

casesOf('other protocols behind HTTP', [
  [
    '101 ws',
    () =>
      o()
        .client(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
        .server('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi')
        .client('\x81\x85abcdefghi')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['http/1.1+websocket GET /ws > 101 upgraded'],
  ],
  [
    '101 refused',
    () =>
      o()
        .client(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
        .server(ok('no'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['GET /ws > 200 2 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    '101 unasked',
    () =>
      o()
        .client(get('/ws'))
        .server('HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\n\r\n')
        .client('xx')
        .server('yy')
        .close(),
    ['http/1.1+foo GET /ws > 101 upgraded'],
  ],
  [
    'ws bytes early',
    () =>
      o()
        .client(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'))
        .client('\x81\x85abcdefghi')
        .server('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
        .close(),
    ['http/1.1+websocket GET /ws > 101 upgraded'],
  ],
  [
    'POST upgrade 101',
    () =>
      o()
        .client(
          'POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc',
        )
        .server('HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n')
        .client('zz')
        .close(),
    ['http/1.1+websocket POST /ws 3 > 101 upgraded'],
  ],
  [
    'CONNECT 200',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n')
        .server('HTTP/1.1 200 Connection established\r\n\r\n')
        .client('\x16\x03\x01\x02\x00\x01\x00\x01')
        .server('\x16\x03\x03')
        .close(),
    ['http/1.1+connect CONNECT b:443 > 200 upgraded', 'lost tls_no_secret:3'],
  ],
  [
    'CONNECT 200 with CL',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
        .client('GET / HTTP/1.1\r\n\r\n')
        .close(),
    [
      'http/1.1+connect CONNECT b:443 > 200 upgraded body_where_none_allowed',
      'GET / > - reset_before_headers missing_host',
      'lost desync:5',
    ],
  ],
  [
    'CONNECT, and calls in the tunnel',
    () =>
      o()
        .client('CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .client('GET /1 HTTP/1.1\r\nHost: b\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc')
        .client('GET /2 HTTP/1.1\r\nHost: b\r\n\r\n')
        .server('HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['http/1.1+connect CONNECT b:80 > 200 upgraded', 'GET /1 > 200 3 complete', 'GET /2 > 404 complete'],
  ],
  [
    'CONNECT, and another protocol in the tunnel',
    () =>
      o()
        .client('CONNECT b:22 HTTP/1.1\r\nHost: b:22\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .server('SSH-2.0-OpenSSH_9.2\r\n')
        .client('SSH-2.0-Go\r\n')
        .close(),
    ['http/1.1+connect CONNECT b:22 > 200 upgraded'],
  ],
  [
    'CONNECT through a tunnel',
    () =>
      o()
        .client('CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .client('CONNECT c:80 HTTP/1.1\r\nHost: c:80\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .client('GET /1 HTTP/1.1\r\nHost: c\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc')
        .close(),
    [
      'http/1.1+connect CONNECT b:80 > 200 upgraded',
      'http/1.1+connect CONNECT c:80 > 200 upgraded',
      'GET /1 > 200 3 complete',
    ],
  ],
  [
    'CONNECT chunked 200',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        .client('abc')
        .close(),
    ['http/1.1+connect CONNECT b:443 > 200 upgraded body_where_none_allowed'],
  ],
  [
    'CONNECT pipelined tls',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n\x16\x03\x01\x02\x00\x01')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .close(),
    ['http/1.1+connect CONNECT b:443 > 200 upgraded'],
  ],
  [
    'CONNECT 407 then again',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n')
        .server('HTTP/1.1 407 Auth\r\nContent-Length: 3\r\n\r\nabc')
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nProxy-Authorization: x\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\n\r\n')
        .client('zzzzz')
        .close(),
    ['CONNECT b:443 > 407 3 complete', 'http/1.1+connect CONNECT b:443 > 200 upgraded'],
  ],
  [
    'upgrade h2c refused',
    () =>
      o()
        .client(
          get(
            '/1',
            'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n',
          ),
        )
        .server(ok('x'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['GET /1 > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  ['server first banner then http', () => o().server('hello\r\n').client(get('/1')).server(ok('x')).close(), []],
  ['http on port with TLS-like', () => o().client('\x16\x03\x01\x00\x05hello').server('x').close(), []],
]);

casesOf('a capture that begins in the middle', [
  [
    'capture starts mid body',
    () => new Talk().server('x'.repeat(100), 'y'.repeat(50)).client(get('/2')).server(ok('y')).close(),
    ['GET /2 > 200 1 complete', 'lost joined_midstream:150'],
  ],
  [
    'capture starts mid body of POST',
    () =>
      new Talk().client('x'.repeat(100), 'y'.repeat(50)).server(ok('first')).client(get('/2')).server(ok('y')).close(),
    ['- > 200 5 truncated joined_midstream:0', 'GET /2 > 200 1 complete', 'lost joined_midstream:150'],
  ],
  [
    'capture starts mid chunk',
    () => new Talk().server('abc\r\n5\r\nhello\r\n0\r\n\r\n').client(get('/2')).server(ok('y')).close(),
    ['GET /2 > 200 1 complete', 'lost joined_midstream:20'],
  ],
  [
    'starts with response',
    () => new Talk().server(ok('first')).client(get('/2')).server(ok('y')).close(),
    ['- > 200 5 truncated joined_midstream:0', 'GET /2 > 200 1 complete', 'lost joined_midstream:0'],
  ],
  [
    'starts at response head split',
    () =>
      new Talk().server('HTTP/1.1 200 OK\r\nContent-Le', 'ngth: 2\r\n\r\nab').client(get('/2')).server(ok('y')).close(),
    ['- > 200 2 truncated joined_midstream:0', 'GET /2 > 200 1 complete', 'lost joined_midstream:0'],
  ],
  [
    'joined pipelined',
    () =>
      new Talk()
        .client(get('/1') + get('/2'))
        .server(ok('a') + ok('b'))
        .client(get('/3'))
        .server(ok('c'))
        .close(),
    [
      '- > 200 1 truncated joined_midstream:0',
      '- > 200 1 truncated joined_midstream:0',
      'GET /1 > - truncated joined_midstream:0',
      'GET /2 > - truncated joined_midstream:0',
      'GET /3 > 200 1 truncated joined_midstream:0',
      'lost joined_midstream:0',
    ],
  ],
  [
    'joined both bodies up',
    () =>
      new Talk()
        .client('x'.repeat(1000))
        .client('y'.repeat(100))
        .server('HTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n')
        .client(get('/3'))
        .server(ok('c'))
        .close(),
    ['- > 201 truncated joined_midstream:0', 'GET /3 > 200 1 complete', 'lost joined_midstream:1100'],
  ],
]);
