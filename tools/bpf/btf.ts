/**
 * Reads the types a BPF object carries (BTF, Documentation/bpf/btf.rst) as far as the ABI needs them: structs with
 * their members' offsets, and enums. Our own object is the only input, so a malformed one is a programmer error.
 */

const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_FWD = 7;
const KIND_FUNC_PROTO = 13;
const KIND_VAR = 14;
const KIND_DATASEC = 15;
const KIND_DECL_TAG = 17;
const KIND_ENUM64 = 19;
const MAGIC = 0xeb9f;

export interface Member {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
}

export interface Struct {
  readonly name: string;
  readonly size: number;
  readonly members: readonly Member[];
}

export interface Enum {
  readonly name: string;
  readonly values: ReadonlyArray<readonly [name: string, value: number]>;
}

export interface Types {
  readonly structs: readonly Struct[];
  readonly enums: readonly Enum[];
}

/** Contents of a section of a little-endian ELF64 object. */
export function elfSection(object: Buffer, wanted: string): Buffer {
  if (object.readUInt32BE(0) !== 0x7f454c46 || object[4] !== 2 || object[5] !== 1)
    throw new Error('not a little-endian ELF64 object');
  const table = Number(object.readBigUInt64LE(0x28));
  const entrySize = object.readUInt16LE(0x3a);
  const count = object.readUInt16LE(0x3c);
  const header = (i: number) => {
    const at = table + i * entrySize;
    return {
      name: object.readUInt32LE(at),
      offset: Number(object.readBigUInt64LE(at + 0x18)),
      size: Number(object.readBigUInt64LE(at + 0x20)),
    };
  };
  const names = header(object.readUInt16LE(0x3e));
  for (let i = 0; i < count; i++) {
    const h = header(i);
    const at = names.offset + h.name;
    if (object.latin1Slice(at, object.indexOf(0, at)) === wanted) return object.subarray(h.offset, h.offset + h.size);
  }
  throw new Error(`no section ${wanted}: was the object built with -g?`);
}

/** Named structs and enums in a .BTF section, in its order. */
export function readTypes(btf: Buffer): Types {
  if (btf.readUInt16LE(0) !== MAGIC) throw new Error('not BTF');
  const headerLength = btf.readUInt32LE(4);
  const typesAt = headerLength + btf.readUInt32LE(8);
  const typesEnd = typesAt + btf.readUInt32LE(12);
  const stringsAt = headerLength + btf.readUInt32LE(16);
  const text = (offset: number): string => btf.latin1Slice(stringsAt + offset, btf.indexOf(0, stringsAt + offset));

  const structs: Struct[] = [];
  const enums: Enum[] = [];
  for (let at = typesAt; at < typesEnd; ) {
    const name = text(btf.readUInt32LE(at));
    const info = btf.readUInt32LE(at + 4);
    const size = btf.readUInt32LE(at + 8);
    const count = info & 0xffff;
    const kind = (info >>> 24) & 0x1f;
    const bitfields = info >>> 31 === 1;
    const body = at + 12;
    switch (kind) {
      case KIND_STRUCT:
      case KIND_UNION: {
        const members = Array.from({ length: count }, (_, i) => {
          const bits = btf.readUInt32LE(body + i * 12 + 8);
          return { name: text(btf.readUInt32LE(body + i * 12)), offset: (bitfields ? bits & 0xffffff : bits) / 8 };
        });
        if (kind === KIND_STRUCT && name !== '') structs.push({ name, size, members });
        at = body + count * 12;
        break;
      }
      case KIND_ENUM:
        enums.push({
          name,
          values: Array.from({ length: count }, (_, i) => [
            text(btf.readUInt32LE(body + i * 8)),
            btf.readInt32LE(body + i * 8 + 4),
          ]),
        });
        at = body + count * 8;
        break;
      case KIND_INT:
      case KIND_VAR:
      case KIND_DECL_TAG:
        at = body + 4;
        break;
      case KIND_ARRAY:
        at = body + 12;
        break;
      case KIND_FUNC_PROTO:
        at = body + count * 8;
        break;
      case KIND_DATASEC:
      case KIND_ENUM64:
        at = body + count * 12;
        break;
      default:
        // Pointers, forwards, typedefs, qualifiers, functions, floats and tags have no body.
        if (kind < KIND_PTR || (kind > KIND_FWD + 5 && kind !== 16 && kind !== 18)) throw new Error(`BTF kind ${kind}`);
        at = body;
    }
  }
  return { structs, enums };
}
