/** Cipher suites by number: their IANA names and, where Headwater decrypts them, what they are made of. */
import type { CipherName, HashName } from './libcrypto.ts';

/** How records of a suite are protected. */
export type Mode = 'gcm' | 'ccm' | 'chacha' | 'cbc';

export interface Suite {
  readonly id: number;
  readonly name: string;
  /** null: known by name only. */
  readonly cipher: SuiteCipher | null;
}

export interface SuiteCipher {
  readonly mode: Mode;
  readonly algorithm: CipherName;
  /** Counter mode of the same key, for parts of records where the AEAD cannot be had in parts (CCM). */
  readonly stream: CipherName | null;
  readonly keyBytes: number;
  readonly tagBytes: number;
  /** Of the PRF (TLS 1.2) or the key schedule (TLS 1.3). */
  readonly hash: HashName;
  /** CBC: of the record's HMAC. */
  readonly mac: HashName | null;
  readonly tls13: boolean;
}

const cipherOf = (name: string): SuiteCipher | null => {
  const tls13 = !name.includes('_WITH_');
  const hash: HashName = name.endsWith('SHA384') ? 'sha384' : 'sha256';
  if (name.includes('CHACHA20_POLY1305')) {
    return {
      mode: 'chacha',
      algorithm: 'chacha20-poly1305',
      stream: null,
      keyBytes: 32,
      tagBytes: 16,
      hash,
      mac: null,
      tls13,
    };
  }
  const aes = /AES_(128|256)_(GCM|CCM|CBC)/.exec(name);
  if (aes === null) return null;
  const bits = aes[1] as '128' | '256';
  const mode = aes[2]!.toLowerCase() as 'gcm' | 'ccm' | 'cbc';
  return {
    mode,
    algorithm: `aes-${bits}-${mode}`,
    stream: mode === 'ccm' ? `aes-${bits}-ctr` : null,
    keyBytes: Number(bits) / 8,
    tagBytes: name.includes('CCM_8') ? 8 : 16,
    hash,
    mac: mode !== 'cbc' ? null : name.endsWith('_SHA') ? 'sha1' : hash,
    tls13,
  };
};

/** https://www.iana.org/assignments/tls-parameters, table "TLS Cipher Suites": what is met today. */
const NAMES: Readonly<Record<number, string>> = {
  4: 'TLS_RSA_WITH_RC4_128_MD5',
  5: 'TLS_RSA_WITH_RC4_128_SHA',
  10: 'TLS_RSA_WITH_3DES_EDE_CBC_SHA',
  22: 'TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA',
  47: 'TLS_RSA_WITH_AES_128_CBC_SHA',
  51: 'TLS_DHE_RSA_WITH_AES_128_CBC_SHA',
  53: 'TLS_RSA_WITH_AES_256_CBC_SHA',
  57: 'TLS_DHE_RSA_WITH_AES_256_CBC_SHA',
  60: 'TLS_RSA_WITH_AES_128_CBC_SHA256',
  61: 'TLS_RSA_WITH_AES_256_CBC_SHA256',
  65: 'TLS_RSA_WITH_CAMELLIA_128_CBC_SHA',
  103: 'TLS_DHE_RSA_WITH_AES_128_CBC_SHA256',
  107: 'TLS_DHE_RSA_WITH_AES_256_CBC_SHA256',
  132: 'TLS_RSA_WITH_CAMELLIA_256_CBC_SHA',
  140: 'TLS_PSK_WITH_AES_128_CBC_SHA',
  141: 'TLS_PSK_WITH_AES_256_CBC_SHA',
  156: 'TLS_RSA_WITH_AES_128_GCM_SHA256',
  157: 'TLS_RSA_WITH_AES_256_GCM_SHA384',
  158: 'TLS_DHE_RSA_WITH_AES_128_GCM_SHA256',
  159: 'TLS_DHE_RSA_WITH_AES_256_GCM_SHA384',
  162: 'TLS_DHE_DSS_WITH_AES_128_GCM_SHA256',
  163: 'TLS_DHE_DSS_WITH_AES_256_GCM_SHA384',
  168: 'TLS_PSK_WITH_AES_128_GCM_SHA256',
  169: 'TLS_PSK_WITH_AES_256_GCM_SHA384',
  170: 'TLS_DHE_PSK_WITH_AES_128_GCM_SHA256',
  171: 'TLS_DHE_PSK_WITH_AES_256_GCM_SHA384',
  4865: 'TLS_AES_128_GCM_SHA256',
  4866: 'TLS_AES_256_GCM_SHA384',
  4867: 'TLS_CHACHA20_POLY1305_SHA256',
  4868: 'TLS_AES_128_CCM_SHA256',
  4869: 'TLS_AES_128_CCM_8_SHA256',
  49160: 'TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA',
  49161: 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA',
  49162: 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA',
  49170: 'TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA',
  49171: 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA',
  49172: 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA',
  49187: 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256',
  49188: 'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384',
  49191: 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256',
  49192: 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384',
  49195: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  49196: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  49199: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  49200: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  49205: 'TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA',
  49206: 'TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA',
  49308: 'TLS_RSA_WITH_AES_128_CCM',
  49309: 'TLS_RSA_WITH_AES_256_CCM',
  49310: 'TLS_DHE_RSA_WITH_AES_128_CCM',
  49311: 'TLS_DHE_RSA_WITH_AES_256_CCM',
  49312: 'TLS_RSA_WITH_AES_128_CCM_8',
  49313: 'TLS_RSA_WITH_AES_256_CCM_8',
  49314: 'TLS_DHE_RSA_WITH_AES_128_CCM_8',
  49315: 'TLS_DHE_RSA_WITH_AES_256_CCM_8',
  49324: 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM',
  49325: 'TLS_ECDHE_ECDSA_WITH_AES_256_CCM',
  49326: 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8',
  49327: 'TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8',
  52392: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  52393: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  52394: 'TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  52395: 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256',
  52396: 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
  52397: 'TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
};

const SUITES: ReadonlyMap<number, Suite> = new Map(
  Object.entries(NAMES).map(([key, name]) => [Number(key), { id: Number(key), name, cipher: cipherOf(name) }]),
);

/** The suite with this number; one without a name is called by the number and cannot be decrypted. */
export const suiteOf = (id: number): Suite =>
  SUITES.get(id) ?? { id, name: `0x${id.toString(16).padStart(4, '0')}`, cipher: null };
