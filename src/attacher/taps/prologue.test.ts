import { describe, expect, it } from 'vitest';
import { PROLOGUE_BYTES, probeOffset } from './prologue.ts';

const hex = (text: string): Uint8Array =>
  Buffer.from(text.replaceAll(/\s/g, '').padEnd(2 * PROLOGUE_BYTES, 'cc'), 'hex');
const words = (...list: number[]): Uint8Array => {
  const code = Buffer.alloc(PROLOGUE_BYTES, 0xff);
  list.forEach((word, i) => void code.writeUInt32LE(word >>> 0, 4 * i));
  return code;
};

describe('x86-64', () => {
  it.each([
    ['push first', '55 4889e5', 0],
    ['push r12, with its prefix', '4154 55', 0],
    ['endbr64, then push', 'f30f1efa 55 4889e5', 4],
    ['endbr64, test, je (EVP_KDF_derive of OpenSSL 3)', 'f30f1efa 4885ff 7410', 7],
    ['endbr64, sub rsp, call', 'f30f1efa 4883ec08 e811223344', 8],
    ["Go's stack check, then jbe", '493b6610 762a 55', 4],
    ["Go's stack check of a large frame", '4c8d6424c8 4d3b6610 0f86d1020000', 9],
    ['sub rsp imm32, then jmp', '4881ec00010000 eb05', 7],
    ['nop', '90 c3', 0],
    // Not safe to step over, or not emulated: the first instruction.
    ['mov rdi away', '4889fb 53', 0],
    ['an argument register is written before the push', '4831f6 55', 0],
    ['cmp with a SIB byte is not taken for one without', '493b6424 1055', 0],
    ['endbr64, then something unknown', 'f30f1efa 0fb606 55', 0],
    [
      'nothing emulated within reach',
      '4883ec08 4883ec08 4883ec08 4883ec08 4883ec08 4883ec08 4883ec08 4883ec08 4883ec08 55',
      0,
    ],
  ])('%s', (_, code, offset) => {
    expect(probeOffset('x86-64', hex(code))).toBe(offset);
  });
});

describe('arm64', () => {
  it.each([
    ['b', [0x14000004], 0],
    ['cbz x0', [0xb4000080], 0],
    ['tbnz', [0x37000080], 0],
    ['nop', [0xd503201f], 0],
    ['bti c, stp, mov x29, then bl', [0xd503245f, 0xa9bf7bfd, 0x910003fd, 0x94000010], 12],
    ['paciasp, sub sp, cbz', [0xd503233f, 0xd10083ff, 0xb4000080], 8],
    ["Go's stack check, then b.ls", [0xf9400b90, 0xeb3063ff, 0x54000249], 8],
    ["Go's stack check of a large frame", [0xf9400b90, 0xd10203f1, 0xeb10023f, 0x540003a9], 12],
    ['an argument is moved first', [0xaa0003f3, 0xb4000080], 0],
    ['a load into an argument', [0xf9400000, 0xb4000080], 0],
    ['ret is none of these', [0xd65f03c0], 0],
  ])('%s', (_, list, offset) => {
    expect(probeOffset('arm64', words(...list))).toBe(offset);
  });
});

it('any bytes: an offset within the prologue, on both machines', () => {
  let x = 0x1234567;
  const code = new Uint8Array(PROLOGUE_BYTES);
  for (let i = 0; i < 100_000; i++) {
    for (let at = 0; at < code.length; at++) {
      x = Math.imul(x, 1_103_515_245) + 12_345;
      code[at] = x >>> 16;
    }
    for (const machine of ['x86-64', 'arm64'] as const) {
      const short = code.subarray(0, 8 + (i % (PROLOGUE_BYTES - 7)));
      const offset = probeOffset(machine, short);
      if (!(offset >= 0 && offset <= short.length - 4)) expect([machine, offset]).toBe('within');
    }
  }
});
