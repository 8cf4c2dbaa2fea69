/**
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng): little-endian, one section, one interface, raw IP packets with times
 * in nanoseconds. Pure.
 */

/** LINKTYPE_RAW: the packet begins with its IP header, which says its version. */
const LINKTYPE_RAW = 101;
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;
export const DECRYPTION_SECRETS = 10;
/** Type of secrets: a TLS key log ("TLSK"). */
const TLS_KEY_LOG = 0x544c534b;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

const OPTION_COMMENT = 1;
const SECTION_USERAPPL = 4;
const INTERFACE_NAME = 2;
const INTERFACE_TSRESOL = 9;
const STATISTICS_RECEIVED = 4;
const STATISTICS_DROPPED = 5;
const PACKET_FLAGS = 2;
const NANOSECONDS = 9;
/** Of the block that `statisticsBlock` makes. */
const STATISTICS_BYTES = 52;

/** Bytes of a block around its body: type and length before it, the length again behind it. */
export const BLOCK_FRAME_BYTES = 12;
/** Of an Enhanced Packet Block, before the packet. */
const PACKET_HEAD_BYTES = 28;
/** Flags option, end of options, trailing length. */
const PACKET_TAIL_BYTES = 16;
/** Comments are one line; a longer one is cut. */
const COMMENT_BYTES_MAX = 200;

const padded = (bytes: number): number => (bytes + 3) & ~3;

function block(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const total = BLOCK_FRAME_BYTES + padded(body.length);
  const out = Buffer.alloc(total);
  out.writeUInt32LE(type, 0);
  out.writeUInt32LE(total, 4);
  body.copy(out, 8);
  out.writeUInt32LE(total, total - 4);
  return out;
}

function option(code: number, value: Buffer): Buffer {
  const out = Buffer.alloc(4 + padded(value.length));
  out.writeUInt16LE(code, 0);
  out.writeUInt16LE(value.length, 2);
  value.copy(out, 4);
  return out;
}

const textOption = (code: number, text: string): Buffer => option(code, Buffer.from(text, 'utf8'));
const END_OF_OPTIONS = Buffer.alloc(4);

function u32(...values: number[]): Buffer {
  const out = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) out.writeUInt32LE(value >>> 0, 4 * i);
  return out;
}

function u64(value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(value);
  return out;
}

/** Begins a file: the section, which says what wrote it and what to know of it, and its one interface. */
export function fileHead(application: string, comment: string, interfaceName: string): Buffer {
  const version = Buffer.alloc(4);
  version.writeUInt16LE(1, 0);
  return Buffer.concat([
    block(
      SECTION_HEADER,
      u32(BYTE_ORDER_MAGIC),
      version,
      // The section's length is not known.
      Buffer.alloc(8, 0xff),
      textOption(OPTION_COMMENT, comment),
      textOption(SECTION_USERAPPL, application),
      END_OF_OPTIONS,
    ),
    block(
      INTERFACE_DESCRIPTION,
      u32(LINKTYPE_RAW, 0),
      textOption(INTERFACE_NAME, interfaceName),
      option(INTERFACE_TSRESOL, Buffer.of(NANOSECONDS)),
      END_OF_OPTIONS,
    ),
  ]);
}

/** Secrets in the format of a key log (draft-ietf-tls-keylogfile). Readers want them before the packets that they open. */
export const secretsBlock = (keyLog: Buffer): Buffer =>
  block(DECRYPTION_SECRETS, u32(TLS_KEY_LOG, keyLog.length), keyLog);

/** Ends a file: what came, and what of it had no room. `atNs`: Unix time. */
export const statisticsBlock = (atNs: bigint, received: number, dropped: number): Buffer =>
  block(
    INTERFACE_STATISTICS,
    u32(0, Number(atNs >> 32n), Number(atNs & 0xffff_ffffn)),
    option(STATISTICS_RECEIVED, u64(BigInt(received))),
    option(STATISTICS_DROPPED, u64(BigInt(dropped))),
    END_OF_OPTIONS,
  );

/** Received and dropped packets of an Interface Statistics Block; null: `bytes` is another block. */
export function readStatistics(bytes: Buffer): { received: number; dropped: number } | null {
  if (bytes.length < STATISTICS_BYTES || bytes.readUInt32LE(0) !== INTERFACE_STATISTICS) return null;
  return { received: Number(bytes.readBigUInt64LE(24)), dropped: Number(bytes.readBigUInt64LE(36)) };
}

/** Of a whole Enhanced Packet Block around `captured` bytes, at most. */
export const packetBlockBytes = (captured: number, comment: string): number =>
  PACKET_HEAD_BYTES + padded(captured) + PACKET_TAIL_BYTES + (comment === '' ? 0 : 4 + padded(COMMENT_BYTES_MAX));

/**
 * Writes an Enhanced Packet Block at `out[at]` around a packet that stands at `out[at + PACKET_AT]` already; returns its length.
 * `atNs`: Unix time; `captured` of `length` bytes are there; `comment` "": none.
 */
export function enclosePacket(
  out: Buffer,
  at: number,
  atNs: bigint,
  captured: number,
  length: number,
  outbound: boolean,
  comment: string,
): number {
  const { buffer, byteOffset } = out;
  const view = new DataView(buffer, byteOffset, out.length);
  view.setUint32(at, ENHANCED_PACKET, true);
  view.setUint32(at + 8, 0, true);
  view.setUint32(at + 12, Number(atNs >> 32n), true);
  view.setUint32(at + 16, Number(atNs & 0xffff_ffffn), true);
  view.setUint32(at + 20, captured, true);
  view.setUint32(at + 24, length, true);
  let end = at + PACKET_HEAD_BYTES + captured;
  const data = at + PACKET_HEAD_BYTES + padded(captured);
  out.fill(0, end, data);
  end = data;
  view.setUint16(end, PACKET_FLAGS, true);
  view.setUint16(end + 2, 4, true);
  view.setUint32(end + 4, outbound ? 2 : 1, true);
  end += 8;
  if (comment !== '') {
    const text = Buffer.from(comment, 'utf8').subarray(0, COMMENT_BYTES_MAX);
    view.setUint16(end, OPTION_COMMENT, true);
    view.setUint16(end + 2, text.length, true);
    out.fill(0, end + 4, end + 4 + padded(text.length));
    text.copy(out, end + 4);
    end += 4 + padded(text.length);
  }
  view.setUint32(end, 0, true);
  end += 4;
  const total = end + 4 - at;
  view.setUint32(end, total, true);
  view.setUint32(at + 4, total, true);
  return total;
}

/** Where the packet stands in its block. */
export const PACKET_AT = PACKET_HEAD_BYTES;
