/** What a body is made of, by its Content-Type: what is read of it as it passes. Other bodies cost one look. */
import { UNSEEN } from '../base/clock.ts';
import type { HeaderName } from '../model/fields.ts';
import type { Message } from '../model/message.ts';
import type { BodyUnits, EventUnits, StreamFacts } from '../model/units.ts';
import { GrpcMessages } from './grpc/messages.ts';
import type { NameTable } from './names.ts';
import { ServerSentEvents } from './sse/events.ts';
import { JsonLines } from './sse/ndjson.ts';

const GRPC = /^application\/grpc(-web(-text)?)?\s*(?:[+;]|$)/i;
const STREAM = /^(?:(text\/event-stream)|application\/(?:x-)?(?:ndjson|jsonl|jsonlines))\s*(?:;|$)/i;
const AFTER_TEXT = 'text/'.length;
const AFTER_APPLICATION = 'application/'.length;

/** Chooses for all connections of a pipeline. */
export class BodyReaders {
  readonly #contentType: HeaderName;

  constructor(names: NameTable) {
    this.#contentType = names.intern('content-type');
  }

  /** What reads the body of `message`; null: nobody does. `multiplexed`: gRPC itself, which needs HTTP/2, may be in it. */
  of(message: Message, multiplexed: boolean): BodyUnits | null {
    const { lines, count } = message.fields;
    for (let i = 0; i < count; i++) {
      if (lines[i]!.name !== this.#contentType) continue;
      const type = message.fields.value(i);
      return mayStream(type) ? ofType(message, type, multiplexed) : null;
    }
    return null;
  }
}

/** A quick no for what most bodies are. */
function mayStream(type: string): boolean {
  const first = type.charCodeAt(0) | 32;
  if (first === 0x74) return (type.charCodeAt(AFTER_TEXT) | 32) === 0x65;
  if (first !== 0x61) return false;
  const next = type.charCodeAt(AFTER_APPLICATION) | 32;
  // application/json is no stream, jsonl is.
  if (next === 0x6a) return (type.charCodeAt(AFTER_APPLICATION + 4) | 32) === 0x6c;
  return next === 0x67 || next === 0x78 || next === 0x6e;
}

function ofType(message: Message, type: string, multiplexed: boolean): BodyUnits | null {
  const grpc = GRPC.exec(type);
  if (grpc !== null) {
    const web = grpc[1] !== undefined;
    return web || multiplexed ? new GrpcMessages(web ? 'grpc-web' : 'grpc', grpc[2] !== undefined) : null;
  }
  if (message.kind === 'request') return null;
  const stream = STREAM.exec(type);
  if (stream === null) return null;
  const kind = stream[1] === undefined ? 'ndjson' : 'sse';
  const coding = message.fields.get('content-encoding');
  if (coding !== null && coding.toLowerCase() !== 'identity') return new CodedEvents(kind);
  return kind === 'sse' ? new ServerSentEvents() : new JsonLines();
}

/** Events in a body that is compressed: there are some, and nobody counts them. */
class CodedEvents implements EventUnits {
  readonly kind: StreamFacts['kind'];

  constructor(kind: StreamFacts['kind']) {
    this.kind = kind;
  }

  read(): void {}

  skip(): void {}

  facts(): StreamFacts {
    return { kind: this.kind, events: null, firstAt: UNSEEN, lastAt: UNSEEN, maxGapNs: UNSEEN, partial: false };
  }
}
