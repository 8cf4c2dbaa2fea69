/**
 * Made-up traffic of one server, as the kernel would tell of it: connections that begin, carry calls and end in every way, large
 * bodies left out, and now and then the head of a request or a response left out for want of room. When the machine has too little
 * time, code that meets a loss for the first time must not be the reason for the next one.
 */
import { KIND_CLOSED, KIND_OPENED, KIND_OWNER, MARK_SHED_HEAD } from '../kernel/abi.ts';
import type { MadeUpRing } from '../kernel/made-up.ts';
import { type Direction, EGRESS, INGRESS, TCP_ACK, TCP_FIN, TCP_RST } from '../model/segment.ts';
import type { SecretStore } from '../tls/secrets.ts';
import { RehearsedTls } from './rehearsal-tls.ts';

const SERVER_PORT = 8_080;
const FIRST_CLIENT_PORT = 40_000;
const CLIENT_PORTS = 20_000;
/** Sequence numbers as large as real ones: code compiled for small integers is thrown away at the first large one. */
const FIRST_SEQ = 0xfff0_0000;
/** Calls after which a connection ends and another one begins in its place. */
const CALLS_EACH = 50;

/** The n-th request. */
const request = (n: number): string =>
  `${n % 4 === 3 ? 'POST' : 'GET'} /v1/items/${n % 97}?page=${n % 7} HTTP/1.1\r\nHost: api.example\r\nUser-Agent: rehearsal/1.0\r\n` +
  'Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer not-a-real-token-0123456789\r\n' +
  `Content-Type: application/json\r\nX-Request-Id: ${n.toString(16).padStart(8, '0')}-4c1e-9\r\n${n % 4 === 3 ? 'Content-Length: 8\r\n\r\n{"a": 1}' : '\r\n'}`;
const BODIES = ['', 'x'.repeat(150), 'x'.repeat(700)];
/** Beyond what the kernel hands over; every so many calls have it. */
const LARGE_BYTES = 20_000;
const LARGE_EVERY = 16;
/** One call of so many comes without its request, and one without its response. */
const SHED_EVERY = 64;
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n';
/** Of a long record in one piece. */
const PIECE_BYTES = 8_192;
/** Calls that share a time stamp: a value that comes a few times and never again. */
const CALLS_PER_STAMP = 7;
const isLarge = (n: number): boolean => n % LARGE_EVERY === 9;
/** Its response, as far as it is handed over. */
function response(n: number): string {
  const body = BODIES[n % BODIES.length]!;
  const length = isLarge(n) ? LARGE_BYTES : body.length;
  const framing = n % 8 === 7 ? CHUNKED : `Content-Length: ${length}\r\n\r\n${body}`;
  return (
    `HTTP/1.1 ${n % 16 === 5 ? '404 Not Found' : '200 OK'}\r\nServer: rehearsal\r\nDate: Sun, 22 Nov 2026 16:04:05 GMT\r\n` +
    `Content-Type: application/json\r\nX-Request-Id: ${n.toString(16).padStart(8, '0')}-4c1e-9\r\nCache-Control: no-store\r\n` +
    `X-Time: 1795363445.${Math.floor(n / CALLS_PER_STAMP)}\r\nETag: W/"5e2c-1899"\r\nX-Ratelimit-Remaining: ${n % 5_000}\r\n` +
    `Vary: Accept-Encoding, Origin\r\n${framing}`
  );
}

/** One place for a connection at a time. */
export class RehearsedConnection {
  readonly #ring: MadeUpRing;
  readonly #pid: number;
  /** null: in clear. */
  readonly #secrets: SecretStore | null;
  #tls: RehearsedTls | null = null;
  #flow: number;
  readonly #step: number;
  #calls = 0;
  #endings = 0;
  /** Next sequence numbers, by direction. */
  readonly #next = new Uint32Array(2);
  /** What was left out and is told with the next segment, by direction. */
  readonly #leftOut = new Uint32Array(2);
  readonly #marks = new Uint8Array(2);

  /** `flow`: number of its first socket, which grows by `step` from connection to connection. `secrets`: where those of TLS go; null: in clear. */
  constructor(ring: MadeUpRing, flow: number, step: number, pid: number, secrets: SecretStore | null) {
    this.#secrets = secrets;
    this.#ring = ring;
    this.#flow = flow;
    this.#step = step;
    this.#pid = pid;
  }

  /** The n-th request, at `ts`; opens the connection if there is none. */
  ask(n: number, ts: number): void {
    if (this.#calls++ === 0) {
      this.#next.fill(FIRST_SEQ);
      this.#leftOut.fill(0);
      this.#tell(KIND_OPENED, ts);
      this.#shakeHands(ts);
    }
    const text = request(n);
    if (this.#tls !== null) this.#send(INGRESS, this.#tls.seal(INGRESS, text), ts);
    else if (n % SHED_EVERY === 33) this.#leave(INGRESS, text.length, MARK_SHED_HEAD);
    else this.#send(INGRESS, text, ts);
  }

  /** Its response, at `ts`; after a number of them the connection ends, and the next request opens another one. */
  answer(n: number, ts: number): void {
    if (this.#calls === 1) this.#tell(KIND_OWNER, ts);
    const text = response(n);
    const rest = isLarge(n) ? LARGE_BYTES - BODIES[n % BODIES.length]!.length : 0;
    if (this.#tls !== null) this.#sendPieces(EGRESS, this.#tls.seal(EGRESS, text + 'x'.repeat(rest)), ts);
    else if (n % SHED_EVERY === 50) this.#leave(EGRESS, text.length, MARK_SHED_HEAD);
    else this.#send(EGRESS, text, ts);
    if (rest > 0 && this.#tls === null) this.#leave(EGRESS, rest, 0);
    if (this.#calls === CALLS_EACH) this.#end(ts);
  }

  #shakeHands(ts: number): void {
    if (this.#secrets === null) return;
    this.#tls = new RehearsedTls(this.#secrets, this.#flow, ts);
    for (const [direction, wire] of this.#tls.handshake) this.#send(direction, wire, ts);
  }

  /** As the kernel hands long records over. */
  #sendPieces(direction: Direction, wire: string, ts: number): void {
    for (let at = 0; at < wire.length; at += PIECE_BYTES) this.#send(direction, wire.slice(at, at + PIECE_BYTES), ts);
  }

  /** Ends the connection: by FIN, by a reset of either side, or without a word. */
  #end(ts: number): void {
    switch (this.#endings++ % 4) {
      case 0:
        this.#send(INGRESS, '', ts, TCP_FIN);
        this.#send(EGRESS, '', ts, TCP_FIN);
        break;
      case 1:
        this.#send(INGRESS, '', ts, TCP_RST);
        break;
      case 2:
        this.#send(EGRESS, '', ts, TCP_RST);
    }
    this.#tell(KIND_CLOSED, ts);
    this.#calls = 0;
    this.#flow += this.#step;
  }

  #ports(): { readonly flow: number; readonly localPort: number; readonly remotePort: number } {
    return {
      flow: this.#flow,
      localPort: SERVER_PORT,
      remotePort: FIRST_CLIENT_PORT + (this.#flow % CLIENT_PORTS),
    };
  }

  #send(direction: Direction, payload: string, ts: number, flags = 0): void {
    const next = this.#next;
    const seq = next[direction]!;
    const ack = next[1 - direction]!;
    const leftOut = this.#leftOut[direction]!;
    const marks = this.#marks[direction]!;
    this.#ring.segment({
      ...this.#ports(),
      ts,
      direction,
      tcpFlags: TCP_ACK | flags,
      seq,
      ack,
      payload,
      leftOut,
      marks,
    });
    this.#leftOut[direction] = 0;
    this.#marks[direction] = 0;
    next[direction]! += payload.length + (flags === TCP_FIN ? 1 : 0);
  }

  #leave(direction: Direction, bytes: number, mark: number): void {
    this.#next[direction]! += bytes;
    this.#leftOut[direction]! += bytes;
    this.#marks[direction]! |= mark;
  }

  #tell(kind: number, ts: number): void {
    this.#ring.socket({ ...this.#ports(), kind, ts, pid: this.#pid, comm: 'rehearsal' });
  }
}
