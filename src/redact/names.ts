/** What the name of a header alone says about its value. */
import { globMatcher } from './glob.ts';
import { looksRandom } from './random.ts';
import { nameHasKnownShape } from './shapes.ts';

/** A well-known name: only what is a credential by its shape, or by a key beside it, is taken out. */
export const PLAIN = 1;
/** Nobody knows this name: text that looks random is taken out as well. */
export const UNKNOWN = 2;
/** The value holds URLs or an id: as UNKNOWN, but UUIDs and short hex are ids there. */
export const URLS = 3;
/** The value is a host, perhaps behind user information. */
export const HOST = 4;
/** The whole value is a credential, perhaps behind a scheme. */
export const SECRET = 5;
export const COOKIE = 6;
export const SET_COOKIE = 7;
/** Challenges and authentication info: parameters, of which few are public. */
export const CHALLENGE = 8;
/** Bit on top of the above: the name itself is a credential. */
export const SECRET_NAME = 16;
/** Bit on top of the above: the name holds characters that no name has (RFC 9110 5.1), so it is read like a value. */
export const ODD_NAME = 32;
export const VERDICT_MASK = 15;

const list = (text: string): string[] => text.trim().split(/\s+/);

/** Exact names; the configuration's `allow` does not reach them. */
const SECRETS = new Set(
  list(`authorization proxy-authorization x-api-key api-key x-goog-api-key x-amz-security-token x-auth-token x-csrf-token
    apikey x-apikey token secret password passwd passphrase auth x-auth key jwt credential credentials session dpop x-password
    x-forwarded-authorization x-original-authorization x-forwarded-access-token`),
);
/** Names that end like this; `allow` may lift one name out. */
const SECRET_GLOBS =
  list(`*-token *-secret *-key *-password *-passwd *-passphrase *-authorization *-credential *-credentials *-apikey *-jwt
    *-cookie *-session *-session-id *-sessionid *-signature *accesstoken *authtoken *idtoken *apitoken *refreshtoken *csrftoken *secretkey`);

/** Values of these are ids, dates, digests and grammar of public standards: random looks are expected there. */
const PLAINS =
  list(`accept accept-* content-type content-length content-encoding content-language content-range content-disposition content-md5
    content-digest repr-digest want-digest want-content-digest want-repr-digest digest content-security-policy content-security-policy-report-only
    cache-control connection keep-alive transfer-encoding te trailer upgrade-insecure-requests date expires age last-modified etag
    if-match if-none-match if-modified-since if-unmodified-since if-range range vary via server server-timing user-agent allow expect
    max-forwards pragma retry-after retry-after-ms warning dnt priority early-data strict-transport-security permissions-policy referrer-policy
    feature-policy cross-origin-* access-control-* alt-svc timing-allow-origin origin-agent-cluster nel report-to reporting-endpoints
    sec-ch-* sec-fetch-* sec-gpc sec-websocket-accept sec-websocket-version sec-websocket-extensions http2-settings
    x-content-type-options x-frame-options x-xss-protection x-powered-by x-dns-prefetch-control x-permitted-cross-domain-policies x-ua-compatible
    x-forwarded-for x-forwarded-proto x-forwarded-port x-forwarded-server x-real-ip x-requested-with x-request-start x-runtime x-served-by x-timer
    x-cache x-cache-* x-robots-tag x-ratelimit-* ratelimit ratelimit-* anthropic-ratelimit-* anthropic-version anthropic-beta anthropic-organization-id
    openai-* x-stainless-* x-amz-date x-amz-content-sha256 x-amz-id-2 x-amz-cf-pop x-amzn-trace-id x-amzn-requestid x-goog-hash
    x-github-delivery x-envoy-upstream-service-time x-kong-*-latency
    traceparent tracestate b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled x-b3-flags uber-trace-id sentry-trace x-cloud-trace-context
    x-datadog-* grpc-timeout grpc-encoding grpc-accept-encoding grpc-status grpc-trace-bin cf-ray cf-cache-status
    requestid request-id x-requestid x-correlationid x-traceid *-request-id *-requestid *-trace-id *-traceid
    *-correlation-id *-call-id *-span-id *-transaction-id *-event-id *-message-id *-delivery-id *-operation-id *-invocation-id *-model-id
    x-amz-cf-id x-amz-version-id x-amz-checksum-* x-vercel-id x-guploader-uploadid`);
/** An id of something, by its own name: what looks like an id stays. A session's id is a credential; see ID_THAT_OPENS. */
const IDS = /(?:^|-)(?:id|uuid|guid)$/;
const ID_THAT_OPENS = /sess|auth|token|secret|key|cred|passw|login|cookie|jwt|sid/;

const URL_NAMES =
  list(`referer location content-location refresh link origin sourcemap x-sourcemap x-original-url x-rewrite-url x-forwarded-uri
    x-forwarded-path x-original-uri x-envoy-original-path destination *-url *-uri`);
const HOST_NAMES = new Set(list('host x-forwarded-host x-original-host x-host'));
const CHALLENGES = new Set(
  list('www-authenticate proxy-authenticate authentication-info proxy-authentication-info authentication-control'),
);

/** Longest name that a person would write; a longer one is looked at as if it were a value. */
const NAME_LENGTH_MAX = 100;

/**
 * A name as rules compare it: servers disagree about underscores, dots and stray bytes around a name (`X_Api_Key`,
 * "authorization "), and one of them may take it for the real header.
 */
const canonical = (lower: string): string => lower.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');

const TOKEN = /^[0-9a-z!#$%&'*+.^_`|~-]*$/;

export type NameJudge = (lower: string) => number;

/** A judge of header names. `sensitive`, `allow`: names or globs from the configuration. */
export function nameJudge(sensitive: readonly string[], allow: readonly string[]): NameJudge {
  const addedSecret = globMatcher(sensitive);
  const allowed = globMatcher(allow);
  const secretGlob = globMatcher(SECRET_GLOBS);
  const plain = globMatcher(PLAINS);
  const urls = globMatcher(URL_NAMES);

  const ofValue = (lower: string, name: string): number => {
    if (name === 'cookie' || name === 'cookie2') return COOKIE;
    if (name === 'set-cookie' || name === 'set-cookie2') return SET_COOKIE;
    if (CHALLENGES.has(name)) return CHALLENGE;
    if (SECRETS.has(name) || addedSecret(lower) || addedSecret(name)) return SECRET;
    if (HOST_NAMES.has(name)) return HOST;
    if (allowed(lower) || allowed(name)) return PLAIN;
    if (secretGlob(name)) return SECRET;
    if (plain(name)) return PLAIN;
    return urls(name) || (IDS.test(name) && !ID_THAT_OPENS.test(name)) ? URLS : UNKNOWN;
  };

  return (lower) => {
    const name = canonical(lower);
    const isSecret =
      lower.length > NAME_LENGTH_MAX || nameHasKnownShape(lower) || looksRandom(lower, 0, lower.length, false);
    return ofValue(lower, name) | (isSecret && !allowed(lower) ? SECRET_NAME : 0) | (TOKEN.test(lower) ? 0 : ODD_NAME);
  };
}
