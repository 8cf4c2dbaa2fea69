/** What a WebSocket carried in one line of text, in the columns of a call. Pure. */
import type { WebSocketRecord } from '../../model/record.ts';
import { place } from './call-line.ts';
import { duration, shortBytes, some } from './numbers.ts';
import { column, cut, type Look, paint } from './terminal.ts';

/** `TIME SIDE SERVICE ws CODE DURATION SENT/RECEIVED MESSAGES, END`: sizes and messages are the client's, then the server's. */
export function webSocketLine(record: WebSocketRecord, look: Look): string {
  const { time, side, service } = place(record, look);
  const { from_client: client, from_server: server } = record;
  const code = String((record.closed_by === 'server' ? server : client).close?.code ?? server.close?.code ?? '-');
  const took = (record.duration_ns === null ? '-' : duration(record.duration_ns)).padStart(6);
  const sizes = `${size(client)}/${size(server)}`.padStart(9);
  const missing = record.losses.map(({ reason, bytes }) => `, missing: ${reason} ${shortBytes(bytes)}`).join('');
  const by = record.closed_by === null ? '' : ` by ${record.closed_by}`;
  const text = `${count(client)} up, ${some(count(server), 'message')} down, ${record.end}${by}${missing}`;
  const columns = [time, side, service, column('ws', 7, look), code.padStart(3), took, sizes];
  const room = look.width - columns.join(' ').length - 1;
  const shown = look.width === Number.POSITIVE_INFINITY ? text : cut(text, room);
  const plain = record.end === 'closed' && missing === '';
  return [paint(time, 'dim', look), ...columns.slice(1), plain ? shown : paint(shown, 'yellow', look)].join(' ');
}

type Side = WebSocketRecord['from_client'];
const size = ({ bytes }: Side): string => shortBytes(bytes.text + bytes.binary + bytes.control);
const count = ({ messages }: Side): number => messages.text + messages.binary;
