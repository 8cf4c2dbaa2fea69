import { describe, expect, test } from 'vitest';
import { Memory } from '../base/memory.ts';
import { classifyStart, continuesTls, type StartKind } from './detect.ts';

const CASES: Array<[bytes: string, kind: StartKind]> = [
  ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'h1_request'],
  ['M-SEARCH * HTTP/1.0\r\n', 'h1_request'],
  ['\r\n\r\nGET / HTTP/1.1\n', 'h1_request'],
  ['POST http://x/ HTTP/1.9\r\n', 'h1_request'],
  ['HELLO / HTTP/1.1\r\n', 'h1_request'],
  [`GET /${'a'.repeat(3_000)}`, 'h1_request'],
  [`GET /${'a'.repeat(1_000)}`, 'need_more'],
  ['HTTP/1.1 200 OK\r\n', 'h1_response'],
  ['HTTP/1.0 404\r\n', 'h1_response'],
  ['HTTP/1.1 20', 'need_more'],
  ['HTTP/2 200 \r\n', 'other'],
  ['HTTP/1.1 2000', 'other'],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0', 'h2_preface'],
  ['PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', 'other'],
  ['PRINT / HTTP/1.1\r\n', 'h1_request'],
  ['\x16\x03\x01\x02\x00\x01\x00', 'tls'],
  ['\x16\x03\x03\x00\x7a\x02', 'tls'],
  ['\x16\x03\x01\x02\x00\x09', 'other'],
  ['\x16\x02\x01', 'other'],
  ['\x16\x03\x09', 'other'],
  ['EHLO mail.example\r\n', 'other'],
  ['OPTIONS rtsp://x/ RTSP/1.0\r\n', 'other'],
  ['INVITE sip:a@b SIP/2.0\r\n', 'other'],
  ['*1\r\n$4\r\nPING\r\n', 'other'],
  ['get key\r\n', 'other'],
  ['GET  / HTTP/1.1\r\n', 'other'],
  ['GET / HTTP/1.1 \r\n', 'other'],
  ['GET / HTTP/1.1\rX', 'other'],
  ['GET / HTTP/2.0\r\n', 'other'],
  ['SSH-2.0-OpenSSH_9.2\r\n', 'other'],
  ['\x00\x00\x00\x00', 'other'],
  [`${'A'.repeat(40)} / HTTP/1.1\r\n`, 'other'],
  ['\r\n', 'need_more'],
];

test.each(CASES)('%j is %s', (text, kind) => {
  const memory = Memory.from(Buffer.from(`??${text}??`, 'latin1'));
  expect(classifyStart(memory, 2, text.length)).toBe(kind);
  // Never another answer on the way, and none that is taken back.
  const answers = Array.from({ length: text.length }, (_, n) => classifyStart(memory, 2, n));
  const first = answers.findIndex((answer) => answer !== 'need_more');
  if (first >= 0) expect(new Set(answers.slice(first))).toEqual(new Set([kind]));
});

describe('continuesTls', () => {
  const check = (hex: string): boolean => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    return continuesTls(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length);
  };

  test('records one after another, the last one cut', () => {
    expect(check('17 0303 0002 abcd')).toBe(true);
    expect(check('17 0303 0002 abcd 15 0303 0001 00 17 0303 4100 99')).toBe(true);
    expect(check('17 0303 0002 abcd 17 03')).toBe(true);
  });

  test('no record, an empty one, one too long, one that does not go on as it says', () => {
    for (const hex of [
      '',
      '17 0303 00',
      '18 0303 0002 abcd',
      '17 0203 0002 abcd',
      '17 0305 0002 abcd',
      '17 0303 0000 00',
    ])
      expect(check(hex), hex).toBe(false);
    expect(check('17 0303 4801 00')).toBe(false);
    expect(check('17 0303 0002 abcd ff 0303 0002')).toBe(false);
  });
});
