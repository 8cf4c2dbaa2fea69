/** The line of a WebSocket session: docs/header-log.md describes it. There are few, so nothing is remembered. */
import { type TimeFormatter, UNSEEN } from '../../base/clock.ts';
import type { WebSocketDirection, WebSocketSession } from '../../model/websocket.ts';
import { asciiJson } from './json.ts';

/** One line, with its newline. `id`: of the handshake's exchange. */
export function websocketLine(session: WebSocketSession, id: string, time: TimeFormatter): string {
  const { connection, beganAt } = session;
  return (
    `{"type":"websocket","exchange":"${id}","ts":${beganAt === UNSEEN ? 'null' : `"${time.format(beganAt)}"`},` +
    `"connection":"${id.slice(0, id.lastIndexOf('-'))}","side":"${connection.side}",` +
    `"service":"${asciiJson(connection.service)}",${JSON.stringify(sessionFacts(session)).slice(1)}\n`
  );
}

/** What the line says of the session itself, in the line's order. */
export function sessionFacts(session: WebSocketSession): object {
  const { beganAt, endedAt, client, server } = session;
  return {
    end: session.end,
    closed_by: closedBy(client, server),
    duration_ns: since(endedAt, beganAt),
    from_client: direction(client, beganAt),
    from_server: direction(server, beganAt),
    losses: losses(session),
  };
}

const direction = (d: WebSocketDirection, beganAt: number): object => ({
  messages: { text: d.textMessages, binary: d.binaryMessages, compressed: d.compressed },
  bytes: { text: d.textBytes, binary: d.binaryBytes, control: d.controlBytes, unread: d.unreadBytes },
  frames: d.frames,
  masked: d.masked,
  pings: d.pings,
  pongs: d.pongs,
  close: d.close === null ? null : { code: d.close.code, reason_bytes: d.close.reasonBytes },
  first_ns: since(d.firstAt, beganAt),
  last_ns: since(d.lastAt, beganAt),
  ...(d.violation ? { violation: true } : {}),
});

const since = (at: number, from: number): number | null => (at === UNSEEN || from === UNSEEN ? null : at - from);

/** Whose Close frame came first; null: nobody sent one, or that is not known. */
function closedBy(client: WebSocketDirection, server: WebSocketDirection): 'client' | 'server' | null {
  const [a, b] = [client.close, server.close];
  if (a === null || b === null) return a !== null ? 'client' : b !== null ? 'server' : null;
  if (a.at === UNSEEN || b.at === UNSEEN || a.at === b.at) return null;
  return a.at < b.at ? 'client' : 'server';
}

function losses({ client, server }: WebSocketSession): { reason: string; bytes: number }[] {
  const sum = new Map<string, number>();
  for (const { reason, bytes } of [...client.losses, ...server.losses]) sum.set(reason, (sum.get(reason) ?? 0) + bytes);
  return [...sum].map(([reason, bytes]) => ({ reason, bytes }));
}
