/**
 * RFC 9110 and 9112 as prose: a message, and what the parser says of it, at every chunk size. `$` in an input is CRLF.
 * An event log has `head`, the fields, and `end` with head bytes, body bytes and the stream offsets.
 */
import { expect, test } from 'vitest';
import { every, latin1, run } from '../../../test/fuzz/h1-rig.ts';

interface Case {
  says: string;
  bytes: string;
  /** Methods of the requests that were seen; makes it a response. */
  answers?: string[];
  log: string[];
}

const REQUESTS: Case[] = [
  {
    says: 'a request without lengths has no body',
    bytes: 'GET /a?b=c HTTP/1.1$Host: x$$',
    log: ['head GET /a?b=c 1.1', '  Host="x"', 'end framed head=32 body=0 at=0-32'],
  },
  {
    says: 'Content-Length delimits, and pipelined requests follow one another',
    bytes: 'POST / HTTP/1.1$Host: x$Content-Length: 5$$helloGET /2 HTTP/1.1$Host: x$$',
    log: [
      'head POST / 1.1',
      '  Host="x" Content-Length="5"',
      'end framed head=47 body=5 at=0-52',
      'head GET /2 1.1',
      '  Host="x"',
      'end framed head=28 body=0 at=52-80',
    ],
  },
  {
    says: 'a body that looks like a request is a body',
    bytes: 'POST / HTTP/1.1$Host: x$Content-Length: 27$$GET /evil HTTP/1.1$Host: x$$',
    log: ['head POST / 1.1', '  Host="x" Content-Length="27"', 'end framed head=48 body=27 at=0-75'],
  },
  {
    says: 'chunks with extensions and trailers',
    bytes: 'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked$$5;a=b$hello$00A ; q="x;y"$0123456789$0$X-Sum: 9$Y: $$',
    log: [
      'head POST / 1.1',
      '  Host="x" Transfer-Encoding="chunked"',
      'end framed head=56 body=15 at=0-117 trailers(X-Sum="9" Y="")',
    ],
  },
  {
    says: 'trailers that look like framing change nothing',
    bytes: 'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked$$0$Content-Length: 7$$GET / HTTP/1.1$Host: x$$',
    log: [
      'head POST / 1.1',
      '  Host="x" Transfer-Encoding="chunked"',
      'end framed head=56 body=0 at=0-80 trailers(Content-Length="7") !forbidden_trailer',
      'head GET / 1.1',
      '  Host="x"',
      'end framed head=27 body=0 at=80-107',
    ],
  },
  {
    says: 'chunked may be written in any case and behind other codings',
    bytes: 'POST / HTTP/1.1$Host: x$transfer-encoding: gzip,$Transfer-Encoding: , ChunKed ,$$1$a$0$$',
    log: [
      'head POST / 1.1',
      '  Host="x" transfer-encoding="gzip," Transfer-Encoding=", ChunKed ,"',
      'end framed head=86 body=1 at=0-97',
    ],
  },
  {
    says: 'a coding before chunked may have parameters',
    bytes: 'POST / HTTP/1.1$Host: x$Transfer-Encoding: gzip; q=1 ;a=b, chunked$$1$a$0$$',
    log: [
      'head POST / 1.1',
      '  Host="x" Transfer-Encoding="gzip; q=1 ;a=b, chunked"',
      'end framed head=72 body=1 at=0-83',
    ],
  },
  {
    says: 'empty lines before a request line are passed over',
    bytes: '$\n$GET / HTTP/1.1$Host: x$$',
    log: ['head GET / 1.1', '  Host="x"', 'end framed head=27 body=0 at=5-32'],
  },
  {
    says: 'absolute, asterisk and authority form',
    bytes:
      'GET http://h:80/p?q HTTP/1.1$Host: h$$OPTIONS * HTTP/1.1$Host: h$$M-SEARCH * HTTP/1.1$Host: h$$CONNECT h:443 HTTP/1.1$Host: h:443$$',
    log: [
      'head GET http://h:80/p?q 1.1',
      '  Host="h"',
      'end framed head=41 body=0 at=0-41',
      'head OPTIONS * 1.1',
      '  Host="h"',
      'end framed head=31 body=0 at=41-72',
      'head M-SEARCH * 1.1',
      '  Host="h"',
      'end framed head=32 body=0 at=72-104 !bad_start_line',
      'head CONNECT h:443 1.1',
      '  Host="h:443"',
      'end framed head=39 body=0 at=104-143',
    ],
  },
  {
    says: 'any token is a method',
    bytes: "!#$%&'*+-.^_`|~09Az / HTTP/1.0$$".replace('!#$%', '!#%'),
    log: ["head !#%&'*+-.^_`|~09Az / 1.0", 'end framed head=33 body=0 at=0-33'],
  },
  {
    says: 'HTTP/1.0 needs no Host, HTTP/1.1 does, and one is enough; a later minor version is 1.1',
    bytes: 'GET / HTTP/1.0$$GET / HTTP/1.1$$GET / HTTP/1.9$Host: a$host: b$$',
    log: [
      'head GET / 1.0',
      'end framed head=18 body=0 at=0-18',
      'head GET / 1.1',
      'end framed head=18 body=0 at=18-36 !missing_host',
      'head GET / 1.1',
      '  Host="a" host="b"',
      'end framed head=36 body=0 at=36-72 !duplicate_host',
    ],
  },
  {
    says: 'names keep their case, duplicates their order, values their bytes; whitespace around them goes',
    bytes: 'GET /\xe9 HTTP/1.1$Host:x$a: 1$A:\t 2 \t$a:$b: \xff\x80\tz$$',
    log: ['head GET /\xe9 1.1', '  Host="x" a="1" A="2" a="" b="\xff\x80\\tz"', 'end framed head=55 body=0 at=0-55'],
  },
  {
    says: 'obsolete folding is one space, and marked',
    bytes: 'GET / HTTP/1.1$Host: x$A: 1 $   2\t$ $\t3$B:$ 4$$',
    log: ['head GET / 1.1', '  Host="x" A="1 2 3" B="4"', 'end framed head=56 body=0 at=0-56 !obs_fold'],
  },
  {
    says: 'bare LF ends a line of a head, and is marked',
    bytes: 'GET / HTTP/1.1\nHost: x\nA: 1\n\n',
    log: ['head GET / 1.1', '  Host="x" A="1"', 'end framed head=29 body=0 at=0-29 !bare_lf'],
  },
  {
    says: 'equal lengths are one length',
    bytes: 'POST / HTTP/1.1$Host: x$Content-Length: 2, 2$Content-Length: 02$$ab',
    log: [
      'head POST / 1.1',
      '  Host="x" Content-Length="2, 2" Content-Length="02"',
      'end framed head=70 body=2 at=0-72',
    ],
  },
  {
    says: 'FIN in a body is short, in a head too',
    bytes: 'POST / HTTP/1.1$Host: x$Content-Length: 9$$abc',
    log: ['head POST / 1.1', '  Host="x" Content-Length="9"', 'end short head=47 body=3 at=0-50 !short_body'],
  },
  {
    says: 'FIN in a head leaves its whole lines',
    bytes: 'GET / HTTP/1.1$Host: x$Coo',
    log: ['head GET / 1.1', '  Host="x"', 'end short head=28 body=0 at=0-28'],
  },
  { says: 'FIN in a start line leaves nothing', bytes: 'GET / HTT', log: [] },
];

const RESPONSES: Case[] = [
  {
    says: 'Content-Length, and an empty reason',
    bytes: 'HTTP/1.1 200 $Content-Length: 2$$okHTTP/1.0 404 Not Found$Content-Length: 0$$',
    answers: ['GET', 'GET'],
    log: [
      'head 1.1 200',
      '  Content-Length="2"',
      'end framed head=36 body=2 at=0-38',
      'head 1.0 404 Not Found',
      '  Content-Length="0"',
      'end framed head=45 body=0 at=38-83',
    ],
  },
  {
    says: 'a status line without the space after its code is marked',
    bytes: 'HTTP/1.1 204$$',
    answers: ['GET'],
    log: ['head 1.1 204', 'end framed head=16 body=0 at=0-16 !bad_start_line'],
  },
  {
    says: 'no body after HEAD, 204, 304, whatever the lengths say',
    bytes:
      'HTTP/1.1 200 OK$Content-Length: 9$$HTTP/1.1 304 Not Modified$Content-Length: 9$$HTTP/1.1 204 No Content$Content-Length: 9$$HTTP/1.1 200 OK$Transfer-Encoding: chunked$$',
    answers: ['HEAD', 'GET', 'GET', 'HEAD'],
    log: [
      'head 1.1 200 OK',
      '  Content-Length="9"',
      'end framed head=38 body=0 at=0-38',
      'head 1.1 304 Not Modified',
      '  Content-Length="9"',
      'end framed head=48 body=0 at=38-86',
      'head 1.1 204 No Content',
      '  Content-Length="9"',
      'end framed head=46 body=0 at=86-132 !body_where_none_allowed',
      'head 1.1 200 OK',
      '  Transfer-Encoding="chunked"',
      'end framed head=47 body=0 at=132-179',
    ],
  },
  {
    says: 'interim responses are not the response',
    bytes: 'HTTP/1.1 100 Continue$$HTTP/1.1 103 Early Hints$Link: </a>$$HTTP/1.1 200 OK$Content-Length: 1$$x',
    answers: ['POST'],
    log: [
      'interim 1.1 100 Continue',
      'interim 1.1 103 Early Hints Link="</a>"',
      'head 1.1 200 OK',
      '  Content-Length="1"',
      'end framed head=38 body=1 at=65-104',
    ],
  },
  {
    says: 'without a length the body ends with the connection',
    bytes: 'HTTP/1.1 200 OK$A: b$$HTTP/1.1 200 OK$$',
    answers: ['GET', 'GET'],
    log: ['head 1.1 200 OK', '  A="b"', 'end fin head=25 body=19 at=0-44'],
  },
  {
    says: 'a transfer coding other than chunked ends with the connection',
    bytes: 'HTTP/1.1 200 OK$Transfer-Encoding: gzip$$xyz',
    answers: ['GET'],
    log: ['head 1.1 200 OK', '  Transfer-Encoding="gzip"', 'end fin head=44 body=3 at=0-47'],
  },
  {
    says: '101 switches, and what follows is not read',
    bytes: 'HTTP/1.1 101 Switching Protocols$Upgrade: websocket$Connection: upgrade$$HTTP/1.1 200 OK$$',
    answers: ['GET'],
    log: [
      'head 1.1 101 Switching Protocols',
      '  Upgrade="websocket" Connection="upgrade"',
      'end switched head=77 body=0 at=0-77',
    ],
  },
  {
    says: '2xx to CONNECT switches, its lengths are ignored and marked',
    bytes: 'HTTP/1.1 200 OK$Content-Length: 5$$hello',
    answers: ['CONNECT'],
    log: ['head 1.1 200 OK', '  Content-Length="5"', 'end switched head=38 body=0 at=0-38 !body_where_none_allowed'],
  },
  {
    says: 'another answer to CONNECT does not',
    bytes: 'HTTP/1.1 407 No$Content-Length: 5$$hello',
    answers: ['CONNECT'],
    log: ['head 1.1 407 No', '  Content-Length="5"', 'end framed head=38 body=5 at=0-43'],
  },
  {
    says: 'the request was not seen: what follows the head tells whether it was HEAD',
    bytes: 'HTTP/1.1 200 OK$Content-Length: 19$$HTTP/1.1 200 OK$Content-Length: 3$$HTT',
    log: [
      'head 1.1 200 OK',
      '  Content-Length="19"',
      'end framed head=39 body=0 at=0-39',
      'head 1.1 200 OK',
      '  Content-Length="3"',
      'end framed head=38 body=3 at=39-80',
    ],
  },
  {
    says: 'the request was not seen: a chunked body',
    bytes: 'HTTP/1.1 200 OK$Transfer-Encoding: chunked$$3$HTT$0$$HTTP/1.1 404 No$Content-Length: 0$$',
    log: [
      'head 1.1 200 OK',
      '  Transfer-Encoding="chunked"',
      'end framed head=47 body=3 at=0-60',
      'head 1.1 404 No',
      '  Content-Length="0"',
      'end framed head=38 body=0 at=60-98',
    ],
  },
];

const crlf = (text: string): Uint8Array => latin1(text.replaceAll('$', '\r\n'));

/** The same log at every chunk size; returns the one of the whole. */
function atEverySize(kind: 'request' | 'response', bytes: Uint8Array, methods: string[]): string[] {
  const whole = run(kind, bytes, [], { methods }).log;
  for (let size = 1; size < bytes.length; size++) {
    expect(run(kind, bytes, every(size, bytes.length), { methods }).log, `in pieces of ${size}`).toEqual(whole);
  }
  return whole;
}

for (const { says, bytes, log } of REQUESTS) {
  test(`request: ${says}`, () => {
    expect(atEverySize('request', crlf(bytes), [])).toEqual(log);
  });
}

for (const { says, bytes, answers, log } of RESPONSES) {
  test(`response: ${says}`, () => {
    expect(atEverySize('response', crlf(bytes), answers ?? [])).toEqual(log);
  });
}
