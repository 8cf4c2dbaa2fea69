/** WebSocket frames as peers write them (RFC 6455 5.2). */

export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  fin?: boolean;
  /** Compressed: RSV1. */
  deflated?: boolean;
  /** null: not masked. */
  mask?: Uint8Array | null;
}

/** One frame; `payload` is masked here. */
export function frame(opcode: number, payload: Uint8Array | string, options: FrameOptions = {}): Buffer {
  const data = Buffer.from(payload as string);
  const { fin = true, deflated = false, mask = null } = options;
  const size = data.length;
  const head = Buffer.alloc(2 + (size < 126 ? 0 : size < 65_536 ? 2 : 8));
  head[0] = (fin ? 0x80 : 0) | (deflated ? 0x40 : 0) | opcode;
  head[1] = (mask === null ? 0 : 0x80) | (size < 126 ? size : size < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(size, 2);
  else if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2);
  if (mask === null) return Buffer.concat([head, data]);
  return Buffer.concat([head, mask, data.map((byte, i) => byte ^ mask[i % 4]!)]);
}

export const KEY: Uint8Array = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);

export const closing = (code: number, reason = '', mask: Uint8Array | null = null): Buffer =>
  frame(OP.close, Buffer.concat([Uint8Array.of(code >> 8, code & 255), Buffer.from(reason)]), { mask });
