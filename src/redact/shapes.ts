/**
 * Credentials that say what they are. The prefix is the public class ("sk-proj-" stays readable), everything behind it is
 * secret. Longer prefixes win. Sources: the issuers' own documentation of their token formats.
 */
const PREFIXES: readonly string[] = [
  // OpenAI, Anthropic, OpenRouter, Langfuse and others that copied the form.
  ...[
    'sk-proj-',
    'sk-svcacct-',
    'sk-admin-',
    'sk-ant-api03-',
    'sk-ant-admin01-',
    'sk-ant-oat01-',
    'sk-ant-',
    'sk-or-v1-',
    'sk-lf-',
    'pk-lf-',
    'sk-',
  ],
  // Stripe and its webhooks.
  ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'pk_live_', 'pk_test_', 'whsec_'],
  // GitHub, GitLab.
  ...[
    'ghp_',
    'gho_',
    'ghu_',
    'ghs_',
    'ghr_',
    'github_pat_',
    'glpat-',
    'gldt-',
    'glrt-',
    'glcbt-',
    'glptt-',
    'glft-',
    'glsoat-',
  ],
  // AWS access key ids, long-lived and temporary.
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'],
  // Slack.
  ...['xoxa-', 'xoxb-', 'xoxc-', 'xoxd-', 'xoxe-', 'xoxe.', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xapp-', 'xwfp-'],
  // Google: API keys, OAuth access tokens, client secrets.
  ...['AIza', 'ya29.', 'GOCSPX-'],
  // Model providers and hubs.
  ...['hf_', 'gsk_', 'xai-', 'r8_', 'nvapi-', 'pplx-', 'fw_', 'tgp_v1_', 'tvly-', 'lsv2_pt_', 'lsv2_sk_', 'dapi'],
  // Package registries, clouds, tools.
  ...[
    'npm_',
    'pypi-',
    'dckr_pat_',
    'dckr_oat_',
    'dop_v1_',
    'doo_v1_',
    'dor_v1_',
    'hvs.',
    'hvb.',
    'hvr.',
    'AGE-SECRET-KEY-',
    'glsa_',
    'glc_',
    'SG.',
    'shpat_',
    'shpss_',
    'shpca_',
    'shppa_',
    'lin_api_',
    'ntn_',
    'sq0atp-',
    'sq0csp-',
    'ATATT3',
    'PMAK-',
    'rubygems_',
    'sntrys_',
    'sntryu_',
    'CCIPAT_',
  ],
  // JWT, JWE and other base64 JSON: eyJ is base64 of {"
  'eyJ',
].sort((a, b) => b.length - a.length);

/** Prefixes that are not punctuated need more behind them: they could begin an ordinary word. */
const PLAIN_PREFIX_TAIL_MIN = 12;
const PREFIX_TAIL_MIN = 8;
const tailMin = (prefix: string): number =>
  /[-_.]$/.test(prefix) || prefix === 'eyJ' ? PREFIX_TAIL_MIN : PLAIN_PREFIX_TAIL_MIN;

export const PEM_BEGIN = '-----BEGIN';

const byFirstTwo = new Map<number, string[]>();
/** 1 at c1 * 256 + c2 when some prefix begins with these two bytes: the quick scan's only look at prefixes. */
export const PREFIX_PAIRS = new Uint8Array(65_536);
for (const prefix of [...PREFIXES, PEM_BEGIN]) {
  const pair = prefix.charCodeAt(0) * 256 + prefix.charCodeAt(1);
  PREFIX_PAIRS[pair] = 1;
  const list = byFirstTwo.get(pair) ?? [];
  list.push(prefix);
  byFirstTwo.set(pair, list);
}

/** The known prefix that `text` has at `at`, whatever follows it; "" for none. */
export function prefixAt(text: string, at: number): string {
  const list = byFirstTwo.get(text.charCodeAt(at) * 256 + text.charCodeAt(at + 1));
  if (list === undefined) return '';
  for (const prefix of list) if (text.startsWith(prefix, at)) return prefix;
  return '';
}

/** What may stay readable of a text that is a credential from its first character: its public class, or "". */
export function publicClass(credential: string): string {
  const prefix = prefixAt(credential, 0);
  if (prefix === '') return '';
  if (prefix === PEM_BEGIN) return /^-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/.exec(credential)?.[0] ?? '';
  return credential.length - prefix.length >= tailMin(prefix) ? prefix : '';
}

/** End of the credential with a known prefix that begins at `at`, given where its run of characters ends; -1: it is none. */
export function knownShapeEnd(text: string, at: number, runEnd: number): number {
  const prefix = prefixAt(text, at);
  if (prefix === '') return -1;
  if (prefix === PEM_BEGIN) return text.length;
  return runEnd - at - prefix.length >= tailMin(prefix) ? runEnd : -1;
}

const lowered = PREFIXES.map((prefix) => prefix.toLowerCase());
/** A tail this long is no name's, whatever it is made of. */
const NAME_TAIL_MAX = 28;

/** Whether a lower-cased header name contains a known credential (a client that sends its token as a name). */
export function nameHasKnownShape(lower: string): boolean {
  return lowered.some((prefix) => {
    for (let at = lower.indexOf(prefix); at >= 0; at = lower.indexOf(prefix, at + 1)) {
      if (at > 0 && /[a-z0-9]/.test(lower[at - 1]!)) continue;
      const tail = lower.slice(at + prefix.length);
      // "x-asia-pacific-region" begins like an access key id; an unbroken tail, or one with digits, does not go on like a name.
      const unbroken =
        tail.length >= PLAIN_PREFIX_TAIL_MIN && /^[a-z0-9_]+$/.test(tail.slice(0, PLAIN_PREFIX_TAIL_MIN));
      if (tail.length >= NAME_TAIL_MAX || unbroken || (tail.length >= PREFIX_TAIL_MIN && /\d/.test(tail))) return true;
    }
    return false;
  });
}
