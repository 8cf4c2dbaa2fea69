/** Drives the HTTP/1 parser and writes down what it says, as lines that a test can compare. */
import { Memory } from '../../src/base/memory.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import type { ConnectionStart } from '../../src/model/connection.ts';
import type { FieldBlock } from '../../src/model/fields.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { anomalyNames, Message, type MessageKind } from '../../src/model/message.ts';
import type { MessageSink, StreamEnd } from '../../src/model/stages.ts';

export const fieldsOf = (block: FieldBlock): string =>
  Array.from({ length: block.count }, (_, i) => `${block.lines[i]!.raw}=${JSON.stringify(block.value(i))}`).join(' ');

export function startOf(m: Message): string {
  const version = `${Math.floor(m.version / 10)}.${m.version % 10}`;
  return m.kind === 'request' ? `${m.method} ${m.target} ${version}` : `${version} ${m.status} ${m.reason}`.trimEnd();
}

/** How a message ended: `framed head=40 body=5 at=0-45`, then trailers, anomalies and losses where there are any. */
export function endOf(m: Message): string {
  const trailers = m.trailers === null ? '' : ` trailers(${fieldsOf(m.trailers)})`;
  const anomalies = m.anomalies === 0 ? '' : ` !${anomalyNames(m.anomalies).join(',')}`;
  const losses = m.losses.map((l) => ` -${l.reason}:${l.bytes}`).join('');
  return `${m.end} head=${m.headBytes} body=${m.bodyBytes} at=${m.startOffset}-${m.endOffset}${trailers}${anomalies}${losses}`;
}

/** Logs every event. `methods`: of the requests that responses answer, in turn; none left: the request was not seen. */
export class LogSink implements MessageSink {
  readonly log: string[] = [];
  readonly ended: string[] = [];
  readonly #shared: H1Shared;
  readonly #methods: string[];
  readonly #open = new Set<Message>();

  constructor(shared: H1Shared, methods: readonly string[] = []) {
    this.#shared = shared;
    this.#methods = [...methods];
  }

  head(m: Message): void {
    this.#open.add(m);
    this.log.push(`head ${startOf(m)}`, ...(m.fields.count > 0 ? [`  ${fieldsOf(m.fields)}`] : []));
  }

  interim(m: Message): void {
    this.log.push(`interim ${startOf(m)} ${fieldsOf(m.fields)}`.trimEnd());
  }

  end(m: Message): void {
    if (!this.#open.delete(m)) throw new Error('a message ended that had no head');
    this.log.push(`end ${endOf(m)}`);
    this.ended.push(`${startOf(m)} | ${fieldsOf(m.fields)} | ${endOf(m)}`);
    this.#shared.pool.give(m);
  }

  requestFor(): Message | null {
    const method = this.#methods.shift();
    if (method === undefined) return null;
    const request = new Message();
    request.method = method;
    request.startOffset = -7;
    return request;
  }
}

export interface Run {
  readonly log: string[];
  readonly ended: string[];
  readonly losses: LossLedger;
  readonly shared: H1Shared;
  readonly stream: H1Stream;
}

export interface RunOptions {
  readonly methods?: readonly string[];
  readonly start?: ConnectionStart;
  readonly shared?: H1Shared;
  /** How the direction ends; null: not at all. */
  readonly end?: StreamEnd | null;
}

/** Feeds `bytes` in pieces that end at `cuts` (ascending). Each piece comes in memory of its own, which is overwritten after. */
export function run(kind: MessageKind, bytes: Uint8Array, cuts: Iterable<number>, options: RunOptions = {}): Run {
  const shared = options.shared ?? new H1Shared();
  const sink = new LogSink(shared, options.methods);
  const losses = new LossLedger();
  const stream = new H1Stream(kind, sink, shared, losses, options.start ?? 'opened');
  let from = 0;
  const feed = (to: number): void => {
    if (to <= from) return;
    const memory = Memory.alloc(to - from + 3);
    memory.buf.set(bytes.subarray(from, to), 3);
    stream.data(memory, 3, to - from, from, 1, -1);
    memory.buf.fill(0x2a);
    from = to;
  };
  for (const cut of cuts) feed(Math.min(cut, bytes.length));
  feed(bytes.length);
  if (options.end !== null) stream.end(options.end ?? 'fin', 2);
  return { log: sink.log, ended: sink.ended, losses, shared, stream };
}

export function* every(size: number, length: number): Generator<number> {
  for (let at = size; at < length; at += size) yield at;
}

export const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');
