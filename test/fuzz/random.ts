/** Numbers that look random and are the same in every run (xorshift32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return this.next() % n;
  }
}

const EDGES = [0, 1, 0x7f, 0x80, 0xff];

/** A copy with one to four changes: bytes, 32-bit numbers, pieces cut, doubled or moved. */
export function mutate(original: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(original);
  for (let n = 1 + random.below(4); n > 0 && bytes.length > 0; n--) {
    const at = random.below(bytes.length);
    const size = Math.min(bytes.length - at, 1 + random.below(40));
    switch (random.below(7)) {
      case 0:
        bytes[at] = random.below(256);
        break;
      case 1:
        bytes[at] = EDGES[random.below(EDGES.length)]!;
        break;
      case 2:
        bytes[at] = bytes[at]! ^ (1 << random.below(8));
        break;
      case 3:
        if (at + 4 <= bytes.length)
          bytes.writeUInt32LE(random.below(3) === 0 ? random.next() : random.below(70_000), at);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at + size), bytes.subarray(at)]);
        break;
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}
