/**
 * What became of a call. Read top to bottom, the first row that holds decides:
 *
 * | Request            | Response                | Connection                              | Outcome |
 * |--------------------|-------------------------|-----------------------------------------|---------|
 * | framing contradicts itself, in either message                        |  any          | protocol_error |
 * | over the queue limit, or its response was not captured               |  any          | truncated |
 * | part not captured  | none, or whole          | any                                     | truncated |
 * | FIN before its end | none, or begun after it | any                                     | truncated (short_body) |
 * | whole              | none                    | the limit passed                        | timeout |
 * | whole              | none                    | client gave up first: RST, or a FIN later than a half-close | timeout |
 * | any                | none                    | table full, connection given up         | truncated |
 * | RST before its end | none                    | reset by the client                     | client_abort |
 * | any                | none                    | server closed or reset it               | reset_before_headers |
 * | any                | none                    | capture ended                           | open |
 * | any                | 101, or 2xx to CONNECT  | any                                     | upgraded |
 * | not sent at all    | whole                   | any                                     | protocol_error; complete if 408 (RFC 9110 15.5.9) |
 * | not captured       | whole                   | any                                     | truncated |
 * | still being sent   | whole                   | table full, connection given up         | truncated |
 * | still being sent   | whole                   | capture ended                           | open |
 * | whole              | whole, bytes of the call missing | any                            | truncated |
 * | whole              | whole, begun after the limit     | any                            | timeout |
 * | whole              | whole, by framing or by FIN      | any, also reset afterwards     | complete |
 * | cut short by the early response | whole      | any                                     | complete (early_response) |
 * | any                | FIN before its end      | client gave up first                    | client_abort |
 * | any                | FIN before its end      | otherwise                               | truncated (short_body) |
 * | any                | RST before its end      | reset by the client, or it gave up first | client_abort |
 * | any                | RST before its end      | reset by the server                     | reset_in_body |
 * | any                | part not captured       | any                                     | truncated |
 * | any                | still being sent        | table full, connection given up         | truncated |
 * | any                | still being sent        | capture ended                           | open |
 *
 * So a client that goes away is `timeout` while it waits for the first byte and `client_abort` while it sends or
 * receives a body (contract.md, statistics.md). A response is under way from its status line on, also when its head is
 * cut.
 */

import { unreachable } from '../base/assert.ts';
import { UNSEEN } from '../base/clock.ts';
import type { Outcome } from '../model/exchange.ts';
import { ANOMALY_BIT, type Message } from '../model/message.ts';
import type { Closing } from './closing.ts';
import type { Pending } from './pending.ts';

/** A FIN this soon after the request's last byte says "I have sent all" (shutdown), not "I give up" (close). */
const HALF_CLOSE_NS_MAX = 5_000_000;

/** A message with one of these cannot be trusted to end where it seems to (RFC 9112 6.1, 6.3, 7.1). */
const FRAMING_CONFLICTS =
  ANOMALY_BIT.content_length_and_transfer_encoding |
  ANOMALY_BIT.differing_content_lengths |
  ANOMALY_BIT.bad_content_length |
  ANOMALY_BIT.bad_chunk_size |
  ANOMALY_BIT.bad_chunk_end |
  ANOMALY_BIT.transfer_encoding_in_http10;

/**
 * Decides the outcome of `p`, whose anomalies and losses are already gathered. `timedOut`: it waited longer than the
 * limit. Messages that are still open are taken as cut by the connection's end.
 */
export function outcomeOf(p: Pending, closing: Readonly<Closing>, timedOut: boolean): Outcome {
  const { request, response } = p;
  if (request?.end === 'error' || response?.end === 'error') return 'protocol_error';
  if ((p.anomalies & FRAMING_CONFLICTS) !== 0) return 'protocol_error';
  if (p.overflow || p.unanswered) return 'truncated';
  if (response === null) return withoutResponse(p, closing, timedOut);
  switch (response.end) {
    case 'switched':
      return 'upgraded';
    case 'framed':
    case 'fin':
      return wholeResponse(p, closing, timedOut);
    case 'short':
      return gaveUp(p, closing) ? 'client_abort' : 'truncated';
    case 'lost':
      return 'truncated';
    case 'rst':
      return closing.resetBy === 'client' || gaveUp(p, closing) ? 'client_abort' : 'reset_in_body';
    case 'open':
      if (closing.gone !== null) return 'truncated';
      if (closing.resetBy === null) return 'open';
      return closing.resetBy === 'client' || gaveUp(p, closing) ? 'client_abort' : 'reset_in_body';
    default:
      return unreachable(response.end);
  }
}

function withoutResponse(p: Pending, closing: Readonly<Closing>, timedOut: boolean): Outcome {
  const { request } = p;
  if (request === null || request.end === 'lost' || request.end === 'short') return 'truncated';
  const whole = request.end === 'framed' || request.end === 'fin' || request.end === 'switched';
  if (whole && (timedOut || closing.resetBy === 'client' || gaveUp(p, closing))) return 'timeout';
  if (closing.gone !== null) return 'truncated';
  if (!whole && closing.resetBy === 'client') return 'client_abort';
  return closing.resetBy === 'server' || closing.serverFin ? 'reset_before_headers' : 'open';
}

function wholeResponse(p: Pending, closing: Readonly<Closing>, timedOut: boolean): Outcome {
  const { request } = p;
  if (request === null) {
    if ((p.anomalies & ANOMALY_BIT.response_without_request) === 0) return p.ghost ? 'timeout' : 'truncated';
    return p.response?.status === 408 ? 'complete' : 'protocol_error';
  }
  const early = (p.anomalies & ANOMALY_BIT.early_response) !== 0;
  if (request.end === 'lost' || (request.end === 'short' && !early)) return 'truncated';
  if (request.end === 'open') {
    if (closing.gone !== null) return 'truncated';
    if (closing.clientEnded && closing.firstFin === null && closing.resetBy === null) return 'open';
  }
  if (bytesMissing(p)) return 'truncated';
  return timedOut ? 'timeout' : 'complete';
}

/** A retransmission that differs misses nothing, and bodies left out under pressure are still counted by their framing. */
function bytesMissing(p: Pending): boolean {
  for (let i = 0; i < p.losses.length; i++) {
    const { reason } = p.losses[i]!;
    if (reason !== 'overlap_conflict' && reason !== 'shed_body' && reason !== 'queue_limit') return true;
  }
  return false;
}

/**
 * The client closed first, and not only to say that it has sent everything: that comes with the request, before any answer; what comes
 * later, or in the midst of the answer, is a client that goes away.
 */
function gaveUp({ request, response }: Pending, closing: Readonly<Closing>): boolean {
  const { firstFin, clientFinAt } = closing;
  if (firstFin !== 'client' || request === null) return false;
  if (clientFinAt === UNSEEN || request.lastByteAt === UNSEEN) return true;
  const answered = response !== null && response.firstByteAt !== UNSEEN && clientFinAt > response.firstByteAt;
  return answered || clientFinAt - request.lastByteAt > HALF_CLOSE_NS_MAX;
}

/** How long `p` has been waiting since `message` ended; since the first tick that saw it when there is no time. */
export const waited = (p: Pending, message: Message | null, now: number): number => {
  const since = message === null ? UNSEEN : message.lastByteAt;
  if (since !== UNSEEN) return now - since;
  if (p.waitingSince === UNSEEN) p.waitingSince = now;
  return now - p.waitingSince;
};

/** Its final response began, or is still missing at `now`, later than the limit. */
export const isLate = (p: Pending, now: number, timeoutNs: number): boolean => {
  const sent = p.request === null ? UNSEEN : p.request.lastByteAt;
  const answered = p.response === null ? now : p.response.firstByteAt;
  return sent !== UNSEEN && answered !== UNSEEN && answered - sent > timeoutNs;
};

/** What the connection became: the protocol that the 101 names (RFC 9110 7.8), or the tunnel of CONNECT. */
export const upgradeOf = (p: Pending): string => {
  if (p.request?.method === 'CONNECT') return 'connect';
  const value = p.response?.fields.get('upgrade') ?? p.request?.fields.get('upgrade') ?? '';
  return value.split(',', 1)[0]!.trim().toLowerCase();
};
