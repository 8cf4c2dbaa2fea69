import { casesOf, o } from './replay-cases.ts';
import { get, ok } from './replay-lines.ts';

casesOf('start lines and fields', [
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
    ['GET / > 200 protocol_error whitespace_before_colon', 'GET /2 > 200 1 complete', 'lost desync:7'],
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
]);
