/** JA4, the open (BSD-licensed) client fingerprint of JA4+: https://github.com/FoxIO-LLC/ja4, technical_details/JA4.md. */
import { hash } from 'node:crypto';
import { type ClientHello, EXTENSION } from './hello.ts';

/** RFC 8701: values that clients send to keep servers tolerant. */
const isGrease = (value: number): boolean => (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);

const hex = (value: number): string => value.toString(16).padStart(4, '0');
const count = (list: readonly unknown[]): string => Math.min(99, list.length).toString().padStart(2, '0');
const digest = (text: string): string => (text === '' ? '000000000000' : hash('sha256', text, 'hex').slice(0, 12));

const VERSIONS: Readonly<Record<number, string>> = {
  772: '13',
  771: '12',
  770: '11',
  769: '10',
  768: 's3',
};

const isAlphanumeric = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);

/** First and last character of the first protocol, or of its hex form when they are no letters or digits. */
function alpnPart(alpn: readonly string[]): string {
  const first = alpn[0];
  if (first === undefined || first === '') return '00';
  const a = first.charCodeAt(0);
  const b = first.charCodeAt(first.length - 1);
  if (isAlphanumeric(a) && isAlphanumeric(b)) return first[0]! + first[first.length - 1]!;
  return a.toString(16).padStart(2, '0')[0]! + b.toString(16).padStart(2, '0')[1]!;
}

/** "t13d1516h2_8daaf6152771_e5627efa2ab1". */
export function ja4(hello: ClientHello): string {
  const ciphers = hello.ciphers.filter((c) => !isGrease(c));
  const extensions = hello.extensions.filter((e) => !isGrease(e));
  const versions = hello.versions.filter((v) => !isGrease(v));
  const version = VERSIONS[versions.length > 0 ? Math.max(...versions) : hello.version] ?? '00';
  const named = extensions.includes(EXTENSION.SERVER_NAME) ? 'd' : 'i';
  const sorted = extensions
    .filter((e) => e !== EXTENSION.SERVER_NAME && e !== EXTENSION.ALPN)
    .map(hex)
    .sort()
    .join(',');
  const signatures = hello.signatureAlgorithms.filter((s) => !isGrease(s)).map(hex);
  const extensionText = signatures.length === 0 ? sorted : `${sorted}_${signatures.join(',')}`;
  const head = `t${version}${named}${count(ciphers)}${count(extensions)}${alpnPart(hello.alpn)}`;
  return `${head}_${digest(ciphers.map(hex).sort().join(','))}_${digest(sorted === '' ? '' : extensionText)}`;
}
