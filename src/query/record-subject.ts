import type { ExchangeRecord, FieldPair } from '../model/record.ts';
import type { FilterSubject, SubjectRequest, SubjectResponse } from './subject.ts';

const headersOf = (pairs: readonly FieldPair[]) => ({
  headerCount: pairs.length,
  headerName: (i: number): string => pairs[i]![0].toLowerCase(),
  headerValue: (i: number): string => pairs[i]![1],
});

/** A parsed line of the header log, as a filter sees it. */
export class RecordSubject implements FilterSubject {
  readonly #record: ExchangeRecord;
  readonly request: SubjectRequest | null;
  readonly response: SubjectResponse | null;

  constructor(record: ExchangeRecord) {
    this.#record = record;
    const { request, response } = record;
    this.request = request && {
      method: request.method,
      target: request.target,
      scheme: request.scheme,
      authority: request.authority,
      headBytes: request.head_bytes,
      bodyBytes: request.body_bytes,
      ...headersOf(request.headers),
    };
    this.response = response && {
      status: response.status,
      headBytes: response.head_bytes,
      bodyBytes: response.body_bytes,
      ...headersOf(response.headers),
    };
  }

  get side() {
    return this.#record.side;
  }
  get service() {
    return this.#record.service;
  }
  get route() {
    return this.#record.route;
  }
  get outcome() {
    return this.#record.outcome;
  }
  get protocol() {
    return this.#record.protocol;
  }
  get clientAddress() {
    return this.#record.client.address;
  }
  get clientPort() {
    return this.#record.client.port;
  }
  get serverAddress() {
    return this.#record.server.address;
  }
  get serverPort() {
    return this.#record.server.port;
  }
  get tlsVersion() {
    return this.#record.tls?.version || undefined;
  }
  get serverName() {
    return this.#record.tls?.sni || undefined;
  }
  get pid() {
    return this.#record.process?.pid;
  }
  get processName() {
    return this.#record.process?.name;
  }
  get grpcStatus() {
    return this.#record.grpc?.status ?? undefined;
  }
  get timeMs() {
    const { ts } = this.#record;
    return ts === null ? undefined : Date.parse(`${ts.slice(0, 23)}Z`);
  }
  get durationNs() {
    const { first_request_byte: from, last_response_byte: to } = this.#record.timing_ns;
    return from === null || to === null ? undefined : to - from;
  }
}
