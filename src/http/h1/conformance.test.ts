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
      'end framed head=56 body=0 at=0-80 trailers(Content-Length="7")',
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

const REFUSED: Array<[says: string, bytes: string, marks: string]> = [
  [
    'both lengths',
    'POST / HTTP/1.1$Host: x$Content-Length: 5$Transfer-Encoding: chunked$$0$$GET /x HTTP/1.1$$',
    'content_length_and_transfer_encoding',
  ],
  [
    'both lengths, coding first',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked$content-length: 0$$0$$',
    'content_length_and_transfer_encoding',
  ],
  [
    'lengths that differ',
    'POST / HTTP/1.1$Host: x$Content-Length: 5$Content-Length: 6$$helloX',
    'differing_content_lengths',
  ],
  [
    'lengths that differ in a list',
    'POST / HTTP/1.1$Host: x$Content-Length: 5, 6$$helloX',
    'differing_content_lengths',
  ],
  ['a signed length', 'POST / HTTP/1.1$Host: x$Content-Length: +5$$hello', 'bad_content_length'],
  ['a negative length', 'POST / HTTP/1.1$Host: x$Content-Length: -5$$hello', 'bad_content_length'],
  ['a length with a space', 'POST / HTTP/1.1$Host: x$Content-Length: 1 2$$hello', 'bad_content_length'],
  ['a hexadecimal length', 'POST / HTTP/1.1$Host: x$Content-Length: 0x5$$hello', 'bad_content_length'],
  ['an empty length', 'POST / HTTP/1.1$Host: x$Content-Length: $$hello', 'bad_content_length'],
  ['a length over 2^53', 'POST / HTTP/1.1$Host: x$Content-Length: 9007199254740993$$hello', 'bad_content_length'],
  ['a length of 2^64 + 5', 'POST / HTTP/1.1$Host: x$Content-Length: 18446744073709551621$$hello', 'bad_content_length'],
  ['an empty list element in a length', 'POST / HTTP/1.1$Host: x$Content-Length: 5,,5$$hello', 'bad_content_length'],
  ['a length of other digits', 'POST / HTTP/1.1$Host: x$Content-Length: \xb2$$hello', 'bad_content_length'],
  ['a folded length', 'POST / HTTP/1.1$Host: x$Content-Length:$ 5$$hello', 'bad_content_length,obs_fold'],
  [
    'a folded coding',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding:$ chunked$$0$$',
    'transfer_encoding_not_chunked_last,obs_fold',
  ],
  [
    'chunked not last',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked, gzip$$0$$',
    'transfer_encoding_not_chunked_last',
  ],
  [
    'chunked twice',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked$Transfer-Encoding: chunked$$0$$',
    'transfer_encoding_not_chunked_last',
  ],
  ['no chunked', 'POST / HTTP/1.1$Host: x$Transfer-Encoding: identity$$0$$', 'transfer_encoding_not_chunked_last'],
  ['almost chunked', 'POST / HTTP/1.1$Host: x$Transfer-Encoding: xchunked$$0$$', 'transfer_encoding_not_chunked_last'],
  [
    'chunked behind a control byte',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: \x0bchunked$$0$$',
    'transfer_encoding_not_chunked_last,bad_field_line',
  ],
  [
    'chunked in quotes',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: "chunked"$$0$$',
    'transfer_encoding_not_chunked_last',
  ],
  ['a coding in HTTP/1.0', 'POST / HTTP/1.0$Transfer-Encoding: chunked$$0$$', 'transfer_encoding_in_http10'],
  [
    'whitespace before the colon',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding : chunked$$0$$',
    'whitespace_before_colon',
  ],
  ['a tab before the colon', 'POST / HTTP/1.1$Host: x$Content-Length\t: 5$$hello', 'whitespace_before_colon'],
  ['a space in a name', 'GET / HTTP/1.1$Host: x$Foo Bar: 1$$', 'bad_field_line'],
  ['an empty name', 'GET / HTTP/1.1$Host: x$: 1$$', 'bad_field_line'],
  ['a line without colon', 'GET / HTTP/1.1$Host: x$Foo$$', 'bad_field_line'],
  ['a name with a byte over 127', 'GET / HTTP/1.1$Host: x$F\xf6o: 1$$', 'bad_field_line'],
  ['a first line that is folded', 'GET / HTTP/1.1$ Host: x$$', 'bad_field_line,obs_fold'],
  ['NUL in a value', 'GET / HTTP/1.1$Host: x$A: b\0c$$', 'nul_byte'],
  ['NUL in a name', 'GET / HTTP/1.1$Host: x$A\0: b$$', 'nul_byte'],
  ['NUL in the target', 'GET /\0 HTTP/1.1$Host: x$$', 'bad_start_line,nul_byte'],
  ['a bare CR in a value', 'GET / HTTP/1.1$Host: x$A: b\rContent-Length: 5$$', 'bare_cr'],
  ['a bare CR as a line', 'GET / HTTP/1.1$Host: x$\r\rX: y$$', 'bare_cr'],
  ['two spaces in the request line', 'GET  / HTTP/1.1$Host: x$$', 'bad_start_line'],
  ['a tab in the request line', 'GET\t/ HTTP/1.1$Host: x$$', 'bad_start_line'],
  ['a space at the end of the request line', 'GET / HTTP/1.1 $Host: x$$', 'bad_start_line'],
  ['a space before the request line', ' GET / HTTP/1.1$Host: x$$', 'bad_start_line'],
  ['HTTP/0.9', 'GET /$', 'bad_start_line'],
  ['HTTP/2.0', 'GET / HTTP/2.0$Host: x$$', 'bad_start_line'],
  ['http in lower case', 'GET / http/1.1$Host: x$$', 'bad_start_line'],
  ['no target', 'GET HTTP/1.1$Host: x$$', 'bad_start_line'],
  ['no method', '/ HTTP/1.1$Host: x$$', 'bad_start_line'],
  ['a CR before the request line', '\rGET / HTTP/1.1$Host: x$$', 'bad_start_line,bare_cr'],
];

const CHUNKS: Array<[says: string, chunks: string, marks: string]> = [
  ['an empty size', '$hello$0$$', 'bad_chunk_size'],
  ['a size with 0x', '0x5$hello$0$$', 'bad_chunk_size'],
  ['a signed size', '+5$hello$0$$', 'bad_chunk_size'],
  ['a negative size', '-5$hello$0$$', 'bad_chunk_size'],
  ['a size behind a space', ' 5$hello$0$$', 'bad_chunk_size'],
  ['a size before a space', '5 $hello$0$$', 'bad_chunk_size'],
  ['a size of 2^53', '20000000000000$hello$0$$', 'bad_chunk_size'],
  ['a size of 2^64 + 5', '10000000000000005$hello$0$$', 'bad_chunk_size'],
  ['a size with an underscore', '1_0$hello$0$$', 'bad_chunk_size'],
  ['a size that ends in LF', '5\nhello$0$$', 'bad_chunk_size,bare_lf'],
  ['an extension that ends in LF', '5;a\nhello$0$$', 'bad_chunk_size,bare_lf'],
  ['an extension with a CR', '5;a\rb$hello$0$$', 'bad_chunk_size,bare_cr'],
  ['an extension with NUL', '5;a\0$hello$0$$', 'bad_chunk_size,nul_byte'],
  ['data longer than its size', '5$helloo$0$$', 'bad_chunk_end'],
  ['data that ends in LF', '5$hello\n0$$', 'bad_chunk_end,bare_lf'],
  ['data that ends in CR', '5$hello\r0$$', 'bad_chunk_end'],
  ['data that ends in nothing', '5$hello0$$', 'bad_chunk_end'],
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

for (const [says, text, marks] of REFUSED) {
  test(`${says} is a protocol error, and nothing behind it is believed`, () => {
    const bytes = Buffer.concat([crlf(text), crlf('GET /after HTTP/1.1$Host: x$$')]);
    const log = atEverySize('request', bytes, []);
    const ends = log.filter((line) => line.startsWith('end '));
    expect(ends).toHaveLength(1);
    expect(ends[0]).toMatch(/^end error /);
    expect(new Set(ends[0]!.split('!')[1]!.split(','))).toEqual(new Set(marks.split(',')));
    expect(log.filter((line) => line.startsWith('head '))).toHaveLength(1);
  });
}

for (const [says, chunks, marks] of CHUNKS) {
  test(`${says} is a protocol error in both directions`, () => {
    const request = crlf(`POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked$$${chunks}GET / HTTP/1.1$Host: x$$`);
    const response = crlf(`HTTP/1.1 200 OK$Transfer-Encoding: chunked$$${chunks}HTTP/1.1 200 OK$$`);
    for (const log of [atEverySize('request', request, []), atEverySize('response', response, ['GET', 'GET'])]) {
      const ends = log.filter((line) => line.startsWith('end '));
      expect(ends).toHaveLength(1);
      expect(ends[0]).toMatch(/^end error /);
      expect(new Set(ends[0]!.split('!')[1]!.split(','))).toEqual(new Set(marks.split(',')));
    }
  });
}

test('bytes behind an error are counted, every one', () => {
  const bytes = crlf('GET  / HTTP/1.1$Host: x$$GET / HTTP/1.1$Host: x$$');
  for (const size of [1, 7, bytes.length]) {
    const { losses } = run('request', bytes, every(size, bytes.length));
    const [desync] = losses.totals();
    expect(desync?.reason).toBe('desync');
    expect(desync?.bytes).toBe(bytes.length - 17);
  }
});
