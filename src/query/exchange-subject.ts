import { type ClockAnchor, UNSEEN } from '../base/clock.ts';
import { wireText } from '../export/log/json.ts';
import { schemeAndAuthority } from '../export/target.ts';
import type { Exchange } from '../model/exchange.ts';
import type { Message } from '../model/message.ts';
import type { Redacted } from '../redact/redacted.ts';
import type { FilterSubject, SubjectRequest, SubjectResponse } from './subject.ts';

const NS_PER_MS = 1e6;

const NOT_ASCII = /[\u0080-\u00ff]/;

/** Latin1 code points as the header log shows them: a filter compares with what its author can see there. */
const shown = (latin1: string): string => (NOT_ASCII.test(latin1) ? wireText(latin1) : latin1);

/** Both kinds of message; which of its getters are asked is a matter of the field it stands in. */
class MessageSubject implements SubjectRequest, SubjectResponse {
  message!: Redacted<Message>;

  get method() {
    return shown(this.message.method);
  }
  get target() {
    return shown(this.message.target);
  }
  get scheme() {
    return schemeAndAuthority(this.message).scheme;
  }
  get authority() {
    return shown(schemeAndAuthority(this.message).authority);
  }
  get status() {
    return this.message.status;
  }
  get headBytes() {
    return this.message.headBytes;
  }
  get bodyBytes() {
    return this.message.bodyBytes;
  }
  get headerCount() {
    return this.message.fields.count;
  }
  headerName(i: number): string {
    return shown(this.message.fields.lower(i));
  }
  headerValue(i: number): string {
    return shown(this.message.fields.value(i));
  }
}

/** A redacted exchange, as a filter sees it. One instance serves a pipeline: bind, use, bind the next. */
export class ExchangeSubject implements FilterSubject {
  readonly #anchorMs: number;
  readonly #anchorNs: number;
  readonly #request = new MessageSubject();
  readonly #response = new MessageSubject();
  #exchange!: Redacted<Exchange>;

  constructor(anchor: ClockAnchor) {
    this.#anchorMs = Number(anchor.wallNs / 1_000_000n);
    this.#anchorNs = Number(anchor.wallNs % 1_000_000n);
  }

  bind(exchange: Redacted<Exchange>): this {
    this.#exchange = exchange;
    return this;
  }

  get side() {
    return this.#exchange.connection.side;
  }
  get service() {
    return this.#exchange.connection.service;
  }
  get route() {
    return shown(this.#exchange.route);
  }
  get outcome() {
    return this.#exchange.outcome;
  }
  get protocol() {
    return this.#exchange.protocol;
  }
  get clientAddress() {
    return this.#exchange.connection.client.address;
  }
  get clientPort() {
    return this.#exchange.connection.client.port;
  }
  get serverAddress() {
    return this.#exchange.connection.server.address;
  }
  get serverPort() {
    return this.#exchange.connection.server.port;
  }
  get tlsVersion() {
    return this.#exchange.connection.tls?.version || undefined;
  }
  get serverName() {
    const sni = this.#exchange.connection.tls?.sni || undefined;
    return sni === undefined ? undefined : shown(sni);
  }
  get pid() {
    return this.#exchange.connection.process?.pid;
  }
  get processName() {
    return this.#exchange.connection.process?.name;
  }
  get grpcStatus() {
    return this.#exchange.grpc?.status ?? undefined;
  }
  get timeMs() {
    const { request, response } = this.#exchange;
    const times = [request?.firstByteAt, request?.lastByteAt, response?.firstByteAt, response?.lastByteAt];
    const at = times.find((time) => time !== undefined && time !== UNSEEN) ?? UNSEEN;
    return at === UNSEEN ? undefined : this.#anchorMs + Math.floor((this.#anchorNs + at) / NS_PER_MS);
  }
  get durationNs() {
    const from = this.#exchange.request?.firstByteAt ?? UNSEEN;
    const to = this.#exchange.response?.lastByteAt ?? UNSEEN;
    return from === UNSEEN || to === UNSEEN ? undefined : to - from;
  }
  get request() {
    return this.#bound(this.#request, this.#exchange.request);
  }
  get response() {
    return this.#bound(this.#response, this.#exchange.response);
  }

  #bound(subject: MessageSubject, message: Redacted<Message> | null): MessageSubject | null {
    if (message === null) return null;
    subject.message = message;
    return subject;
  }
}
