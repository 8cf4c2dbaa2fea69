/** Reads /proc/PID/net/tcp and tcp6 (linux: net/ipv4/tcp_ipv4.c, tcp4_seq_show; proc_net_tcp.rst). Pure. */
import { isIPv4, isIPv6 } from 'node:net';

/** State numbers of net/tcp_states.h. */
export const TCP_LISTEN = 10;

/** Rows read of one table: a host with more connections resolves the rest at the next look. */
export const TABLE_ROWS_MAX = 200_000;

/** One socket. Addresses are 32 lower-case hex digits, IPv4 as ::ffff:a.b.c.d, so that one comparison serves both families. */
export interface TcpRow {
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly state: number;
  readonly uid: number;
  /** 0: not accepted yet, or without a socket any more (TIME_WAIT). */
  readonly inode: number;
}

const MAPPED = '00000000000000000000ffff';
/** The two forms of "any address". */
export const ANY_IPV6 = '0'.repeat(32);
export const ANY_IPV4 = `${MAPPED}00000000`;

/** The kernel prints 32-bit words in host order: little-endian on x86-64 and arm64. */
const swapWords = (hex: string): string => {
  let out = '';
  for (let word = 0; word < hex.length; word += 8) {
    for (let byte = 6; byte >= 0; byte -= 2) out += hex.slice(word + byte, word + byte + 2);
  }
  return out.toLowerCase();
};

const addressKey = (hex: string): string | null => {
  if (!/^(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32})$/.test(hex)) return null;
  const bytes = swapWords(hex);
  return bytes.length === 8 ? MAPPED + bytes : bytes;
};

/** The rows of one table, one after another: a host may have tens of thousands. Lines that are not sockets are passed over. */
export function* parseTcpTable(text: string): Generator<TcpRow> {
  let from = text.indexOf('\n') + 1;
  for (let rows = 0; from > 0 && from < text.length && rows < TABLE_ROWS_MAX; ) {
    const end = text.indexOf('\n', from);
    const row = parseTcpRow(text.slice(from, end < 0 ? undefined : end));
    if (row !== null) {
      rows++;
      yield row;
    }
    if (end < 0) break;
    from = end + 1;
  }
}

/** Both ends of a row as the kernel prints them, "0100007F:1F90 0100007F:C350", and its state behind them; "" for a line that is no row. */
export const endsOfLine = (line: string): { readonly ends: string; readonly listens: boolean } => {
  const from = line.indexOf(': ') + 2;
  const to = from < 2 ? -1 : line.indexOf(' ', line.indexOf(' ', from) + 1);
  return to < 0
    ? { ends: '', listens: false }
    : { ends: line.slice(from, to), listens: line.startsWith(LISTEN_PRINTED, to) };
};
const LISTEN_PRINTED = ' 0A ';

/** The ends of a connection as the tables print them: in `tcp6`, and for IPv4 also in `tcp`. Addresses as rows have them. */
export const endsAsPrinted = (local: string, localPort: number, remote: string, remotePort: number): string[] => {
  const end = (key: string, port: number, from: number): string =>
    `${swapWords(key.slice(from))}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
  const ends = (from: number): string => `${end(local, localPort, from)} ${end(remote, remotePort, from)}`;
  const ipv4 = local.startsWith(MAPPED) && remote.startsWith(MAPPED);
  return ipv4 ? [ends(0), ends(MAPPED.length)] : [ends(0)];
};

/** A line of a table; null when it is no socket. */
export const parseTcpRow = (line: string): TcpRow | null => {
  const fields = line.trim().split(/\s+/);
  if (fields.length < 10) return null;
  const [localHex = '', localPortHex = ''] = fields[1]!.split(':');
  const [remoteHex = '', remotePortHex = ''] = fields[2]!.split(':');
  const local = addressKey(localHex);
  const remote = addressKey(remoteHex);
  const localPort = Number.parseInt(localPortHex, 16);
  const remotePort = Number.parseInt(remotePortHex, 16);
  const state = Number.parseInt(fields[3]!, 16);
  const uid = Number(fields[7]);
  const inode = Number(fields[9]);
  if (local === null || remote === null || ![localPort, remotePort, state, uid, inode].every(Number.isSafeInteger))
    return null;
  return { local, localPort, remote, remotePort, state, uid, inode };
};

/** An address as rows have it; null when it is none. A zone ("%eth0") is not part of it. */
export const keyOfAddress = (address: string): string | null => {
  if (isIPv4(address)) {
    return (
      MAPPED +
      address
        .split('.')
        .map((part) => Number(part).toString(16).padStart(2, '0'))
        .join('')
    );
  }
  if (!isIPv6(address) || address.includes('%')) return null;
  // An IPv4 tail counts as two groups.
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const text =
    tail === null
      ? address
      : tail[1]! +
        keyOfAddress(tail[2]!)!
          .slice(24)
          .replace(/^(.{4})/, '$1:');
  const [head = '', rest] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = rest === undefined ? [] : groups(rest);
  const missing = 8 - before.length - after.length;
  return [...before, ...Array<string>(rest === undefined ? 0 : missing).fill('0'), ...after]
    .map((group) => group.padStart(4, '0'))
    .join('')
    .toLowerCase();
};

/** The readable form: dotted IPv4 (also when mapped), or RFC 5952 IPv6. */
export const addressOfKey = (key: string): string => {
  if (key.startsWith(MAPPED))
    return (key.slice(24).match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).join('.');
  const groups = (key.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16));
  // RFC 5952 4.2: the longest run of two zero groups or more becomes "::", the first of equals.
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < groups.length; i++) {
    let j = i;
    while (j < groups.length && groups[j] === '0') j++;
    if (j - i > bestLength) [best, bestLength] = [i, j - i];
    i = Math.max(i, j - 1);
  }
  return best < 0
    ? groups.join(':')
    : `${groups.slice(0, best).join(':')}::${groups.slice(best + bestLength).join(':')}`;
};
