/** Heads and chunks that end the message as an error, at every size of segment. */
import { expect, test } from 'vitest';
import { every, latin1, run } from '../../../test/fuzz/h1-rig.ts';

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
  [
    'chunked with a parameter',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: chunked;q=1$$0$$',
    'transfer_encoding_not_chunked_last',
  ],
  [
    'a quoted parameter of another coding',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: gzip;a="b, chunked$$0$$',
    'transfer_encoding_not_chunked_last',
  ],
  [
    'chunked behind a blank',
    'POST / HTTP/1.1$Host: x$Transfer-Encoding: gzip chunked$$0$$',
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
