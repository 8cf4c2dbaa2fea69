import { describe, expect, it } from 'vitest';
import { CODE_OFFSET, smallElf } from '../../../test/fixtures/elf.ts';
import { ElfFile } from './elf.ts';
import { inspectTls } from './library.ts';
import { logSecretAddress } from './log-secret.ts';

const TEXT = 0x401000;
const FUNCTION = TEXT + 0xe0;
const ET_EXEC = 2;
/** As linkers lay them out: EXPORTER_SECRET is the end of another. */
const LABELS = [
  'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'CLIENT_TRAFFIC_SECRET_0',
  'EARLY_EXPORTER_SECRET',
  'CLIENT_RANDOM',
];
const RODATA = `\0${LABELS.join('\0')}\0boringssl\0`;

interface Place {
  readonly label: string;
  readonly target?: number;
  /** Between the label and the call. */
  readonly gap?: number;
  readonly opcode?: number;
}

/** A program whose code takes each label into the second argument and then calls `target`. */
function program(places: readonly Place[], { fixed = false, rodata = RODATA } = {}): Buffer {
  const file = smallElf('main', rodata);
  if (fixed) file.writeUInt16LE(ET_EXEC, 16);
  places.forEach(({ label, target = FUNCTION, gap = 3, opcode = 0xe8 }, i) => {
    const at = 40 * i;
    const where = rodata.indexOf(`${label}\0`);
    const code = file.subarray(CODE_OFFSET + at);
    let next = 7;
    if (fixed) {
      code.writeUInt8(0xbe, 0);
      code.writeUInt32LE(where, 1);
      next = 5;
    } else {
      Buffer.from([0x48, 0x8d, 0x35]).copy(code);
      code.writeInt32LE(where - (TEXT + at + 7), 3);
    }
    code.writeUInt8(opcode, next + gap);
    code.writeInt32LE(target - (TEXT + at + next + gap + 5), next + gap + 1);
  });
  return file;
}

const parse = (file: Buffer): ElfFile => ElfFile.parse((offset, length) => file.subarray(offset, offset + length))!;
const address = (file: Buffer): number => logSecretAddress(parse(file));

describe('the function that is called with the label of each secret', () => {
  it.each([false, true])('is found without symbols (fixed addresses: %s)', (fixed) => {
    const places = LABELS.map((label, i) => ({ label, gap: i, opcode: i === 2 ? 0xe9 : 0xe8 }));
    expect(address(program(places, { fixed }))).toBe(FUNCTION);
    expect(inspectTls(parse(program(places, { fixed })), '/usr/bin/envoy')).toEqual({
      kind: 'boringssl',
      version: '',
      taps: [{ program: 'headwater_boringssl', offset: CODE_OFFSET + 0xe0 }],
      gap: '',
    });
  });

  it('is found by a label that is the end of another', () => {
    const places = ['CLIENT_RANDOM', 'EARLY_EXPORTER_SECRET', 'EXPORTER_SECRET'].map((label) => ({ label }));
    expect(address(program(places))).toBe(FUNCTION);
  });

  it('is found by its name', () => {
    expect(address(smallElf('ssl_log_secret', RODATA))).toBe(TEXT + 0x20);
  });

  it('is not guessed', () => {
    const two = LABELS.slice(0, 2).map((label) => ({ label }));
    expect(address(program(two))).toBe(-1);
    // The same label three times is one witness.
    expect(address(program([two[0]!, two[0]!, two[0]!]))).toBe(-1);
    const elsewhere = FUNCTION + 16;
    const divided = LABELS.map((label, i) => ({ label, target: i < 2 ? elsewhere : FUNCTION }));
    expect(address(program(divided))).toBe(-1);
    expect(address(program(LABELS.map((label) => ({ label, target: 0x10 }))))).toBe(-1);
    expect(
      address(
        program(
          LABELS.map((label) => ({ label })),
          { rodata: RODATA.replaceAll('SECRET', 'SECRETS') },
        ),
      ),
    ).toBe(-1);
  });

  it('no length of a file and no byte of its code throws', () => {
    const whole = program(LABELS.map((label) => ({ label })));
    for (let length = 64; length < whole.length; length += 3) {
      const cut = ElfFile.parse((offset, bytes) => whole.subarray(0, length).subarray(offset, offset + bytes));
      if (cut !== null) expect(Number.isSafeInteger(logSecretAddress(cut))).toBe(true);
    }
    for (let at = CODE_OFFSET; at < CODE_OFFSET + 256; at++) {
      const file = Buffer.from(whole);
      file[at] = 0xff - file[at]!;
      const found = address(file);
      if (found !== -1) expect(found).toBe(FUNCTION);
    }
  });
});
