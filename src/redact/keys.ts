/** Names of parameters (query, form, JSON, cookies of other formats) whose value is a credential. */
import { globMatcher } from './glob.ts';

/** Compared after normalisation, so access_token, accessToken, access-token and ACCESS%5FTOKEN are one. */
const EXACT = new Set(
  (
    'key apikey accesstoken token sig signature code password xamzsignature xamzcredential xamzsecuritytoken xgoogsignature xgoogcredential awsaccesskeyid ' +
    'auth authorization pass passwd pwd passphrase secret session sessionid sid jsessionid phpsessid jwt ticket samlresponse samlrequest hmac assertion ' +
    'clientassertion codeverifier devicecode usercode otp totp cookie bearer xapikey googleaccessid'
  ).split(' '),
);
/** Endings that make a key sensitive: refresh_token, client_secret, subscription-key, ... */
const ENDINGS =
  /(?:token|secret|password|passwd|passphrase|apikey|accesskey|secretkey|privatekey|authkey|sessionkey|subscriptionkey|accountkey|sharedkey|signature|credentials?|sessionid|accesskeyid|jwt|authorization)$/;
const SEPARATED_KEY = /[-_.]key$/i;
/** Too common as ordinary words to count before a colon ("code: 400", "Key: value"). */
const WEAK = new Set(['key', 'code', 'sig', 'auth', 'session', 'sid', 'pass', 'ticket', 'bearer', 'otp', 'assertion']);

/** Longest key that is looked at; longer ones are judged by their end. */
export const KEY_LENGTH_MAX = 96;

const hex = (h: string): string => String.fromCharCode(Number.parseInt(h, 16));

/** Percent decoding byte by byte (latin1 in, latin1 out); what is not a valid escape stays. */
export const percentDecode = (text: string): string => text.replace(/%([0-9a-fA-F]{2})/g, (_, h: string) => hex(h));

/** How often hidden encodings are peeled off: a URL in a URL in a URL. */
export const DECODE_DEPTH_MAX = 3;

export function percentDecodeAll(text: string): string {
  let plain = text;
  for (let i = 0; i < DECODE_DEPTH_MAX && plain.includes('%'); i++) plain = percentDecode(plain);
  return plain;
}

function plainKey(key: string): string {
  let plain = percentDecodeAll(key);
  if (plain.includes('\\')) plain = plain.replace(/\\u00([0-9a-fA-F]{2})/g, (_, h: string) => hex(h));
  return plain;
}

const squeeze = (text: string): string => text.toLowerCase().replace(/[^a-z0-9*]+/g, '');

export interface KeyJudge {
  /** 1 at the characters that sensitive keys end with: the cheap first question. */
  readonly ends: Uint8Array;
  /** Whether `key` (any case, perhaps encoded) is sensitive. `weakToo`: also words that only count before = or in quotes. */
  test(key: string, weakToo: boolean): boolean;
}

/** Verdicts remembered, of keys short enough to be strings of their own (V8 copies slices below 13 characters). */
const REMEMBERED_MAX = 1_024;
const REMEMBERED_LENGTH_MAX = 12;

/** A judge of parameter names; `added` are names or globs from the configuration (compared like the built-in ones). */
export function keyJudge(added: readonly string[]): KeyJudge {
  const patterns = added.map(squeeze).filter((p) => p !== '');
  const extra = globMatcher(patterns);
  const last = new Uint8Array(256);
  for (const ch of 'cdeghlnprsty]') last[ch.charCodeAt(0)] = last[ch.toUpperCase().charCodeAt(0)] = 1;
  // An added key may be followed by signs that do not count (user_ref-): any last character may end it then.
  if (patterns.length > 0) last.fill(1);

  const judge = (key: string, weakToo: boolean): boolean => {
    const plain = plainKey(key.length > KEY_LENGTH_MAX ? key.slice(-KEY_LENGTH_MAX) : key);
    const name = squeeze(plain).replaceAll('*', '');
    if (name === '') return false;
    if (extra(name)) return true;
    if (!weakToo && WEAK.has(name)) return false;
    return EXACT.has(name) || ENDINGS.test(name) || SEPARATED_KEY.test(plain.trimEnd());
  };
  const remembered = [new Map<string, boolean>(), new Map<string, boolean>()] as const;
  return {
    ends: last,
    test: (key, weakToo) => {
      const memory = remembered[weakToo ? 1 : 0];
      let verdict = memory.get(key);
      if (verdict === undefined) {
        verdict = judge(key, weakToo);
        if (key.length <= REMEMBERED_LENGTH_MAX) {
          if (memory.size >= REMEMBERED_MAX) memory.clear();
          memory.set(key, verdict);
        }
      }
      return verdict;
    },
  };
}
