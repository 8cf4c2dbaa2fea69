/**
 * At which instruction of a function to put an entry probe. One that the kernel can emulate costs one trap; any other
 * costs a second one for the single step (measured on a TLS 1.3 handshake: no difference to no probe, against two thirds
 * more server time). So the first instruction that is emulated, as long as every one before it leaves the arguments where
 * they are; else the first one.
 *
 * Emulated: x86-64 nop, push, jcc, jmp and call relative (arch/x86/kernel/uprobes.c: branch_setup_xol_ops,
 * push_setup_xol_ops); arm64 branches, cbz/tbz, adr, nop (arch/arm64/kernel/probes/decode-insn.c).
 */
import type { Machine } from './elf.ts';

/** Bytes of the function that are worth looking at. */
export const PROLOGUE_BYTES = 48;
const STEPS_MAX = 8;

/** Offset of the probe from the function's first byte. */
export const probeOffset = (machine: Machine, code: Uint8Array): number =>
  machine === 'x86-64' ? probeOffsetX86(code) : probeOffsetArm64(code);

const isEmulatedX86 = (code: Uint8Array, at: number): boolean => {
  const byte = code[at]!;
  if (byte === 0x90 || (byte >= 0x50 && byte <= 0x57) || (byte >= 0x70 && byte <= 0x7f)) return true;
  if (byte === 0xe8 || byte === 0xe9 || byte === 0xeb) return true;
  if (byte === 0x41) return code[at + 1]! >= 0x50 && code[at + 1]! <= 0x57;
  return byte === 0x0f && code[at + 1]! >= 0x80 && code[at + 1]! <= 0x8f;
};

/** Length of an instruction that changes no argument register (rdi rsi rdx rcx r8 r9; Go: rax to r11); 0: not one of these. */
const harmlessX86 = (code: Uint8Array, at: number): number => {
  const [a, b, c, d] = [code[at]!, code[at + 1]!, code[at + 2]!, code[at + 3]!];
  // endbr64
  if (a === 0xf3 && b === 0x0f && c === 0x1e && d === 0xfa) return 4;
  // REX.W prefixes only.
  if ((a & 0xf8) !== 0x48) return 0;
  // test reg, reg and cmp reg, reg
  if ((b === 0x85 || b === 0x39 || b === 0x3b) && c >= 0xc0) return 3;
  // cmp disp8(reg), reg: Go's stack check is cmp 0x10(%r14), %rsp. With rsp or r12 as base a SIB byte follows.
  if ((b === 0x3b || b === 0x39) && c >> 6 === 1 && (c & 7) !== 4) return 4;
  // sub imm8, %rsp and sub imm32, %rsp; cmp imm8, reg
  if (a === 0x48 && b === 0x83 && (c === 0xec || (c & 0xf8) === 0xf8)) return 4;
  if (a === 0x48 && b === 0x81 && c === 0xec) return 7;
  // mov %rsp, %rbp
  if (a === 0x48 && b === 0x89 && c === 0xe5) return 3;
  // lea -disp8(%rsp), %r12 and lea -disp32(%rsp), %r12: Go's stack check of a large frame
  if (a === 0x4c && b === 0x8d && c === 0x64 && d === 0x24) return 5;
  if (a === 0x4c && b === 0x8d && c === 0xa4 && d === 0x24) return 8;
  return 0;
};

const probeOffsetX86 = (code: Uint8Array): number => {
  let at = 0;
  for (let step = 0; step < STEPS_MAX && at + 8 <= code.length; step++) {
    if (isEmulatedX86(code, at)) return at;
    const length = harmlessX86(code, at);
    if (length === 0) return 0;
    at += length;
  }
  return 0;
};

const isEmulatedArm64 = (word: number): boolean =>
  // b, bl | b.cond | cbz, cbnz | tbz, tbnz | nop
  (word & 0x7c000000) === 0x14000000 ||
  (word & 0xff000010) >>> 0 === 0x54000000 ||
  (word & 0x7e000000) === 0x34000000 ||
  (word & 0x7e000000) === 0x36000000 ||
  word === 0xd503201f;

const harmlessArm64 = (word: number): boolean =>
  // hint space (bti, paciasp) but nop
  (word & 0xfffff01f) >>> 0 === 0xd503201f ||
  // stp of x16 and above, or of the frame pair, before the stack pointer: stp x29, x30, [sp, #-n]!
  (word & 0xffc07fff) >>> 0 === 0xa9807bfd ||
  // mov x29, sp
  word === 0x910003fd ||
  // sub sp, sp, #n
  (word & 0xff0003ff) >>> 0 === 0xd10003ff ||
  // Go's stack check: ldr x16, [x28, #16]; cmp sp, x16; sub x17, sp, #n; cmp x17, x16
  word === 0xf9400b90 ||
  word === 0xeb3063ff ||
  (word & 0xff0003ff) >>> 0 === 0xd10003f1 ||
  word === 0xeb10023f;

const probeOffsetArm64 = (code: Uint8Array): number => {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  for (let at = 0, step = 0; step < STEPS_MAX && at + 4 <= code.length; step++, at += 4) {
    const word = view.getUint32(at, true);
    if (isEmulatedArm64(word)) return at;
    if (!harmlessArm64(word)) return 0;
  }
  return 0;
};
