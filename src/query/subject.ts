/**
 * What a filter can ask of a call. The one interface stands before both forms a call has: the redacted exchange in the
 * agent and the parsed line of a header log. Everything here is already redacted: a filter must not be an oracle for
 * secrets. `undefined` means not seen; a filter that needs it does not match.
 */
export interface FilterSubject {
  readonly side: string;
  readonly service: string;
  readonly route: string;
  readonly outcome: string;
  /** As in the header log: "http/1.1". */
  readonly protocol: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly serverAddress: string;
  readonly serverPort: number;
  readonly tlsVersion: string | undefined;
  readonly serverName: string | undefined;
  readonly pid: number | undefined;
  readonly processName: string | undefined;
  /** grpc-status of a gRPC call. */
  readonly grpcStatus: number | undefined;
  /** Unix time of the first request byte (or the first byte seen), milliseconds, rounded down. */
  readonly timeMs: number | undefined;
  /** First request byte to last response byte, nanoseconds. */
  readonly durationNs: number | undefined;
  readonly request: SubjectRequest | null;
  readonly response: SubjectResponse | null;
}

export interface SubjectMessage {
  readonly headBytes: number;
  readonly bodyBytes: number;
  readonly headerCount: number;
  /** Header field i in wire order; its name in lower case. */
  headerName(i: number): string;
  headerValue(i: number): string;
}

export interface SubjectRequest extends SubjectMessage {
  readonly method: string;
  /** Request target, as in the header log. */
  readonly target: string;
  readonly scheme: string;
  readonly authority: string;
}

export interface SubjectResponse extends SubjectMessage {
  readonly status: number;
}

/**
 * The path (with query) of a request target: the target itself in origin form, what follows the authority in absolute
 * form ("/" when nothing does), "" in authority form (CONNECT). RFC 9112 3.2.
 */
export function pathOf(target: string, method: string): string {
  if (target.startsWith('/') || target === '*') return target;
  if (method === 'CONNECT') return '';
  const absolute = ABSOLUTE_FORM.exec(target);
  if (absolute === null) return target;
  const rest = target.slice(absolute[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

const ABSOLUTE_FORM = /^[A-Za-z][0-9A-Za-z+.-]*:\/\/[^/?#]*/;
