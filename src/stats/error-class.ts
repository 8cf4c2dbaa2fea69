/** Which kind of error a call was, if it was one. */
import type { Outcome } from '../model/exchange.ts';
import type { MessageEnd } from '../model/message.ts';

/** The classes of the report, in its order. A call is in one of them or in none. */
export const ERROR_CLASSES = [
  '401',
  '403',
  '404',
  '408',
  '429',
  '4xx',
  '5xx',
  'timeout',
  'reset_before_headers',
  'reset_in_body',
  'client_abort',
  'truncated',
  'protocol_error',
] as const;
export type ErrorClass = (typeof ERROR_CLASSES)[number];

/** No error class. */
export const NO_ERROR = -1;

const index = Object.fromEntries(ERROR_CLASSES.map((name, i) => [name, i])) as Record<ErrorClass, number>;

/** Statuses that stand apart from the rest of 4xx. */
const APART: Readonly<Record<number, number>> = {
  401: index['401'],
  403: index['403'],
  404: index['404'],
  408: index['408'],
  429: index['429'],
};

/**
 * Index in ERROR_CLASSES, or NO_ERROR. How the call ended decides before its status does: a 200 that was reset in its body is
 * a reset. What was only not captured or still runs has the class of its status, if that was seen and is an error.
 *
 * @param status 0 when no response was seen
 */
export function errorClass(outcome: Outcome, status: number): number {
  switch (outcome) {
    case 'complete':
    case 'upgraded':
    case 'open':
      return statusClass(status);
    case 'truncated': {
      const known = statusClass(status);
      return known === NO_ERROR ? index.truncated : known;
    }
    default:
      return index[outcome];
  }
}

function statusClass(status: number): number {
  if (status < 400) return NO_ERROR;
  if (status >= 500) return status < 600 ? index['5xx'] : NO_ERROR;
  return APART[status] ?? index['4xx'];
}

/**
 * Whether a call of this class counts into the error rate. A client that gave up and a record that capture cut short are
 * shown apart: neither says that the service failed. A response that the server itself cut short does; a request that its client did not
 * finish has the same anomaly (`short_body`), and is the client's doing.
 *
 * @param response how it ended; null: there was none
 */
export function isFailure(errorClass: number, response: MessageEnd | null): boolean {
  if (errorClass === NO_ERROR || errorClass === index.client_abort) return false;
  return errorClass !== index.truncated || response === 'short';
}
