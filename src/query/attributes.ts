/**
 * Envoy's attribute names over a FilterSubject, as the types that the CEL engine checks and reads. The objects are made
 * once for each filter and look at whatever subject is set: evaluating a filter on a call makes nothing but what its
 * attributes need (a header's value only when a filter reads it).
 */
import { Duration, type Environment } from '@marcbachmann/cel-js/evaluator';
import { HeaderMap } from './header-map.ts';
import { type FilterSubject, pathOf, type SubjectMessage } from './subject.ts';

const NS_PER_S = 1e9;

const int = (n: number | undefined): bigint | undefined => (n === undefined ? undefined : BigInt(n));

function durationOf(ns: number | undefined): Duration | undefined {
  if (ns === undefined) return undefined;
  const seconds = Math.floor(ns / NS_PER_S);
  return new Duration(BigInt(seconds), ns - seconds * NS_PER_S);
}

const headerMap = (message: SubjectMessage | null | undefined): HeaderMap | undefined =>
  message === null || message === undefined ? undefined : new HeaderMap(message);

/** The subject under evaluation, and the header maps made for it. */
class Current {
  subject: FilterSubject | null = null;
  requestHeaders: HeaderMap | undefined;
  responseHeaders: HeaderMap | undefined;

  set(subject: FilterSubject | null): void {
    this.subject = subject;
    this.requestHeaders = undefined;
    this.responseHeaders = undefined;
  }
}

class View {
  readonly #current: Current;
  constructor(current: Current) {
    this.#current = current;
  }
  protected get current(): Current {
    return this.#current;
  }
  protected get subject(): FilterSubject {
    return this.#current.subject!;
  }
}

class RequestView extends View {
  get method() {
    return this.subject.request?.method;
  }
  get path() {
    const request = this.subject.request;
    return request === null ? undefined : pathOf(request.target, request.method);
  }
  get url_path() {
    const path = this.path;
    const query = path?.indexOf('?') ?? -1;
    return query < 0 ? path : path!.slice(0, query);
  }
  get query() {
    const path = this.path;
    const query = path?.indexOf('?') ?? -1;
    return path === undefined ? undefined : query < 0 ? '' : path.slice(query + 1);
  }
  get host() {
    return this.subject.request?.authority;
  }
  get scheme() {
    return this.subject.request?.scheme;
  }
  get protocol() {
    return this.subject.protocol;
  }
  get headers() {
    this.current.requestHeaders ??= headerMap(this.subject.request);
    return this.current.requestHeaders;
  }
  get total_size() {
    const request = this.subject.request;
    return int(request === null ? undefined : request.headBytes + request.bodyBytes);
  }
  get duration() {
    return durationOf(this.subject.durationNs);
  }
  get time() {
    const ms = this.subject.timeMs;
    return ms === undefined ? undefined : new Date(ms);
  }
}

class ResponseView extends View {
  get code() {
    return int(this.subject.response?.status);
  }
  get headers() {
    this.current.responseHeaders ??= headerMap(this.subject.response);
    return this.current.responseHeaders;
  }
  get total_size() {
    const response = this.subject.response;
    return int(response === null ? undefined : response.headBytes + response.bodyBytes);
  }
  get grpc_status() {
    return int(this.subject.grpcStatus);
  }
}

class SourceView extends View {
  get address() {
    return this.subject.clientAddress;
  }
  get port() {
    return int(this.subject.clientPort);
  }
}

class DestinationView extends View {
  get address() {
    return this.subject.serverAddress;
  }
  get port() {
    return int(this.subject.serverPort);
  }
}

class ConnectionView extends View {
  get tls_version() {
    return this.subject.tlsVersion;
  }
  get requested_server_name() {
    return this.subject.serverName;
  }
}

class ProcessView extends View {
  get pid() {
    return int(this.subject.pid);
  }
  get name() {
    return this.subject.processName;
  }
}

const DURATION = 'google.protobuf.Duration';
const TIMESTAMP = 'google.protobuf.Timestamp';
const HEADERS = 'map<string, string>';

/** What each attribute means; docs/cli.md is made from it. */
export const ATTRIBUTES: ReadonlyArray<readonly [name: string, type: string, meaning: string]> = [
  ['request.method', 'string', 'method as sent'],
  ['request.path', 'string', 'path with query; "" for CONNECT'],
  ['request.url_path', 'string', 'path without query'],
  ['request.query', 'string', 'query without "?"; "" when there is none'],
  ['request.host', 'string', 'authority: from an absolute target, else the Host field'],
  ['request.scheme', 'string', '"http" or "https"'],
  ['request.protocol', 'string', 'as in the header log: "http/1.1"'],
  ['request.headers', HEADERS, 'redacted values by name; a repeated field is joined by ", "'],
  ['request.total_size', 'int', 'head and body, bytes'],
  ['request.duration', DURATION, 'the same as duration'],
  ['request.time', TIMESTAMP, 'first request byte, milliseconds'],
  ['response.code', 'int', 'status'],
  ['response.headers', HEADERS, 'like request.headers'],
  ['response.total_size', 'int', 'head and body, bytes'],
  ['response.grpc_status', 'int', 'of a gRPC call: 0 is OK; absent of others, and when it was not seen'],
  ['source.address', 'string', "the client's IP address"],
  ['source.port', 'int', "the client's port"],
  ['destination.address', 'string', "the server's IP address"],
  ['destination.port', 'int', "the server's port"],
  ['connection.tls_version', 'string', '"1.3"; absent without TLS'],
  ['connection.requested_server_name', 'string', 'SNI; absent without TLS'],
  ['process.pid', 'int', 'observed process; absent when not known'],
  ['process.name', 'string', 'its name; absent when not known'],
  ['duration', DURATION, 'first request byte to last response byte'],
  ['route', 'string', 'endpoint template: "/v1/users/{id}"'],
  ['side', 'string', '"server", "client", or "unknown"'],
  ['service', 'string', 'systemd unit, container, or process and port'],
  ['outcome', 'string', '"complete", "timeout", "client_abort", ...'],
];

const VIEWS = {
  request: RequestView,
  response: ResponseView,
  source: SourceView,
  destination: DestinationView,
  connection: ConnectionView,
  process: ProcessView,
} as const;

/** Declares every attribute in `environment`. */
export function declareAttributes(environment: Environment): void {
  for (const [name, ctor] of Object.entries(VIEWS)) {
    const own = ATTRIBUTES.filter(([attribute]) => attribute.startsWith(`${name}.`));
    const fields = Object.fromEntries(own.map(([attribute, type]) => [attribute.slice(name.length + 1), type]));
    environment.registerType(`headwater.${name}`, { ctor, fields });
    environment.registerVariable(name, `headwater.${name}`);
  }
  for (const [name, type] of ATTRIBUTES) if (!name.includes('.')) environment.registerVariable(name, type);
}

/** The evaluation context of one filter: set a subject, evaluate, set null. */
export class AttributeContext {
  readonly #current = new Current();
  readonly request = new RequestView(this.#current);
  readonly response = new ResponseView(this.#current);
  readonly source = new SourceView(this.#current);
  readonly destination = new DestinationView(this.#current);
  readonly connection = new ConnectionView(this.#current);
  readonly process = new ProcessView(this.#current);

  look(subject: FilterSubject | null): void {
    this.#current.set(subject);
  }

  get duration() {
    return durationOf(this.#current.subject?.durationNs);
  }
  get route() {
    return this.#current.subject?.route;
  }
  get side() {
    return this.#current.subject?.side;
  }
  get service() {
    return this.#current.subject?.service;
  }
  get outcome() {
    return this.#current.subject?.outcome;
  }
}
