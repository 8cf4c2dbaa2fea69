/** What `why` says of TLS: which implementation a process runs, whether its secrets are taken, and why not. Pure. */
import type { TlsUnreadCause } from '../../model/tls.ts';
import type { TlsProcess } from '../../model/why.ts';
import type { Facts, ProcessReport, TlsLibrary } from './facts.ts';
import type { WhyFinding } from './finding.ts';

/** After "because". */
export const UNREAD: Readonly<Record<TlsUnreadCause, string>> = {
  no_secret: 'no secret came: neither end is a process whose library is tapped, or it was tapped too late',
  partial_secret: 'only some of the secrets came',
  wrong_secret: 'the secret that came does not fit',
  handshake_unseen: 'the handshake was not seen: the connection is older than the agent, or packets of it were lost',
  unsupported: 'the version or cipher suite is none that can be decrypted',
  out_of_step: 'records were lost and the next ones could not be placed',
  malformed: 'what was sent is no TLS',
  limit: 'memory for connections that wait for a secret was full',
};

const NAMES: Readonly<Record<TlsProcess['kind'], string>> = {
  openssl: 'OpenSSL',
  go: 'Go crypto/tls',
  boringssl: 'BoringSSL',
  gnutls: 'GnuTLS',
  nss: 'NSS',
  rustls: 'rustls',
  java: 'Java (JSSE)',
  wolfssl: 'wolfSSL',
  mbedtls: 'Mbed TLS',
  s2n: 's2n-tls',
};

const nameOf = ({ kind, version }: TlsProcess): string =>
  version === '' ? NAMES[kind] : kind === 'go' ? `${NAMES[kind]} (${version})` : version;

/** Nothing at all is tapped; empty: it is. */
export const aboutSecrets = ({ agent }: Facts): WhyFinding[] => {
  if (agent.state !== 'running' || agent.live.taps_absent === '') return [];
  return [
    {
      id: 'taps_absent',
      verdict: 'unseen',
      text: `TLS is not read at all: ${agent.live.taps_absent}.`,
      todo: 'headwater doctor says what is missing; the option is tls.secrets (docs/tls.md).',
    },
  ];
};

/** Implementations that a program or an extension carries inside, whatever libraries are mapped beside it. */
const CARRIED: ReadonlySet<TlsProcess['kind']> = new Set(['go', 'boringssl', 'rustls', 'java'] as const);

/** OpenSSL may be linked in, too; as libraries it is mapped under these names. */
const OPENSSL_LIBRARY = /\/lib(?:ssl|crypto)[^/]*$/;

const isCarried = ({ kind, path }: TlsProcess): boolean =>
  CARRIED.has(kind) || (kind === 'openssl' && !OPENSSL_LIBRARY.test(path));

/** What may do a process's TLS: the libraries that it maps, and what the agent found inside of other files. null: nobody looked. */
export const librariesOf = ({ pid, tls }: ProcessReport, { agent }: Facts): readonly TlsLibrary[] | null => {
  if (tls === null || agent.state !== 'running') return tls;
  const found = agent.live.tls.find((one) => one.pid === pid)?.implementations ?? [];
  return [
    ...tls,
    ...found
      .filter((one) => isCarried(one) && tls.every(({ path }) => path !== one.path))
      .map((one) => ({ name: nameOf(one), path: one.path })),
  ];
};

/** The TLS implementations that the agent found in a process. */
export const aboutLibraries = ({ pid }: ProcessReport, facts: Facts, who: string): WhyFinding[] => {
  if (facts.agent.state !== 'running') return [];
  const { live } = facts.agent;
  const own = live.tls.find((one) => one.pid === pid)?.implementations ?? [];
  return own.map((one) =>
    one.tapped
      ? {
          id: 'tls_tapped',
          verdict: 'seen',
          text: `${who} runs ${nameOf(one)} (${one.path}): its secrets are taken, connections that begin from now on are read${one.gap === '' ? '' : `, but not all: ${one.gap}`}.`,
          todo: '',
        }
      : {
          id: 'tls_untapped',
          verdict: 'partly',
          text: `${who} runs ${nameOf(one)} (${one.path}), whose secrets are not taken: ${one.gap || live.taps_absent || 'not known'}.`,
          todo: 'Its TLS is read where the other end is an observed process that is tapped (docs/tls.md); else observe a leg in clear.',
        },
  );
};
