import { HeaderName, OTHER_NAME_ID } from '../model/fields.ts';

/** Names that always have an id, however many made-up ones a peer sends first. */
const WELL_KNOWN = `accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-credentials
access-control-allow-headers access-control-allow-methods access-control-allow-origin access-control-expose-headers
access-control-max-age access-control-request-headers access-control-request-method age allow alt-svc
anthropic-version api-key authorization baggage cache-control connection content-disposition content-encoding
content-language content-length content-location content-range content-security-policy content-type cookie date
dnt etag expect expires forwarded from grpc-encoding grpc-message grpc-status grpc-timeout host idempotency-key
if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified link location
max-forwards openai-organization openai-project origin pragma priority proxy-authenticate proxy-authorization range
ratelimit-limit ratelimit-remaining ratelimit-reset referer referrer-policy retry-after sec-fetch-dest sec-fetch-mode
sec-fetch-site sec-fetch-user sec-websocket-accept sec-websocket-key sec-websocket-protocol sec-websocket-version
server server-timing set-cookie strict-transport-security te traceparent tracestate trailer transfer-encoding
upgrade upgrade-insecure-requests user-agent vary via warning www-authenticate x-amz-date x-amz-security-token
x-api-key x-b3-sampled x-b3-spanid x-b3-traceid x-content-type-options x-forwarded-for x-forwarded-host
x-forwarded-proto x-frame-options x-real-ip x-request-id x-correlation-id x-requested-with x-xss-protection`.split(
  /\s+/,
);

/** Names interned at most, and the longest one that is. */
export const NAMES_MAX = 4_096;
export const NAME_BYTES_MAX = 256;

/**
 * Header field names by their lower-case text: one object each, so that everything about a name is decided once. Bounded:
 * beyond it a name gets an object of its own with OTHER_NAME_ID. Nothing is ever evicted, because an id must keep its
 * meaning; the well-known names are there from the start. HTTP/1 and HTTP/2 share it.
 */
export class NameTable {
  /** Names that found no room, each time one was asked for. */
  overflowed = 0;
  readonly #names = new Map<string, HeaderName>();
  readonly #max: number;

  constructor(max = NAMES_MAX) {
    this.#max = max;
    for (const lower of WELL_KNOWN) this.intern(lower);
  }

  get size(): number {
    return this.#names.size;
  }

  /** `lower`: the name in lower case, latin1. */
  intern(lower: string): HeaderName {
    const known = this.#names.get(lower);
    if (known !== undefined) return known;
    if (this.#names.size >= this.#max || lower.length > NAME_BYTES_MAX) {
      this.overflowed++;
      return new HeaderName(OTHER_NAME_ID, lower);
    }
    const name = new HeaderName(this.#names.size + 1, lower);
    this.#names.set(lower, name);
    return name;
  }
}
