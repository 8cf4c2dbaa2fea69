/** JA4 against the worked example of its specification (technical_details/JA4.md, Chrome over TCP), and its corner cases. */
import { expect, test } from 'vitest';
import type { ClientHello } from '../../../src/tls/hello.ts';
import { ja4 } from '../../../src/tls/ja4.ts';

const numbers = (text: string): number[] => text.split(',').map((n) => Number.parseInt(n, 16));
const GREASE = 0x8a8a;

const chrome: ClientHello = {
  random: '',
  version: 0x0303,
  sessionId: '',
  ticket: '',
  ciphers: [GREASE, ...numbers('1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035')],
  extensions: [
    GREASE,
    ...numbers('001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015'),
    GREASE,
  ],
  sni: 'example.com',
  alpn: ['h2', 'http/1.1'],
  versions: [GREASE, 0x0304, 0x0303],
  signatureAlgorithms: numbers('0403,0804,0401,0503,0805,0501,0806,0601'),
  earlyData: false,
};

test('the example of the specification', () => {
  expect(ja4(chrome)).toBe('t13d1516h2_8daaf6152771_e5627efa2ab1');
});

test.each<[string, Partial<ClientHello>, string]>([
  [
    'no name and no protocol',
    { extensions: numbers('000a'), alpn: [], signatureAlgorithms: [] },
    't13i150100_8daaf6152771_',
  ],
  ['the legacy version where no others are offered', { versions: [] }, 't12d1516h2_'],
  ['only GREASE among the versions', { versions: [GREASE] }, 't12d1516h2_'],
  ['no ciphers', { ciphers: [GREASE] }, 't13d0016h2_000000000000_'],
  ['a protocol of one letter', { alpn: ['x'] }, 't13d1516xx_'],
  ['a protocol that is no text', { alpn: ['\xab\xcd'] }, 't13d1516ad_'],
  ['more than two digits count', { ciphers: Array.from({ length: 120 }, (_, i) => i) }, 't13d9916h2_'],
])('%s', (_, changed, begins) => {
  expect(ja4({ ...chrome, ...changed }).startsWith(begins)).toBe(true);
});
