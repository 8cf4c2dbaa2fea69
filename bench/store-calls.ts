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

/** Milliseconds, as a server's: half are below 20, one in a hundred is above 130. */
const waited = (): number =>
  20 * Math.exp(0.8 * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));

function made(n: number, connections: readonly Connection[], { routes, services }: Kinds): Exchange {
  const x = new Exchange();
  const id = uuid();
  // The first has half of the calls, the next a quarter, the last ones few.
  const route = Math.min(routes - 1, Math.floor(-Math.log2(1 - Math.random()) * (routes / 10)));
  const slot = n % CONNECTIONS;
  x.connection = connections[(slot - (slot % services) + (route % services)) % CONNECTIONS]!;
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
  x.request.end = 'framed';
  x.response.end = 'framed';
  x.outcome = 'complete';
  x.route = `/v1/route-${route}`;
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

/** What there is of each; a route belongs to one service. */
interface Kinds {
  readonly routes: number;
  readonly services: number;
}

interface StoredCallsOptions extends Partial<Kinds> {
  /** Unix ms of the first call: then ids never repeat, and each response has the date of its second. */
  readonly startMs?: number;
}

export class StoredCalls {
  readonly #gapNs: number;
  readonly #redact: (exchange: Exchange) => Redacted<Exchange>;
  readonly #calls: readonly Exchange[];
  readonly #startMs: number | null;
  readonly #lasts: readonly { upload: number; wait: number; download: number }[];
  readonly #ordinals = new Int32Array(CONNECTIONS);
  #dateMs = -1;
  #date = '';
  #n = 0;

  constructor(callsPerS: number, { routes = 2, services = 1, startMs }: StoredCallsOptions = {}) {
    this.#startMs = startMs ?? null;
    this.#gapNs = 1e9 / callsPerS;
    this.#redact = redactor(new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 7)), {}));
    const connections = Array.from({ length: CONNECTIONS }, (_, i) => {
      const c = new Connection(i + 1, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 + i });
      c.side = 'server';
      c.clientDirection = 0;
      c.service = i % services === 0 ? 'nginx.service' : `api-${i % services}.service`;
      return c;
    });
    this.#calls = Array.from({ length: MADE }, (_, n) => made(n, connections, { routes, services }));
    this.#lasts = Array.from({ length: MADE }, () => ({
      upload: Math.floor(Math.random() * 50_000),
      wait: Math.floor(waited() * 1e6),
      download: Math.floor(Math.random() * 200_000),
    }));
  }

  /** The next call, valid until the one after. */
  next(): Redacted<Exchange> {
    const n = this.#n++;
    const x = this.#calls[n % MADE]!;
    const { upload, wait, download } = this.#lasts[n % MADE]!;
    const slot = x.connection!.id - 1;
    x.ordinal = ++this.#ordinals[slot]!;
    const at = Math.floor(n * this.#gapNs);
    if (this.#startMs !== null) this.#own(x, n, this.#startMs + at / 1e6);
    x.request!.firstByteAt = at;
    x.request!.lastByteAt = at + upload;
    x.response!.firstByteAt = at + wait;
    x.response!.lastByteAt = at + wait + download;
    return this.#redact(x);
  }
  /** Ids and date lie where `made` put them: first, and behind the date. */
  #own(x: Exchange, n: number, ms: number): void {
    const second = Math.floor(ms / 1_000) * 1_000;
    if (second !== this.#dateMs) {
      this.#dateMs = second;
      this.#date = new Date(second).toUTCString();
    }
    const id = n.toString(16).padStart(8, '0');
    x.request!.fields.memory.buf.latin1Write(id, 0);
    const { buf } = x.response!.fields.memory;
    buf.latin1Write(this.#date, 0);
    buf.latin1Write(id, this.#date.length);
  }
}
