import { casesOf, o } from './replay-cases.ts';
import { get, ok } from './replay-lines.ts';

casesOf('which response answers what, and how it ended', [
  [
    '100 chain',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
        .server('HTTP/1.1 100 Continue\r\n\r\n')
        .client('hello')
        .server('HTTP/1.1 102 Processing\r\n\r\n', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('x')}`)
        .close(),
    ['POST / 5 > 200 1 i100,102,103 complete'],
  ],
  [
    '100 chain one segment',
    () =>
      o()
        .client(get('/'))
        .server(
          'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' +
            ok('x'),
        )
        .client(get('/2'))
        .server(ok('yy'))
        .close(),
    ['GET / > 200 1 i100,102,103 complete', 'GET /2 > 200 2 complete'],
  ],
  [
    'CL with 1xx',
    () =>
      o()
        .client(get('/1'))
        .server(`HTTP/1.1 103 EH\r\nContent-Length: 5\r\n\r\n${ok('a')}`)
        .close(),
    ['GET /1 > 200 1 i103 complete body_where_none_allowed'],
  ],
  [
    'final then 100',
    () =>
      o()
        .client(get('/1'))
        .server(`${ok('a')}HTTP/1.1 100 Continue\r\n\r\n`)
        .client(get('/2'))
        .server(ok('b'))
        .close(),
    ['GET /1 > 200 1 complete', 'GET /2 > 200 1 complete response_without_request'],
  ],
  [
    '20 interims',
    () =>
      o()
        .client(get('/1'))
        .server('HTTP/1.1 102 P\r\n\r\n'.repeat(20) + ok('a'))
        .close(),
    [
      'GET /1 > 200 1 i102,102,102,102,102,102,102,102,102,102,102,102,102,102,102,102 complete queue_limit:72',
      'lost queue_limit:72',
    ],
  ],
  [
    '100 only then FIN',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
        .server('HTTP/1.1 100 Continue\r\n\r\n')
        .close('server'),
    ['POST / > - truncated short_body'],
  ],
  [
    '100 only then capture end',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
        .server('HTTP/1.1 100 Continue\r\n\r\n'),
    ['POST / > - open'],
  ],
  [
    '417',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n')
        .server('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n')
        .client(get('/2'))
        .server(ok('x'))
        .close(),
    ['POST / > 417 complete short_body early_response', 'GET /2 > 200 1 complete'],
  ],
  [
    'any final status before the body: the next request begins where the body would have',
    () => {
      const talk = o();
      for (const status of [200, 401, 403, 307, 413, 503]) {
        talk.client(`PUT /${status} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`);
        talk.server(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`);
      }
      return talk.client(get('/2')).server(ok('a')).close();
    },
    [
      ...[200, 401, 403, 307, 413, 503].map(
        (status) => `PUT /${status} > ${status} complete short_body early_response`,
      ),
      'GET /2 > 200 1 complete',
    ],
  ],
  [
    'a refusal, and the body all the same',
    () =>
      o()
        .client('PUT /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
        .server('HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n')
        .client('GET /')
        .client(get('/2'))
        .server(ok('a'))
        .close(),
    ['PUT /1 5 > 403 complete early_response', 'GET /2 > 200 1 complete'],
  ],
  [
    'an early 200, and the body all the same',
    () =>
      o()
        .client('PUT /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
        .server(ok('a'))
        .client('12345')
        .client(get('/2'))
        .server(ok('b'))
        .close(),
    ['PUT /1 5 > 200 1 complete early_response', 'GET /2 > 200 1 complete'],
  ],
  [
    'a chunked body refused: the next request in pieces, and the body all the same',
    () => {
      const put = 'PUT /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n';
      const no = 'HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n';
      const talk = o().client(put).server(no).client('AD', 'D ', '/2 HTTP/1.1\r\nHost: a\r\n\r\n').server(ok('a'));
      return talk
        .client(put)
        .server(no)
        .client('5', '\r\nhello\r\n0\r\n\r\n')
        .client(get('/3'))
        .server(ok('b'))
        .close();
    },
    [
      'PUT /1 > 401 complete short_body early_response',
      'ADD /2 > 200 1 complete',
      'PUT /1 5 > 401 complete early_response',
      'GET /3 > 200 1 complete',
    ],
  ],
  [
    '417 close',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n')
        .server('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['POST / > 417 complete short_body early_response'],
  ],
  [
    'HEAD CL',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['HEAD / > 200 complete', 'GET /2 > 200 3 complete'],
  ],
  [
    'HEAD chunked',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['HEAD / > 200 complete', 'GET /2 > 200 3 complete'],
  ],
  [
    'HEAD with a body in a segment of its own, and no more',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'hello')
        .close('server'),
    ['HEAD / > 200 complete body_where_none_allowed', 'lost desync:5'],
  ],
  [
    'HEAD with body sent',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['HEAD / > 200 complete body_where_none_allowed', 'GET /2 > 200 3 complete', 'lost desync:5'],
  ],
  [
    'a trailer that lighttpd 1.4.69 makes a field, its CR with it, on a connection that goes on',
    () =>
      o()
        .client(get('/1'))
        .server('HTTP/1.1 200 OK\r\nX-Chunks: 20\r\r\nContent-Length: 2\r\n\r\nok')
        .client(get('/2'))
        .server(ok('abc'))
        .client(get('/3'))
        .server(ok('abcd'))
        .close(),
    ['GET /1 > 200 protocol_error bare_cr', 'GET /2 > 200 3 complete', 'GET /3 > 200 4 complete', 'lost desync:23'],
  ],
  [
    'HEAD 404 chunked then GET',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 404 NF\r\nTransfer-Encoding: chunked\r\n\r\n')
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['HEAD / > 404 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'pipelined mix',
    () =>
      o()
        .client(`HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n${get('/2')}HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n${get('/4')}`)
        .server(
          'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n' +
            ok('hello') +
            'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n' +
            ok('bye'),
        )
        .close(),
    ['HEAD /1 > 200 complete', 'GET /2 > 200 5 complete', 'HEAD /3 > 200 complete', 'GET /4 > 200 3 complete'],
  ],
  [
    '304 CL',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['GET / > 304 complete', 'GET /2 > 200 3 complete'],
  ],
  [
    'chunked 304/HEAD',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 304 NM\r\nTransfer-Encoding: chunked\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['GET / > 304 complete', 'GET /2 > 200 3 complete'],
  ],
  [
    '204 CL',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['GET / > 204 complete body_where_none_allowed', 'GET /2 > 200 3 complete'],
  ],
  [
    '204 TE',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['GET / > 204 complete body_where_none_allowed', 'GET /2 > 200 3 complete'],
  ],
  [
    '205 CL',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    ['GET / > 205 complete', 'GET /2 > 200 3 complete'],
  ],
  [
    'early response then body',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
        .server('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n')
        .client('defghij')
        .client(get('/2'))
        .server(ok('x'))
        .close(),
    ['POST / 10 > 413 complete early_response', 'GET /2 > 200 1 complete'],
  ],
  [
    'early response then close',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
        .server('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
        .close('server'),
    ['POST / 3 > 413 complete short_body early_response'],
  ],
  [
    '408 unasked',
    () => o().server('HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n').close('server'),
    ['- > 408 complete response_without_request'],
  ],
  [
    'refused within a head, by a client that pipelines',
    () =>
      o()
        .client(get('/1') + get('/2'))
        .server(ok('x') + ok('yy'))
        .client('GET /3 HTTP/1.1\r\nHost: a\r\nCookie: x')
        .server('HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n')
        .close('client'),
    ['GET /1 > 200 1 complete', 'GET /2 > 200 2 complete', 'GET /3 > 431 complete early_response'],
  ],
  [
    'refused within a head, and the client leaves amid the answer',
    () =>
      o()
        .client('GET /1 HTTP/1.1\r\nHost: a\r\nCookie: x')
        .server('HTTP/1.1 431 Too Large\r\nContent-Length: 9\r\n\r\nabc')
        .rst('client'),
    ['GET /1 > 431 3 client_abort early_response'],
  ],
  [
    'response unasked',
    () => o().client(get('/')).server(ok('x')).server(ok('evil')).client(get('/2')).server(ok('y')).close(),
    ['GET / > 200 1 complete', '- > 200 4 protocol_error response_without_request', 'GET /2 > 200 1 complete'],
  ],
  [
    'response with extra bytes',
    () =>
      o()
        .client(get('/'))
        .server(`${ok('x')}garbage`)
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    [
      'GET / > 200 1 complete',
      '- > 0 protocol_error bad_start_line response_without_request',
      'GET /2 > - truncated desync:0',
      'lost desync:22',
    ],
  ],
  [
    'req half-close',
    () => o().client('GET / HTTP/1.1\r\nHost: a\r\n\r\n').fin('client').server(ok('x')).fin('server').ack('client'),
    ['GET / > 200 1 complete'],
  ],
  [
    'req FIN short',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
        .fin('client')
        .server('HTTP/1.1 400 B\r\nContent-Length: 0\r\n\r\n')
        .fin('server')
        .ack('client'),
    ['POST / 3 > 400 truncated short_body'],
  ],
  [
    'client closes mid response',
    () =>
      o()
        .client(get('/1'))
        .server('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc')
        .wait(100_000_000n)
        .fin('client')
        .server('d'.repeat(97))
        .fin('server')
        .ack('client'),
    ['GET /1 > 200 100 complete'],
  ],
  ['no response FIN', () => o().client(get('/')).close('server'), ['GET / > - reset_before_headers']],
  ['no response RST', () => o().client(get('/')).rst('server'), ['GET / > - reset_before_headers']],
  ['no response client RST', () => o().client(get('/')).rst('client'), ['GET / > - timeout']],
  [
    'conn close then more',
    () =>
      o()
        .client(get('/1', 'Connection: close\r\n'))
        .server(ok('a', 'Connection: close\r\n'))
        .client(get('/2'))
        .close('server'),
    ['GET /1 > 200 1 complete', 'GET /2 > - reset_before_headers'],
  ],
  [
    'resp no CL keepalive then next req (HTTP/1.1 close-delimited lingering)',
    () => o().client(get('/1')).server('HTTP/1.1 200 OK\r\n\r\nabc').client(get('/2')).server('defg').close('server'),
    ['GET /1 > 200 7 complete', 'GET /2 > - reset_before_headers'],
  ],
  [
    'timeouts 61s',
    () => o().client(get('/1')).wait(61_000_000_000n).server(ok('x')).close(),
    ['GET /1 > 200 1 timeout'],
  ],
  ['capture ends after request', () => o().client(get('/')), ['GET / > - open']],
  ['capture ends mid head', () => o().client('GET / HTTP/1.1\r\nHo'), ['GET / > - open']],
  ['capture ends mid startline', () => o().client('GET / HT'), ['lost desync:8']],
]);
