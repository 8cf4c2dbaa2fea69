/**
 * Functions of a Go program by name, also of a stripped one: the runtime needs .gopclntab for its stack traces, so it is
 * always there (src/internal/abi/symtab.go, src/runtime/symtab.go of Go; "Go 1.2 Runtime Symbol Table Information").
 */
import { type ElfFile, type Section, u64 } from './elf.ts';

/** Table format since Go 1.20, and of 1.18 and 1.19. */
const MAGIC = [0xfffffff1, 0xfffffff0];
const TABLE_BYTES_MAX = 128 << 20;
const FUNCTIONS_MAX = 4 << 20;
/** Word of the runtime's moduledata that holds the address of its text. */
const MODULE_TEXT_WORD = 22;
const WORD = 8;

const tableSection = (elf: ElfFile): Section | null =>
  elf.section('.gopclntab') ?? elf.section('.data.rel.ro.gopclntab');

/** Whether this is a Go program. */
export const isGo = (elf: ElfFile): boolean => tableSection(elf) !== null;

/** Address of a function by its full name ("crypto/tls.(*Config).writeKeyLog"); -1: it is not in the program. */
export const goFunctionAddress = (elf: ElfFile, name: string): number => {
  const section = tableSection(elf);
  if (section === null || section.size > TABLE_BYTES_MAX) return -1;
  const table = elf.read(section.offset, section.size);
  if (table.length < 8 + 8 * WORD || !MAGIC.includes(table.readUInt32LE(0)) || table[7] !== WORD) return -1;
  const [count, textStart, names, functions] = [u64(table, 8), u64(table, 24), u64(table, 32), u64(table, 64)];
  if (count < 0 || count > FUNCTIONS_MAX || names < 0 || functions < 0 || names > table.length) return -1;
  const found = table.indexOf(Buffer.from(`\0${name}\0`, 'latin1'), names);
  if (found < 0) return -1;
  const nameOffset = found + 1 - names;
  for (let i = 0; i < count; i++) {
    const entry = functions + 8 * i;
    if (entry + 8 > table.length) return -1;
    const info = functions + table.readUInt32LE(entry + 4);
    // struct _func: entryOff uint32, nameOff int32.
    if (info + 8 > table.length || table.readInt32LE(info + 4) !== nameOffset) continue;
    const text = textStart > 0 ? textStart : textAddress(elf);
    return text < 0 ? -1 : text + table.readUInt32LE(info);
  }
  return -1;
};

/** Since Go 1.26 the table does not say where the text begins: the module's data does, and the section without cgo. */
const textAddress = (elf: ElfFile): number => {
  const module = elf.section('.go.module');
  if (module !== null && module.size >= (MODULE_TEXT_WORD + 1) * WORD) {
    const word = elf.read(module.offset + MODULE_TEXT_WORD * WORD, WORD);
    if (word.length === WORD && u64(word, 0) > 0) return u64(word, 0);
  }
  const symbol = elf.functionAddress('runtime.text');
  return symbol > 0 ? symbol : (elf.section('.text')?.address ?? -1);
};

/** "go1.26.8", or "" (debug/buildinfo: since Go 1.18 the version stands inline after a 32-byte header). */
export const goVersion = (elf: ElfFile): string => {
  const section = elf.section('.go.buildinfo');
  if (section === null) return '';
  const bytes = elf.read(section.offset, Math.min(section.size, 4_096));
  const at = bytes.indexOf('\xff Go buildinf:', 0, 'latin1');
  if (at < 0 || at + 33 > bytes.length || (bytes[at + 15]! & 2) === 0) return '';
  const length = bytes[at + 32]!;
  return /^go[\d.]+[\w.-]*/.exec(bytes.latin1Slice(at + 33, at + 33 + length))?.[0] ?? '';
};
