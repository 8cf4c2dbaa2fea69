/** Short forms of what `replay` says, and of what it reads, for tables of conversations. */
import type { Replayed, ReplayedExchange } from '../rig/replay.ts';

export const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
export const ok = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

const size = (bytes: number): string => (bytes === 0 ? '' : ` ${bytes}`);
const TARGET_SHOWN = 40;

type Trailers = readonly (readonly [string, string])[];
const trailers = (fields: Trailers): string => (fields.length === 0 ? '' : ` T${JSON.stringify(fields)}`);

/** In the schema, and left out of ResponseRecord where there is none. */
const interimOf = (response: object | null): number[] =>
  response === null || !('interim' in response) ? [] : (response.interim as { status: number }[]).map((i) => i.status);

/**
 * "GET /1 > 200 5 complete": body sizes where there are any, trailers as "T", interim statuses as "i100,103", then what
 * is wrong. The protocol comes first when it is not plain HTTP/1.1.
 */
export function line({
  request,
  response,
  outcome,
  anomalies,
  losses,
  protocol,
  upgrade = '',
}: ReplayedExchange): string {
  const spoken = `${protocol === 'http/1.1' && upgrade === '' ? '' : protocol}${upgrade === '' ? '' : `+${upgrade}`}`;
  const asked =
    request === null
      ? '-'
      : `${request.method} ${request.target.slice(0, TARGET_SHOWN)}${size(request.body_bytes)}${trailers(request.trailers)}`;
  const interim = interimOf(response);
  const answered =
    response === null
      ? '-'
      : `${response.status}${size(response.body_bytes)}${interim.length > 0 ? ` i${interim.join()}` : ''}${trailers(response.trailers)}`;
  const marks = [...(anomalies ?? []), ...losses.map(({ reason, bytes }) => `${reason}:${bytes}`)];
  return [...(spoken === '' ? [] : [spoken]), asked, '>', answered, outcome, ...marks].join(' ');
}

/** A line for each call, then "lost REASON:BYTES ..." when the summary says so. */
export function said({ exchanges, summary }: Replayed): string[] {
  const lost = summary.losses.map(({ reason, bytes }) => `${reason}:${bytes}`);
  return [...exchanges.map(line), ...(lost.length === 0 ? [] : [`lost ${lost.join(' ')}`])];
}
