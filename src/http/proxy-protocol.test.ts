import { expect, test } from 'vitest';
import { Memory } from '../base/memory.ts';
import { proxyHeaderBytes } from './proxy-protocol.ts';

const bytesOf = (text: string): number =>
  proxyHeaderBytes(Memory.from(Buffer.from(`x${text}`, 'latin1')), 1, text.length);
const v1 = 'PROXY TCP4 192.0.2.1 198.51.100.2 40000 443\r\n';
const v2 = (addresses: string): string =>
  `\r\n\r\n\0\r\nQUIT\n\x21\x11\0${String.fromCharCode(addresses.length)}${addresses}`;

test.each([
  ['TCP4', v1],
  ['TCP6', 'PROXY TCP6 2001:db8::1 ::1 1 65535\r\n'],
  ['UNKNOWN, with nothing', 'PROXY UNKNOWN\r\n'],
  ['version 2', v2('abcdefghijkl')],
  ['version 2, of a health check', v2('')],
])('%s: its length is told from any part that can tell, and never with what follows', (_, header) => {
  const whole = [header, `${header}GET / HTTP/1.1\r\n`, `${header}\x16\x03\x01`];
  expect(whole.map(bytesOf)).toEqual([header.length, header.length, header.length]);
  const parts = Array.from({ length: header.length }, (_n, i) => bytesOf(header.slice(0, i)));
  expect([-1, header.length]).toEqual(expect.arrayContaining([...new Set(parts)]));
});

test.each([
  ['a request', 'GET / HTTP/1.1\r\n'],
  ['a method that is called so', 'PROXY / HTTP/1.1\r\n'],
  ['a family that nobody knows', 'PROXY SCTP 1 2\r\n'],
  ['a line without a CR', 'PROXY UNKNOWN\n'],
  ['a line without an end', `PROXY UNKNOWN ${'x'.repeat(107)}`],
  ['version 1 in the form of version 2', v2('').replace('\x21', '\x11')],
  ['empty lines', '\r\n\r\nGET / HTTP/1.1\r\n'],
])('%s is none', (_, text) => {
  expect(bytesOf(text)).toBe(0);
});
