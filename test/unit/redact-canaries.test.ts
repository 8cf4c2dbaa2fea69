/** R11: a thousand credentials in every place of a call, of which no output may show eight bytes in a row. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/model/exchange.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { type ExchangeSpec, exchangeOf, har, ndjson, policy } from './log-rig.ts';
import { validLine } from './log-schema.ts';

const CANARIES = 1_000;
/** A leak is this many bytes of a secret in a row. */
const LEAK = 8;

const BASE62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const BASE64URL = `${BASE62}-_`;

/** `length` characters of `alphabet`, the same for the same seed. */
function secret(seed: string, length: number, alphabet: string): string {
  let out = '';
  for (let block = 0; out.length < length; block++)
    for (const byte of createHash('sha256').update(`${seed} ${block}`).digest())
      out += alphabet[byte % alphabet.length];
  return out.slice(0, length);
}

interface Canary {
  /** As a client sends it. */
  readonly text: string;
  /** The part that no output may show. */
  readonly secret: string;
}
type Shape = (seed: string) => Canary;

const prefixed =
  (prefix: string, length: number, alphabet: string): Shape =>
  (seed) => {
    const s = secret(seed, length, alphabet);
    return { text: prefix + s, secret: s };
  };
const plain = (length: number, alphabet: string): Shape => prefixed('', length, alphabet);

/** Shapes that give themselves away wherever they stand. */
const KNOWN: Readonly<Record<string, Shape>> = {
  openai: prefixed('sk-proj-', 48, BASE64URL),
  anthropic: prefixed('sk-ant-api03-', 60, BASE64URL),
  github: prefixed('ghp_', 36, BASE62),
  githubFine: prefixed('github_pat_', 60, BASE62),
  awsKeyId: prefixed('AKIA', 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'),
  google: prefixed('AIza', 35, BASE64URL),
  slack: prefixed('xoxb-', 40, BASE62),
  gitlab: prefixed('glpat-', 20, BASE62),
  huggingFace: prefixed('hf_', 34, BASE62),
  jwt: (seed) => {
    const s = `${secret(seed, 40, BASE64URL)}.${secret(`${seed} p`, 60, BASE64URL)}.${secret(`${seed} s`, 43, BASE64URL)}`;
    return { text: `eyJ${s}`, secret: s };
  },
};
/** Random text: known by its looks. */
const RANDOM: Readonly<Record<string, Shape>> = {
  hex32: plain(32, '0123456789abcdef'),
  hex64: plain(64, '0123456789abcdef'),
  base62: plain(24, BASE62),
  base64url: plain(43, BASE64URL),
  base64: (seed) => {
    const s = createHash('sha256').update(seed).digest('base64');
    return { text: s, secret: s };
  },
};
/** A passphrase looks like prose: only the place says that it is one. */
const QUIET: Readonly<Record<string, Shape>> = {
  words: (seed) => {
    const s = Array.from({ length: 4 }, (_, i) => secret(`${seed} ${i}`, 6, 'abcdefghijklmnopqrstuvwxyz')).join('-');
    return { text: s, secret: s };
  },
  digits: plain(12, '0123456789'),
};

const headers = (name: string, value: string): ExchangeSpec => ({
  request: {
    headers: [
      ['Host', 'h.example'],
      [name, value],
    ],
  },
});
const inResponse = (name: string, value: string): ExchangeSpec => ({ response: { headers: [[name, value]] } });
const target = (text: string): ExchangeSpec => ({
  request: { target: text, headers: [['Host', 'h.example']] },
  route: '/{id}',
});
const escaped = (text: string): string => Buffer.from(text, 'latin1').toString('hex').replace(/../g, '%$&');
const enc = encodeURIComponent;

/** Places that are sensitive by themselves: any shape must vanish there. */
const SENSITIVE: Readonly<Record<string, (c: string) => ExchangeSpec>> = {
  bearer: (c) => headers('Authorization', `Bearer ${c}`),
  bearerOddCase: (c) => headers('aUTHORIZATION', `bEARER \t ${c}`),
  noScheme: (c) => headers('Authorization', c),
  unknownScheme: (c) => headers('Authorization', `Frob ${c}`),
  basic: (c) => headers('Proxy-Authorization', `Basic ${Buffer.from(`user:${c}`).toString('base64')}`),
  digest: (c) =>
    headers(
      'Authorization',
      `Digest username="bob", realm="r", nonce="${c}", uri="/?token=${c}", response="${c}", opaque="${c}"`,
    ),
  digestUnquoted: (c) => headers('Authorization', `Digest nonce=${c}, cnonce=${c}`),
  challenge: (c) => inResponse('WWW-Authenticate', `Digest realm="r", nonce="${c}", Basic realm="s", Negotiate ${c}`),
  authenticationInfo: (c) => inResponse('Authentication-Info', `nextnonce="${c}", rspauth="${c}", qop=auth`),
  cookie: (c) => headers('Cookie', `a=1; sid=${c}; b="${c}"`),
  cookieNoName: (c) => headers('Cookie', c),
  setCookie: (c) => inResponse('Set-Cookie', `sid=${c}; Path=/; Max-Age=60; HttpOnly`),
  setCookieJoined: (c) => inResponse('Set-Cookie', `a=1; Path=/, sid=${c}; Secure`),
  setCookieAttribute: (c) => inResponse('Set-Cookie', `a=1; Extra=${c}; ${c}`),
  ...Object.fromEntries(
    [
      'X-Api-Key',
      'api-key',
      'X-Goog-Api-Key',
      'X-Amz-Security-Token',
      'X-Auth-Token',
      'X-CSRF-Token',
      'X-Vault-Token',
      'My-Client-Secret',
      'Ocp-Apim-Subscription-Key',
      'X_Api_Key',
      'Sec-WebSocket-Key',
    ].map((name) => [name, (c: string) => headers(name, c)]),
  ),
  listed: (c) => headers('X-Own-Thing', c),
  ...Object.fromEntries(
    [
      'key',
      'api_key',
      'access_token',
      'token',
      'sig',
      'signature',
      'X-Amz-Signature',
      'X-Amz-Credential',
      'X-Amz-Security-Token',
      'X-Goog-Signature',
      'AWSAccessKeyId',
      'code',
      'password',
      'own_param',
      'Api%5FKey',
      'refreshToken',
      'client_secret',
    ].map((key) => [`query ${key}`, (c: string) => target(`/p?a=1&${key}=${enc(c)}&b=2`)]),
  ),
  queryEscaped: (c) => target(`/p?%74oken=${escaped(c)}`),
  queryNested: (c) => target(`/p?next=${enc(`https://h/cb?access_token=${enc(c)}&x=1`)}`),
  queryTwiceNested: (c) => target(`/p?next=${enc(enc(`https://h/cb?access_token=${enc(c)}`))}`),
  queryHidden: (c) => target(`/p?a=1%26token%3D${enc(c)}`),
  querySecondMark: (c) => target(`/p?a=1?token=${enc(c)}`),
  absolute: (c) => target(`http://h.example/p?token=${enc(c)}#access_token=${enc(c)}`),
  userInfo: (c) => target(`http://bob:${enc(c)}@h.example/p`),
  userInfoRaw: (c) => target(`http://bob:${c}@h.example/p`),
  connect: (c) => ({ request: { method: 'CONNECT', target: `bob:${enc(c)}@h.example:443`, headers: [] } }),
  host: (c) => headers('Host', `bob:${enc(c)}@h.example`),
  referer: (c) => headers('Referer', `https://h/p?api_key=${enc(c)}`),
  refererUser: (c) => headers('Referer', `https://bob:${enc(c)}@h/p`),
  location: (c) => inResponse('Location', `/cb#access_token=${enc(c)}&state=1`),
  locationRoute: (c) => inResponse('Location', `/app#/cb?id_token=${enc(c)}`),
  contentLocation: (c) => inResponse('Content-Location', `//bob:${enc(c)}@h/`),
  refresh: (c) => inResponse('Refresh', `0; url=https://h/?sig=${enc(c)}`),
  link: (c) => inResponse('Link', `<https://h/?page=2&token=${enc(c)}>; rel="next"`),
  origin: (c) => headers('Origin', `https://bob:${enc(c)}@h`),
  unknownUrl: (c) => headers('X-Callback', `https://h/?token=${enc(c)}`),
  form: (c) => headers('X-Form', `user=bob&password=${enc(c)}`),
  json: (c) => headers('X-Json', `{"user":"bob","token": "${c}"}`),
  jsonInJson: (c) => headers('X-Json', `{"body":"{\\"api_key\\":\\"${c}\\"}"}`),
  jsonList: (c) => headers('X-Json', `{"tokens":1,"token":["${c}"]}`),
  bearerElsewhere: (c) => headers('X-Note', `auth: Bearer ${c}`),
  bearerKnownName: (c) => headers('User-Agent', `x/1 Bearer ${c}`),
  pairAsName: (c) => headers(`x token=${c}`, '1'),
  folded: (c) => headers('X-Note', `token =  ${c}`),
};
/** Places where only its shape gives a credential away. */
const ANYWHERE: Readonly<Record<string, (c: string) => ExchangeSpec>> = {
  unknown: (c) => headers('X-Unknown', c),
  unknownInText: (c) => headers('X-Unknown', `before ${c}, after`),
  unknownPair: (c) => headers('X-Unknown', `v1=${c};t=2`),
  unknownEscaped: (c) => headers('X-Unknown', escaped(c)),
  opaqueNeighbour: (c) => headers('X-Unknown', `\xff\xfe ${c} \x80`),
  path: (c) => target(`/services/${enc(c)}/send`),
  query: (c) => target(`/p?x=${enc(c)}`),
  trailer: (c) => ({ response: { trailers: [['X-Unknown', c]] } }),
  requestTrailer: (c) => ({ request: { trailers: [['X-Checksum', c]] } }),
  interim: (c) => ({ interim: [{ status: 103, at: 1, fields: [['X-Unknown', c]] }] }),
  reason: (c) => ({ response: { reason: `Denied ${c}` } }),
  method: (c) => ({ request: { method: c.replaceAll(/[^0-9A-Za-z_.-]/g, '') } }),
  upgrade: (c) => ({ upgrade: c }),
  websocketProtocol: (c) => headers('Sec-WebSocket-Protocol', `realtime, openai-insecure-api-key.${c}`),
  cookieName: (c) => headers('Cookie', `${c.replaceAll('=', '')}=1`),
  someId: (c) => headers('X-Customer-Id', `${c}`),
  sessionId: (c) => headers('Mcp-Session-Id', c),
};
/** Well-known names, whose values may look random: known shapes still vanish. */
const WELL_KNOWN: Readonly<Record<string, (c: string) => ExchangeSpec>> = {
  requestId: (c) => headers('X-Request-Id', c),
  etag: (c) => inResponse('ETag', `"${c}"`),
  userAgent: (c) => headers('User-Agent', `app/1.0 (${c})`),
  via: (c) => inResponse('Via', `1.1 ${c}`),
  accept: (c) => headers('Accept', `text/html;x=${c}`),
  headerName: (c) => headers(c.replaceAll(/[^0-9A-Za-z_-]/g, '_'), '1'),
};

const redact = redactor(policy({ sensitive: ['x-own-*'], query: ['own_param'] }));
const formats = { ndjson: ndjson(), har: har() };

function outputs(x: Exchange): string[] {
  const line = formats.ndjson.exchange(redact(x));
  // What the lines' caches answer must be as clean as what was made first.
  expect(formats.ndjson.exchange(redact(x))).toBe(line);
  return [line, formats.har.exchange(redact(x))];
}

/** The ways in which an output could show `hidden`. */
const formsOf = (hidden: string): string[] => [
  ...new Set([hidden, enc(hidden), escaped(hidden), Buffer.from(`user:${hidden}`).toString('base64').slice(8)]),
];

/** The first eight bytes in a row of one of `forms` that `output` shows. */
function leak(output: string, forms: readonly string[]): string | undefined {
  for (const form of forms) {
    // Eight bytes in a row hold five that begin at a multiple of four: only those are searched for everywhere.
    for (let i = 0; i + LEAK / 2 < form.length; i += LEAK / 2) {
      if (!output.includes(form.slice(i, i + LEAK / 2 + 1))) continue;
      for (let j = Math.max(0, i - LEAK); j <= i && j + LEAK <= form.length; j++)
        if (output.includes(form.slice(j, j + LEAK))) return form.slice(j, j + LEAK);
    }
  }
  return undefined;
}

function check(
  shapes: Readonly<Record<string, Shape>>,
  places: Readonly<Record<string, (c: string) => ExchangeSpec>>,
  count: number,
): void {
  const kinds = Object.entries(shapes);
  const leaks: string[] = [];
  for (let n = 0; n < count; n++) {
    const [kind, shape] = kinds[n % kinds.length]!;
    const canary = shape(`${kind} ${n}`);
    const forms = formsOf(canary.secret);
    for (const [place, put] of Object.entries(places)) {
      const shown = outputs(exchangeOf(put(canary.text)));
      // Checking every line against the schema would take longer than all the rest.
      if (n < kinds.length) expect(validLine(JSON.parse(shown[0]!)), JSON.stringify(validLine.errors)).toBe(true);
      for (const output of shown) {
        const found = leak(output, forms);
        if (found !== undefined) leaks.push(`${kind} in ${place}: ${found} of ${canary.text}`);
      }
    }
  }
  expect([...new Set(leaks)].slice(0, 20)).toEqual([]);
}

describe('not eight bytes of a credential reach any output', () => {
  const all = { ...KNOWN, ...RANDOM, ...QUIET };
  const kinds = Object.keys(all).length;
  test(`${CANARIES} canaries of ${kinds} shapes in every sensitive place`, () => check(all, SENSITIVE, CANARIES));
  test('known and random shapes in any place', () => check({ ...KNOWN, ...RANDOM }, ANYWHERE, CANARIES));
  test('known shapes under well-known names, and as names', () => check(KNOWN, WELL_KNOWN, CANARIES));
});

test('the same credential has the same fingerprint wherever it stands, and another installation another', () => {
  const key = 'sk-proj-thisisnotarealkey0123';
  const printsOf = (text: string) => [...text.matchAll(/\[fp:([0-9a-f]{16})\]/g)].map((m) => m[1]);
  const specs = [
    headers('Authorization', `Bearer ${key}`),
    headers('X-Api-Key', key),
    target(`/?key=${key}`),
    target(`/?key=${escaped(key)}`),
    headers('X-Unknown', key),
    headers('Cookie', `k=${key}`),
  ];
  const prints = specs.flatMap((spec) => printsOf(formats.ndjson.exchange(redact(exchangeOf(spec)))));
  expect(prints).toHaveLength(specs.length);
  expect(new Set(prints).size).toBe(1);
});
