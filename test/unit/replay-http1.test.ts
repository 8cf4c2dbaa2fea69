/** What peers do on the wire that is odd, hostile or rare, and what the log says of it: RFC 9110, RFC 9112, docs/header-log.md. */
import { describe, expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { get, ok, said } from './replay-lines.ts';

const o = (): Talk => new Talk().open();

/** A conversation, and what is said of it: calls, then what was lost. */
type Case = [name: string, talk: () => Talk, says: string[]];

const FRAMING: Case[] = [
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
    ['GET / > 200 5 T[["Content-Length","9"]] complete', 'GET /2 > 200 1 complete'],
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
];

const HEADS: Case[] = [
  [
    'obs-fold',
    () => o().client('GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n  c\r\n\td\r\nY: z\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 complete obs_fold'],
  ],
  [
    'obs-fold empty first',
    () => o().client('GET / HTTP/1.1\r\nHost: a\r\nX-A:\r\n  c\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 complete obs_fold'],
  ],
  [
    'fold of first line',
    () => o().client('GET / HTTP/1.1\r\n Host: a\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 protocol_error bad_field_line obs_fold', 'lost desync:2'],
  ],
  [
    'bare LF mid',
    () =>
      o()
        .client('GET / HTTP/1.1\nHost: a\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
        .server(ok('x') + ok('yy'))
        .close(),
    ['GET / > 200 1 complete bare_lf', 'GET /2 > 200 2 complete'],
  ],
  [
    'bare CR',
    () =>
      o()
        .client('GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n')
        .server('HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['GET / > 400 protocol_error bare_cr', 'lost desync:2'],
  ],
  [
    'no colon line',
    () =>
      o()
        .client('GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n')
        .server('HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['GET / > 400 protocol_error bad_field_line', 'lost desync:2'],
  ],
  [
    'NUL value',
    () =>
      o()
        .client('GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n')
        .server('HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['GET / > 400 protocol_error nul_byte', 'lost desync:2'],
  ],
  [
    'NUL resp',
    () => o().client(get('/')).server('HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\nx').close(),
    ['GET / > 200 protocol_error nul_byte', 'lost desync:22'],
  ],
  [
    'header with ctl',
    () => o().client(get('/1', 'X: a\x01b\r\n')).server(ok('x')).close(),
    ['GET /1 > 200 1 complete bad_field_line'],
  ],
  [
    'ws before colon',
    () => o().client('GET / HTTP/1.1\r\nHost : a\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 protocol_error whitespace_before_colon', 'lost desync:2'],
  ],
  [
    'ws before colon resp',
    () =>
      o()
        .client(get('/'))
        .server('HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello')
        .client(get('/2'))
        .server(ok('x'))
        .close(),
    ['GET / > 200 protocol_error whitespace_before_colon', 'GET /2 > - truncated desync:0', 'lost desync:46'],
  ],
  [
    'no host',
    () => o().client('GET / HTTP/1.1\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 complete missing_host'],
  ],
  [
    'two hosts',
    () =>
      o()
        .client('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')
        .server('HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n')
        .close(),
    ['GET / > 400 complete duplicate_host'],
  ],
  [
    'host empty',
    () => o().client('GET / HTTP/1.1\r\nHost:\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 complete'],
  ],
  [
    'CRLF before request',
    () =>
      o()
        .client('\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server(ok('x'))
        .client(`\r\n${get('/2')}`)
        .server(ok('y'))
        .close(),
    ['GET / > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'head split CRLF',
    () =>
      o()
        .client('GET / HTTP/1.1\r', '\nHost: a\r', '\n\r', '\n')
        .server('HTTP/1.1 200 OK\r', '\nContent-Length: 1\r', '\n\r', '\nx')
        .close(),
    ['GET / > 200 1 complete'],
  ],
  [
    'lower methods',
    () =>
      o()
        .client('get / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server(ok('x'))
        .client('FOO-bar /x HTTP/1.1\r\nHost: a\r\n\r\n')
        .server(ok('y'))
        .client("!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n")
        .server(ok('z'))
        .close(),
    ['get / > 200 1 complete', 'FOO-bar /x > 200 1 complete', "!#$%&'*+-.^_`|~ / > 200 1 complete"],
  ],
  [
    'weird method first',
    () => o().client("!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n").server(ok('z')).close(),
    ["!#$%&'*+-.^_`|~ / > 200 1 complete"],
  ],
  [
    'HTTP/1.2',
    () => o().client('GET / HTTP/1.2\r\nHost: a\r\n\r\n').server(ok('x')).close(),
    ['GET / > 200 1 complete'],
  ],
  ['0.9', () => o().client('GET /\r\n').server('<html>').close('server'), []],
  [
    'utf8 target',
    () => o().client(get('/caf\xc3\xa9?x=\xff#frag')).server(ok('x')).close(),
    ['GET /cafÃ©?x=ÿ#frag > 200 1 complete'],
  ],
  [
    'status no reason',
    () => o().client(get('/')).server('HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET / > 200 complete bad_start_line'],
  ],
  [
    'status 999',
    () => o().client(get('/')).server('HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET / > 999 complete'],
  ],
  [
    'status 000',
    () => o().client(get('/')).server('HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET / > 0 protocol_error bad_start_line', 'lost desync:21'],
  ],
  [
    'status 2000',
    () => o().client(get('/')).server('HTTP/1.1 2000 Odd\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET / > 0 protocol_error bad_start_line', 'lost desync:21'],
  ],
  [
    'ICY',
    () => o().client(get('/')).server('ICY 200 OK\r\n\r\nabc').close('server'),
    ['GET / > 0 protocol_error bad_start_line', 'lost desync:5'],
  ],
  [
    'status line tabs',
    () => o().client(get('/1')).server('HTTP/1.1\t200\tOK\r\n\r\n').close(),
    ['GET /1 > 0 protocol_error bad_start_line', 'lost desync:2'],
  ],
  [
    'status line lower',
    () => o().client(get('/1')).server('http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET /1 > 0 protocol_error bad_start_line', 'lost desync:21'],
  ],
  [
    'status line double space',
    () => o().client(get('/1')).server('HTTP/1.1 200  OK\r\nContent-Length: 0\r\n\r\n').close(),
    ['GET /1 > 200 complete'],
  ],
  [
    'asterisk',
    () => o().client('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n').server(ok('')).close(),
    ['OPTIONS * > 200 complete'],
  ],
  [
    'absolute',
    () => o().client('GET http://b.example:8080/x?y HTTP/1.1\r\nHost: other\r\n\r\n').server(ok('x')).close(),
    ['GET http://b.example:8080/x?y > 200 1 complete'],
  ],
  [
    '200K head',
    () =>
      o()
        .split('client', get('/', `X: ${'y'.repeat(200 * 1024)}\r\n`), 1400)
        .server(ok('x'))
        .client(get('/2'))
        .server(ok('y'))
        .close(),
    [
      'GET / > 200 1 truncated head_too_large:131072',
      'GET /2 > 200 1 complete',
      'lost head_too_large:131072 desync:73760',
    ],
  ],
];

const ANSWERS: Case[] = [
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
    'HEAD with body sent',
    () =>
      o()
        .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
        .client(get('/2'))
        .server(ok('abc'))
        .close(),
    [
      'HEAD / > 200 complete',
      '- > 0 protocol_error bad_start_line response_without_request',
      'GET /2 > - truncated desync:0',
      'lost desync:24',
    ],
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
];

const PROTOCOLS: Case[] = [
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
    ['http/1.1+connect CONNECT b:443 > 200 upgraded'],
  ],
  [
    'CONNECT 200 with CL',
    () =>
      o()
        .client('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n')
        .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello')
        .client('GET / HTTP/1.1\r\n\r\n')
        .close(),
    ['http/1.1+connect CONNECT b:443 > 200 upgraded body_where_none_allowed'],
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
];

const JOINED: Case[] = [
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
    ['- > 200 5 truncated joined_midstream:0', 'GET /2 > 200 1 complete'],
  ],
  [
    'starts at response head split',
    () =>
      new Talk().server('HTTP/1.1 200 OK\r\nContent-Le', 'ngth: 2\r\n\r\nab').client(get('/2')).server(ok('y')).close(),
    ['- > 200 2 truncated joined_midstream:0', 'GET /2 > 200 1 complete'],
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
      '- > 200 1 truncated gap:0',
      '- > 200 1 truncated gap:0',
      'GET /1 > - truncated gap:0',
      'GET /2 > - truncated gap:0',
      'GET /3 > 200 1 truncated gap:0',
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
];

describe.each([
  ['where a body ends', FRAMING],
  ['start lines and fields', HEADS],
  ['which response answers what, and how it ended', ANSWERS],
  ['other protocols behind HTTP', PROTOCOLS],
  ['a capture that begins in the middle', JOINED],
] as const)('%s', (_, cases) => {
  test.each(cases)('%s', async (_name, talk, says) => {
    expect(said(await replayed(talk().bytes()))).toEqual(says);
  });
});
