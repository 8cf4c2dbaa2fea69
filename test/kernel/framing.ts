/**
 * Streams of TLS records and HTTP/2 frames, and a model of a few lines of what of them must leave the kernel: of frames, when
 * all of it is one burst.
 */
const STREAM_BUDGET = 256 * 1024;

export const HANDSHAKE = 22;
export const APPLICATION = 23;

/** Bytes that differ from place to place, so that a copy of the wrong place is seen. */
const filler = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + seed * 17;
  return bytes;
};

export const record = (type: number, length: number, version = 3): Buffer =>
  Buffer.concat([Buffer.from([type, 3, version, length >> 8, length & 255]), filler(length, length)]);

export const frame = (type: number, stream: number, length: number): Buffer =>
  Buffer.concat([
    Buffer.from([length >> 16, (length >> 8) & 255, length & 255, type, 0]),
    Buffer.from([0, 0, stream >> 8, stream & 255]),
    filler(length, length),
  ]);
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** 1 for each byte that must leave the kernel where the reader has said that nobody needs it. */
export function wantedOfTls(stream: Buffer): Uint8Array {
  const wanted = new Uint8Array(stream.length);
  for (let at = 0; at < stream.length; ) {
    const length = stream.readUInt16BE(at + 3);
    const keep = stream[at] === APPLICATION && length > 4096 ? 16 : length;
    wanted.fill(1, at, at + 5 + keep);
    at += 5 + length;
  }
  return wanted;
}

export function wantedOfFrames(stream: Buffer, from: number): Uint8Array {
  const wanted = new Uint8Array(stream.length).fill(1, 0, from);
  let copied = 0;
  for (let at = from; at < stream.length; ) {
    const length = stream.readUIntBE(at, 3);
    const type = stream[at + 3]!;
    let keep = length;
    if (type === 0 || type > 9) {
      if (copied + length > STREAM_BUDGET) keep = Math.min(length, 7);
      else if (length > 2048) keep = 240;
      copied += keep;
    }
    wanted.fill(1, at, at + 9 + keep);
    at += 9 + length;
  }
  return wanted;
}

/** A ClientHello (RFC 8446 4.1.2) that offers one suite and no protocol: where HTTP/2 may be inside, all is copied. */
export const hello = Buffer.concat([
  Buffer.from([HANDSHAKE, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3]),
  filler(32, 1),
  Buffer.from([0, 0, 2, 0x13, 1, 1, 0, 0, 0]),
]);

/** Where the records' headers lie: [from, to) of each. */
export function headersOfTls(stream: Buffer): [number, number][] {
  const headers: [number, number][] = [];
  for (let at = 0; at < stream.length; at += 5 + stream.readUInt16BE(at + 3)) headers.push([at, at + 5]);
  return headers;
}

/** The same of frames, of which the first begins at `from`. */
export function headersOfFrames(stream: Buffer, from: number): [number, number][] {
  const headers: [number, number][] = [];
  for (let at = from; at < stream.length; at += 9 + stream.readUIntBE(at, 3)) headers.push([at, at + 9]);
  return headers;
}
