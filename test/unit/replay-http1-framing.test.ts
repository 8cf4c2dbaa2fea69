import { casesOf, o } from './replay-cases.ts';
import { get, ok } from './replay-lines.ts';

casesOf('where a body ends', [
  [
    'chunk ext + trailers',
    () =>
      o()
        .client(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c="d\\"e"\r\nhello\r\n0;x\r\nX-Sum: 1\r\nX-T: 2\r\n\r\n',
        )
        .server(ok('x'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['POST / 5 T[["X-Sum","1"],["X-T","2"]] > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'dup CL equal',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello')
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'CL list equal',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello').server(ok('x')).close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'CL 05',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello').server(ok('x')).close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'CL empty',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error bad_content_length'],
  ],
  [
    'CL negative',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error bad_content_length', 'lost desync:5'],
  ],
  [
    'CL huge',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error bad_content_length', 'lost desync:5'],
  ],
  [
    'CL in hex',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error bad_content_length', 'lost desync:5'],
  ],
  [
    'CL quoted',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "5"\r\n\r\nhello').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error bad_content_length', 'lost desync:5'],
  ],
  [
    'resp CL diff',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello')
        .close('server'),
    ['GET / > 200 protocol_error differing_content_lengths', 'lost desync:5'],
  ],
  [
    'resp CL+TE',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
        .close('server'),
    ['GET / > 200 protocol_error content_length_and_transfer_encoding', 'lost desync:5'],
  ],
  [
    'TE gzip,chunked',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'TE twice lines gzip / chunked',
    () =>
      o()
        .client(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
        )
        .server(ok('x'))
        .close(),
    ['POST / 1 > 200 1 complete'],
  ],
  [
    'TE chunked, chunked',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error transfer_encoding_not_chunked_last', 'lost desync:15'],
  ],
  [
    'TE gzip only request',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nhello').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error transfer_encoding_not_chunked_last', 'lost desync:5'],
  ],
  [
    'TE gzip only response',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello').close('server'),
    ['GET / > 200 5 complete'],
  ],
  [
    'TE identity',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello')
        .server(ok('x'))
        .close(),
    [
      'POST / > 200 1 protocol_error content_length_and_transfer_encoding transfer_encoding_not_chunked_last',
      'lost desync:5',
    ],
  ],
  [
    'TE CHUNKED caps',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'TE chunked;q',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;foo=bar\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error transfer_encoding_not_chunked_last', 'lost desync:15'],
  ],
  [
    'TE chunked, empty list elems',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked,\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'TE + CL=0',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error content_length_and_transfer_encoding', 'lost desync:5'],
  ],
  [
    'TE vtab',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n1\r\nx\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error transfer_encoding_not_chunked_last bad_field_line', 'lost desync:11'],
  ],
  [
    'TE fold',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error transfer_encoding_not_chunked_last obs_fold', 'lost desync:11'],
  ],
  [
    'fold CL',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello').server(ok('x')).close(),
    ['POST / > 200 1 protocol_error bad_content_length obs_fold', 'lost desync:5'],
  ],
  [
    'TE 1.0',
    () =>
      o()
        .client('POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['http/1.0 POST / > 200 1 protocol_error transfer_encoding_in_http10', 'lost desync:15'],
  ],
  [
    'TE 1.0 resp',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
        .close('server'),
    ['GET / > 200 protocol_error transfer_encoding_in_http10', 'lost desync:15'],
  ],
  [
    'chunk LF only',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error bad_chunk_size bare_lf', 'lost desync:10'],
  ],
  [
    'chunk size huge',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error bad_chunk_size', 'lost desync:12'],
  ],
  [
    'chunk size leading zeros',
    () =>
      o()
        .client(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000000005\r\nhello\r\n00\r\n\r\n',
        )
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 complete'],
  ],
  [
    'chunk neg',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error bad_chunk_size', 'lost desync:16'],
  ],
  [
    'chunk ws',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / > 200 1 protocol_error bad_chunk_size', 'lost desync:14'],
  ],
  [
    'chunk ext quoted CRLF',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="x\r\ny"\r\nhello\r\n0\r\n\r\n')
        .server(ok('x'))
        .close(),
    ['POST / 5 > 200 1 protocol_error bad_chunk_end', 'lost desync:11'],
  ],
  [
    'chunked resp cut FIN',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
        .close('server'),
    ['GET / > 200 5 truncated short_body'],
  ],
  [
    'chunked resp cut before last CRLF',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n')
        .close('server'),
    ['GET / > 200 5 truncated short_body'],
  ],
  [
    'chunked with RST',
    () =>
      o().client(get('/1')).server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n').rst('server'),
    ['GET /1 > 200 5 reset_in_body'],
  ],
  [
    'trailer bad',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad line\r\n\r\n')
        .close('server'),
    ['GET / > 200 5 protocol_error bad_field_line', 'lost desync:2'],
  ],
  [
    'trailer CL',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n')
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['GET / > 200 5 T[["Content-Length","9"]] complete forbidden_trailer', 'GET /2 > 200 1 complete'],
  ],
  [
    'GET with body',
    () =>
      o()
        .client('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
        .server(ok('x'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['GET / 3 > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'POST no length',
    () => o().client('POST / HTTP/1.1\r\nHost: a\r\n\r\n').server(ok('x')).close(),
    ['POST / > 200 1 complete'],
  ],
  [
    'extra CRLF after POST',
    () =>
      o()
        .client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n')
        .server(ok('x'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    ['POST / 3 > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'close-delim FIN',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\n\r\nabc').close('server'),
    ['GET / > 200 3 complete'],
  ],
  [
    'close-delim RST',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\n\r\nabc').rst('server'),
    ['GET / > 200 3 reset_in_body'],
  ],
  [
    'close-delim client RST',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\n\r\nabc').rst('client'),
    ['GET / > 200 3 client_abort'],
  ],
  [
    'CL RST',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc').rst('server'),
    ['GET / > 200 3 reset_in_body'],
  ],
  [
    // What a closed socket answers with: its own direction has ended.
    'CL client FIN at once, more of the body, client RST',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
        .fin('client')
        .server('def')
        .rst('client'),
    ['GET / > 200 6 client_abort'],
  ],
  [
    'CL FIN short',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc').close('server'),
    ['GET / > 200 3 truncated short_body'],
  ],
  [
    'SSE capture end',
    () =>
      o()
        .client(get('/1'))
        .server(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n5\r\nhello\r\n',
        ),
    ['GET /1 > 200 5 open'],
  ],
  [
    '1.0 keepalive',
    () =>
      o()
        .client('GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
        .server('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab')
        .client('GET /2 HTTP/1.0\r\n\r\n')
        .server('HTTP/1.0 200 OK\r\n\r\nabcdef')
        .close('server'),
    ['http/1.0 GET /1 > 200 2 complete', 'http/1.0 GET /2 > 200 6 complete'],
  ],
]);
