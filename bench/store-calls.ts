/** Calls as an API gateway's: 17 of 25 field lines repeat, 8 values are each call's own (two ids, a trace, lengths, times). */
import { Connection } from '../src/model/connection.ts';
import { Exchange } from '../src/model/exchange.ts';
import { Message } from '../src/model/message.ts';
import { Fingerprinter } from '../src/redact/fingerprint.ts';
import { CredentialPolicy } from '../src/redact/policy.ts';
import { type Redacted, redactor } from '../src/redact/redacted.ts';
import { fill, REQUEST_LINES, responseLines } from './gateway-call.ts';

const CONNECTIONS = 32;
/** Calls made beforehand: ids repeat after more rows than a page holds, so that no compressor sees one twice. */
const MADE = 20_000;

const RESPONSE_LINES = responseLines(
  [],
  'Date',
  'X-Request-Id',
  'Openai-Processing-Ms',
  'Content-Length',
  'X-Ratelimit-Remaining',
);

const word = (): string =>
  Math.floor(Math.random() * 2 ** 32)
    .toString(16)
    .padStart(8, '0');
const hex = (digits: number): string => Array.from({ length: digits / 8 }, word).join('');
const uuid = (): string => hex(32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

function made(n: number, connection: Connection, routes: number): Exchange {
  const x = new Exchange();
  const id = uuid();
  x.connection = connection;
  x.request = new Message();
  x.request.reset('request');
  x.request.method = 'POST';
  x.request.target = '/v1/chat/completions';
  x.request.headBytes = 520;
  x.request.bodyBytes = 700;
  x.response = new Message();
  x.response.reset('response');
  x.response.status = Math.random() < 0.999 ? 200 : 500;
  x.response.reason = 'OK';
  x.response.headBytes = 480;
  x.response.bodyBytes = 2_000;
  x.outcome = 'complete';
  // The first has half of the calls, the next a quarter, the last ones few.
  x.route = `/v1/route-${Math.min(routes - 1, Math.floor(-Math.log2(1 - Math.random()) * (routes / 10)))}`;
  x.inFlight = 1 + (n % 30);
  fill(x.request, REQUEST_LINES, [id, `00-${hex(32)}-${hex(16)}-01`, `${100 + Math.floor(Math.random() * 900)}`]);
  fill(x.response, RESPONSE_LINES, [
    'Sun, 22 Nov 2026 16:04:05 GMT',
    id,
    `${10 + Math.floor(Math.random() * 900)}`,
    `${1_000 + Math.floor(Math.random() * 9_000)}`,
    `${10_000 - (n % 10_000)}`,
  ]);
  return x;
}

export class StoredCalls {
  readonly #gapNs: number;
  readonly #redact: (exchange: Exchange) => Redacted<Exchange>;
  readonly #calls: readonly Exchange[];
  readonly #lasts: readonly { upload: number; wait: number; download: number }[];
  readonly #ordinals = new Int32Array(CONNECTIONS);
  #n = 0;

  constructor(callsPerS: number, routes = 2) {
    this.#gapNs = 1e9 / callsPerS;
    this.#redact = redactor(new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 7)), {}));
    const connections = Array.from({ length: CONNECTIONS }, (_, i) => {
      const c = new Connection(i + 1, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 + i });
      c.side = 'server';
      c.clientDirection = 0;
      c.service = 'nginx.service';
      return c;
    });
    this.#calls = Array.from({ length: MADE }, (_, n) => made(n, connections[n % CONNECTIONS]!, routes));
    this.#lasts = Array.from({ length: MADE }, () => ({
      upload: Math.floor(Math.random() * 50_000),
      wait: 1_000_000 + Math.floor(Math.random() * 5_000_000),
      download: Math.floor(Math.random() * 200_000),
    }));
  }

  /** The next call, valid until the one after. */
  next(): Redacted<Exchange> {
    const n = this.#n++;
    const x = this.#calls[n % MADE]!;
    const { upload, wait, download } = this.#lasts[n % MADE]!;
    x.ordinal = ++this.#ordinals[n % CONNECTIONS]!;
    const at = Math.floor(n * this.#gapNs);
    x.request!.firstByteAt = at;
    x.request!.lastByteAt = at + upload;
    x.response!.firstByteAt = at + wait;
    x.response!.lastByteAt = at + wait + download;
    return this.#redact(x);
  }
}
