/**
 * What a gRPC call says beyond HTTP (gRPC over HTTP/2): its status comes in trailers - or in the only header block, when
 * there is nothing else - and its deadline in the request. A call whose deadline passed is a timeout, whoever says so: the
 * server by DEADLINE_EXCEEDED, by CANCELLED when the time is up (tonic), or by resetting the stream then (grpc-go); the client by
 * resetting it.
 */
import { UNSEEN } from '../base/clock.ts';
import type { FieldBlock } from '../model/fields.ts';
import type { Message } from '../model/message.ts';
import type { Pending } from './pending.ts';
import { OTHER_ROUTE } from './route.ts';

const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const UNIMPLEMENTED = 12;
/**
 * A client says how long it will wait when it makes the head, and a busy one sends that later: its reset then comes so much
 * earlier than what it said. A quarter of the time-out, within bounds.
 */
const DEADLINE_SLACK_NS_MIN = 5e6;
const DEADLINE_SLACK_NS_MAX = 100e6;
const deadlineSlackNs = (timeoutNs: number): number =>
  Math.min(DEADLINE_SLACK_NS_MAX, Math.max(DEADLINE_SLACK_NS_MIN, timeoutNs / 4));
/** Methods with a route of their own, over all services; those that were never answered stop much earlier. */
const ROUTES_MAX = 4_096;
const ROUTES_UNANSWERED_MAX = 1_024;

const UNIT_NS: Readonly<Record<string, number>> = { H: 3600e9, M: 60e9, S: 1e9, m: 1e6, u: 1e3, n: 1 };
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const STATUS = /^\d{1,3}$/;
/** "/package.Service/Method": nothing else is a method's path. */
const PATH = /^\/[\w.-]{1,200}\/[\w.-]{1,200}$/;

/** What the server said of a method: it answered, it said nothing, or it has no such method. */
type Evidence = 'answered' | 'silent' | 'none';

/** Methods by path, which is the template as it stands: so their number is bounded here. */
export class GrpcRoutes {
  readonly #known = new Set<string>();

  route(path: string, evidence: Evidence): string {
    if (this.#known.has(path)) return path;
    const most = evidence === 'answered' ? ROUTES_MAX : evidence === 'silent' ? ROUTES_UNANSWERED_MAX : 0;
    if (this.#known.size >= most || !PATH.test(path)) return OTHER_ROUTE;
    const owned = Buffer.from(path, 'latin1').latin1Slice();
    this.#known.add(owned);
    return owned;
  }
}

/** "grpc", "grpc-web", or "" when the request's Content-Type says neither. */
export function grpcKind(request: Message): string {
  if (request.method !== 'POST') return '';
  const type = request.fields.get('content-type');
  if (type === null || !type.startsWith('application/grpc')) return '';
  return type.startsWith('application/grpc-web') ? 'grpc-web' : 'grpc';
}

/** Fills in what the call `p` is as gRPC; its outcome is known already. `endedAt`: when it ended, or UNSEEN. */
export function judgeGrpc(p: Pending, request: Message, kind: string, routes: GrpcRoutes, endedAt: number): void {
  const { response } = p;
  p.upgrade = kind;
  const timeoutNs = timeoutOf(request.fields);
  const status =
    response === null ? null : (statusOf(response.trailers) ?? statusOf(response.fields) ?? statusIn(response));
  p.grpc = {
    status,
    timeoutNs,
    requestMessages: messagesOf(request),
    responseMessages: response === null ? null : messagesOf(response),
  };
  const exists = status !== UNIMPLEMENTED && (response === null || response.status === 200);
  p.route = routes.route(request.target, exists ? (response === null ? 'silent' : 'answered') : 'none');
  const elapsed = request.firstByteAt === UNSEEN || endedAt === UNSEEN ? 0 : endedAt - request.firstByteAt;
  const over = (slackNs: number): boolean => timeoutNs !== null && elapsed >= timeoutNs - slackNs;
  // A server's time runs from when it has the head.
  const overAtServer = over(Math.min(DEADLINE_SLACK_NS_MIN, (timeoutNs ?? 0) / 4));
  switch (p.outcome) {
    case 'complete':
      if (status === DEADLINE_EXCEEDED || (status === CANCELLED && overAtServer)) p.outcome = 'timeout';
      break;
    case 'client_abort':
      if (over(deadlineSlackNs(timeoutNs ?? 0))) p.outcome = 'timeout';
      break;
    case 'reset_before_headers':
    case 'reset_in_body':
      if (overAtServer) p.outcome = 'timeout';
  }
}

function timeoutOf(fields: FieldBlock): number | null {
  const parts = TIMEOUT.exec(fields.get('grpc-timeout') ?? '');
  return parts === null ? null : +parts[1]! * UNIT_NS[parts[2]!]!;
}

function statusOf(fields: FieldBlock | null): number | null {
  const text = fields?.get('grpc-status') ?? null;
  return text !== null && STATUS.test(text) ? +text : null;
}

/** gRPC-Web's, from its body. */
const statusIn = ({ units }: Message): number | null => (units?.kind === 'grpc-web' ? units.status : null);

/** null: not known to the last one. */
const messagesOf = ({ units, bodyBytes, end }: Message): number | null => {
  if (units?.kind !== 'grpc' && units?.kind !== 'grpc-web') return bodyBytes === 0 && end === 'framed' ? 0 : null;
  return units.exact ? units.count : null;
};
