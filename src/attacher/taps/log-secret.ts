/**
 * Finds ssl_log_secret(ssl, label, secret, length) in a stripped program: it is the one function that is called with the label of
 * each kind of TLS secret in its second argument. BoringSSL (Envoy, Bun, gRPC) and OpenSSL 1.1.1 call it for every secret of a
 * handshake, whether or not a key log is wanted, and build it hidden or without symbols. x86-64 only.
 */
import type { ElfFile, Section } from './elf.ts';

const SYMBOL = 'ssl_log_secret';
const LABELS = [
  'CLIENT_EARLY_TRAFFIC_SECRET',
  'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'CLIENT_TRAFFIC_SECRET_0',
  'SERVER_TRAFFIC_SECRET_0',
  'EXPORTER_SECRET',
  'EARLY_EXPORTER_SECRET',
  'CLIENT_RANDOM',
] as const;
/** Labels whose calls must lead to the same place; no other place may have as many as half of that. */
const WITNESSES_MIN = 3;
/** With so many the rest of the program is not looked through. */
const WITNESSES_ENOUGH = 5;

const TEXT_BYTES_MAX = 256 << 20;
/** Instructions looked at: a browser has some hundred thousand of them. A file of nothing else must not keep the attacher busy. */
const INSTRUCTIONS_MAX = 4 << 20;
const CHUNK_BYTES = 1 << 20;
/** Bytes behind the instruction that takes the label in which the call is looked for. */
const CALL_WITHIN = 40;
const CALL = 0xe8;
const JUMP = 0xe9;
/** lea disp32(%rip), %rsi */
const LEA_RSI = Buffer.from([0x48, 0x8d, 0x35]);
const LEA_BYTES = 7;
/** mov imm32, %esi: programs that are linked to fixed addresses */
const MOV_ESI = 0xbe;
const MOV_BYTES = 5;

/** Where calls with a label lead to, and with which labels. */
type Witnesses = Map<number, Set<string>>;

/** Address of the function; -1: it is not there, or not to be told for sure. */
export function logSecretAddress(elf: ElfFile): number {
  const named = elf.functionAddress(SYMBOL);
  if (named > 0) return named;
  const constants = elf.section('.rodata');
  const text = elf.section('.text');
  if (elf.machine !== 'x86-64' || constants === null || text === null || text.size > TEXT_BYTES_MAX) return -1;
  const labels = new Map<number, string>();
  for (const label of LABELS) {
    // On its own, and as the end of a longer one: linkers merge them.
    const own = elf.find(constants, `\0${label}\0`);
    const end = elf.find(constants, `${label}\0`);
    if (own >= 0) labels.set(constants.address + own + 1, label);
    if (end >= 0) labels.set(constants.address + end, label);
  }
  if (labels.size < WITNESSES_MIN) return -1;
  const witnesses: Witnesses = new Map();
  let looked = 0;
  eachChunk(elf, text, (chunk, address) => {
    looked += countRelative(chunk, address, labels, witnesses);
    if (looked > INSTRUCTIONS_MAX) return true;
    if (elf.fixedAddresses) countAbsolute(chunk, address, labels, witnesses);
    for (const { size } of witnesses.values()) if (size >= WITNESSES_ENOUGH) return true;
    return false;
  });
  const [first, second] = [...witnesses].sort(([, a], [, b]) => b.size - a.size);
  if (first === undefined || first[1].size < WITNESSES_MIN) return -1;
  if (second !== undefined && second[1].size * 2 >= first[1].size) return -1;
  return elf.codeOffset(first[0]) < 0 ? -1 : first[0];
}

/** Until `take` has seen enough. Chunks overlap by what belongs to one call. */
function eachChunk(elf: ElfFile, text: Section, take: (chunk: Buffer, address: number) => boolean): void {
  const overlap = LEA_BYTES + CALL_WITHIN;
  for (let from = 0; from < text.size; from += CHUNK_BYTES) {
    const chunk = elf.read(text.offset + from, Math.min(CHUNK_BYTES + overlap, text.size - from));
    if (take(chunk, text.address + from) || chunk.length < CHUNK_BYTES) return;
  }
}

/** Returns how many instructions it looked at. */
function countRelative(chunk: Buffer, address: number, labels: ReadonlyMap<number, string>, to: Witnesses): number {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  let looked = 0;
  for (let at = chunk.indexOf(LEA_RSI); at >= 0; at = chunk.indexOf(LEA_RSI, at + 1)) {
    looked++;
    if (at + LEA_BYTES > chunk.length) break;
    const label = labels.get(address + at + LEA_BYTES + view.getInt32(at + 3, true));
    if (label !== undefined) witness(view, address, at + LEA_BYTES, label, to);
  }
  return looked;
}

function countAbsolute(chunk: Buffer, address: number, labels: ReadonlyMap<number, string>, to: Witnesses): void {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
  for (const [where, label] of labels) {
    const needle = Buffer.alloc(MOV_BYTES, MOV_ESI);
    needle.writeUInt32LE(where, 1);
    for (let at = chunk.indexOf(needle); at >= 0; at = chunk.indexOf(needle, at + 1))
      witness(view, address, at + MOV_BYTES, label, to);
  }
}

/** The first call or jump behind the label: nothing else can be called in between, for it would not keep the argument. */
function witness(view: DataView, address: number, from: number, label: string, to: Witnesses): void {
  const end = Math.min(from + CALL_WITHIN, view.byteLength - 5);
  for (let at = from; at <= end; at++) {
    const byte = view.getUint8(at);
    if (byte !== CALL && byte !== JUMP) continue;
    const target = address + at + 5 + view.getInt32(at + 1, true);
    if (target <= 0) continue;
    const seen = to.get(target);
    if (seen === undefined) to.set(target, new Set([label]));
    else seen.add(label);
    return;
  }
}
