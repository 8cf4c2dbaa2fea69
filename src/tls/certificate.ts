/** The one thing wanted of a certificate: when it ends. A walk over DER (X.690) that reads five elements of RFC 5280 4.1. */
import type { Memory } from '../base/memory.ts';
import { Reader } from './hello.ts';

const SEQUENCE = 0x30;
const VERSION = 0xa0;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

interface Element {
  readonly tag: number;
  readonly body: Reader;
}

function element(r: Reader): Element {
  const tag = r.u8();
  const first = r.u8();
  if (first < 0x80) return { tag, body: r.part(first) };
  if (first === 0x81) return { tag, body: r.part(r.u8()) };
  if (first === 0x82) return { tag, body: r.part(r.u16()) };
  if (first === 0x83) return { tag, body: r.part(r.u24()) };
  r.ok = false;
  return { tag, body: r.part(1) };
}

/** Unix seconds; null for what is no time. RFC 5280 4.1.2.5: UTC, with seconds, two-digit years up to 49 are 20xx. */
function time({ tag, body }: Element): number | null {
  if (tag !== UTC_TIME && tag !== GENERALIZED_TIME) return null;
  const text = body.text(body.left);
  const match = /^(\d\d)?(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null || (match[1] === undefined) !== (tag === UTC_TIME)) return null;
  const [, century, year, ...rest] = match;
  const full = century === undefined ? Number(year) + (Number(year) < 50 ? 2000 : 1900) : Number(century + year!);
  const [month, day, hour, minute, second] = rest.map(Number) as [number, number, number, number, number];
  return Date.UTC(full, month - 1, day, hour, minute, second) / 1000;
}

/** notAfter of a DER certificate in `r`, in Unix seconds. */
function notAfterOf(r: Reader): number | null {
  const certificate = element(r);
  if (certificate.tag !== SEQUENCE) return null;
  const body = element(certificate.body).body;
  const first = element(body);
  if (first.tag === VERSION) element(body);
  element(body);
  element(body);
  const validity = element(body);
  if (!body.ok || validity.tag !== SEQUENCE) return null;
  element(validity.body);
  const end = element(validity.body);
  return validity.body.ok ? time(end) : null;
}

export interface CertificateFacts {
  /** The message holds a certificate: a client may answer that it has none. */
  readonly present: boolean;
  /** Of the first one, the sender's own; null when it could not be read. */
  readonly notAfter: number | null;
}

/** A Certificate message's body (RFC 8446 4.4.2, RFC 5246 7.4.2), or its beginning. */
export function readCertificate(memory: Memory, at: number, length: number, tls13: boolean): CertificateFacts {
  const r = new Reader(memory, at, at + length);
  if (tls13) r.part(r.u8());
  const all = r.u24();
  if (!r.ok || all === 0) return { present: false, notAfter: null };
  const leaf = r.part(r.u24());
  return { present: true, notAfter: leaf.ok ? notAfterOf(leaf) : null };
}
