/** What redaction leaves readable. redact-canaries.test.ts shows that it leaves nothing secret. */
import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { HeaderName } from '../../src/model/fields.ts';
import { Fingerprinter } from '../../src/redact/fingerprint.ts';
import { CredentialPolicy, KeepEverything } from '../../src/redact/policy.ts';
import { policy } from './log-rig.ts';

const KEY = Buffer.alloc(32, 7);
const fp = (credential: string): string =>
  `[fp:${createHmac('sha256', KEY).update(credential, 'latin1').digest('hex').slice(0, 16)}]`;
const rules = policy();
const value = (name: string, text: string, by = rules): string => by.value(new HeaderName(1, name), text);

describe('schemes, public classes, names and attributes stay', () => {
  test.each([
    ['authorization', 'Bearer sk-proj-abcdefgh12345678', `Bearer sk-proj-${fp('sk-proj-abcdefgh12345678')}`],
    ['authorization', 'Basic dXNlcjpwYXNz', `Basic ${fp('dXNlcjpwYXNz')}`],
    ['authorization', 'bearer', 'bearer'],
    ['authorization', '', ''],
    ['authorization', 'open sesame', fp('open sesame')],
    ['x-api-key', 'sk-ant-api03-abcdefgh12345678', `sk-ant-api03-${fp('sk-ant-api03-abcdefgh12345678')}`],
    ['cookie', 'sid=abc; theme=dark', `sid=${fp('abc')}; theme=${fp('dark')}`],
    [
      'set-cookie',
      'sid=abc; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=60; SameSite=Lax; HttpOnly; Secure',
      `sid=${fp('abc')}; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=60; SameSite=Lax; HttpOnly; Secure`,
    ],
    [
      'www-authenticate',
      'Digest realm="a b", nonce="n1", qop="auth", algorithm=MD5, Bearer realm="x", error="invalid_token"',
      `Digest realm="a b", nonce="${fp('n1')}", qop="auth", algorithm=MD5, Bearer realm="x", error="invalid_token"`,
    ],
    ['www-authenticate', 'Basic realm="private"', 'Basic realm="private"'],
    ['proxy-authenticate', 'Negotiate', 'Negotiate'],
    [
      'authorization',
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=fe5f80f77d5fa3be',
      `AWS4-HMAC-SHA256 Credential=AKIA${fp('AKIAIOSFODNN7EXAMPLE')}/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=${fp('fe5f80f77d5fa3be')}`,
    ],
    ['x-note', 'user=bob&password=hunter2&x=1', `user=bob&password=${fp('hunter2')}&x=1`],
    ['x-json', '{"token":"abc","n":1}', `{"token":"${fp('abc')}","n":1}`],
    [
      'referer',
      'https://bob:pw@h/x?access_token=abc&y=2#id_token=zz&a=1',
      `https://${fp('bob:pw')}@h/x?access_token=${fp('abc')}&y=2#id_token=${fp('zz')}&a=1`,
    ],
    ['host', 'bob:pw@h:80', `${fp('bob:pw')}@h:80`],
  ])('%s: %s', (name, text, shown) => expect(value(name, text)).toBe(shown));
});

describe('ordinary values stay as they are', () => {
  test.each([
    ['date', 'Sun, 22 Nov 2026 16:04:05 GMT'],
    [
      'user-agent',
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36',
    ],
    ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['content-type', 'multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW'],
    ['etag', 'W/"33a64df551425fcc55e4d42a148795d9f25f89d4"'],
    ['x-request-id', '550e8400-e29b-41d4-a716-446655440000'],
    ['x-my-call-id', '7f3c2b1a9d8e4f60a1b2c3d4e5f60718'],
    ['x-customer-id', '550e8400-e29b-41d4-a716-446655440000'],
    ['x-customer-id', 'acme-7'],
    ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
    ['x-amzn-trace-id', 'Root=1-67891233-abcdef012345678912345678'],
    ['cf-ray', '8f1e2d3c4b5a6978-FRA'],
    ['openai-organization', 'org-A1b2C3d4E5f6G7h8I9j0K1l2'],
    ['x-ratelimit-remaining-tokens', '149984'],
    ['x-ratelimit-reset-tokens', '6ms'],
    ['cache-control', 'private, max-age=0, must-revalidate'],
    ['strict-transport-security', 'max-age=31536000; includeSubDomains; preload'],
    ['sec-websocket-accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
    ['x-model', 'claude-3-5-sonnet-20241022'],
    ['x-pod', 'prod-us-east-1-api-7d9f8b6c5-x2x4z'],
    ['x-when', '2026-11-22T16:04:05.123456789Z'],
    ['x-when', '20261122T160405Z'],
    ['x-amount', '1234567890123456789'],
    ['x-list', 'a=1, b=2; c="three"'],
    ['x-mail', 'mailto:bob@example.org'],
    ['x-class', 'com.example.gateway.ApplicationRequestHandlerFactory'],
    ['origin', 'https://h.example:8443'],
    ['x-prose', 'the token expired, basic plan, code: 400'],
  ])('%s: %s', (name, text) => expect(value(name, text)).toBe(text));

  test.each([
    '/v1/users/7?x=1',
    '/v1/users/550e8400-e29b-41d4-a716-446655440000/orders/507f1f77bcf86cd799439011',
    '/search?q=%E4%BD%A0%E5%A5%BD%E4%BD%A0%E5%A5%BD%E4%BD%A0%E5%A5%BD&page=2',
    '/v1/models/gemini-1.5-pro:generateContent?alt=sse',
    '/npm/@scope/package@1.2.3/index.js',
    '/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21',
    '*',
    'h.example:443',
    'http://h.example/x?max_tokens=5&monkey=7',
    '',
  ])('target %s', (target) => expect(rules.target(target)).toBe(target));

  test.each(['GET', 'PATCH', 'PROPFIND', 'M-SEARCH'])('method %s', (method) =>
    expect(rules.method(method)).toBe(method),
  );
  test.each(['OK', 'Not Found', '', "I'm a teapot"])('reason %s', (reason) => expect(rules.text(reason)).toBe(reason));
});

describe('configuration', () => {
  test('sensitive adds names and globs', () => {
    const by = policy({ sensitive: ['X-Tenant', 'x-corp-*'] });
    expect(value('x-tenant', 'acme', by)).toBe(fp('acme'));
    expect(value('x-corp-anything', 'acme', by)).toBe(fp('acme'));
    expect(value('x-other', 'acme', by)).toBe('acme');
  });
  test('allow lifts looks and globs, never the named credentials or known shapes', () => {
    const by = policy({ allow: ['idempotency-key', 'x-build', 'authorization', 'cookie'] });
    expect(value('idempotency-key', '7f3c2b1a9d8e4f60a1b2c3d4e5f60718', by)).toBe('7f3c2b1a9d8e4f60a1b2c3d4e5f60718');
    expect(value('x-build', 'aB3dE5fG7hI9jK1lM3n', by)).toBe('aB3dE5fG7hI9jK1lM3n');
    expect(value('x-build', 'ghp_abcdefghijklmnopqrst', by)).toBe(`ghp_${fp('ghp_abcdefghijklmnopqrst')}`);
    expect(value('authorization', 'Bearer x', by)).toBe(`Bearer ${fp('x')}`);
    expect(value('cookie', 'a=b', by)).toBe(`a=${fp('b')}`);
  });
  test('query adds keys and globs', () => {
    const by = policy({ query: ['tenant', 'corp_*'] });
    expect(by.target('/?tenant=a&corp_x=b&c=d')).toBe(`/?tenant=${fp('a')}&corp_x=${fp('b')}&c=d`);
    expect(by.target('/?Tenant=a')).toBe(`/?Tenant=${fp('a')}`);
  });
});

test('keeping everything changes nothing', () => {
  const keep = new KeepEverything();
  expect(keep.value(new HeaderName(1, 'authorization'), 'Bearer x')).toBe('Bearer x');
  expect(keep.target('/?token=a')).toBe('/?token=a');
});

test('fingerprints depend on the key alone, also when the cache answers and after it was emptied', () => {
  const one = new Fingerprinter(KEY);
  const print = one.fingerprint('secret');
  expect(`[fp:${print}]`).toBe(fp('secret'));
  expect(one.fingerprint('secret')).toBe(print);
  one.forget();
  one.forget();
  expect(one.fingerprint('secret')).toBe(print);
  expect(new Fingerprinter(Buffer.alloc(32, 8)).fingerprint('secret')).not.toBe(print);
  for (let i = 0; i < 5_000; i++) one.fingerprint(`secret ${i}`);
  expect(one.fingerprint('secret')).toBe(print);
});

test('one policy never answers from another one’s verdict on a name', () => {
  const name = new HeaderName(1, 'x-own');
  const strict = new CredentialPolicy(new Fingerprinter(KEY), { sensitive: ['x-own'] });
  const lax = new CredentialPolicy(new Fingerprinter(KEY));
  expect(lax.value(name, 'v')).toBe('v');
  expect(strict.value(name, 'v')).toBe(fp('v'));
  expect(lax.value(name, 'v')).toBe('v');
});
