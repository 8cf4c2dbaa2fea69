import { describe, expect, it } from 'vitest';
import type { TlsProcess } from '../../model/why.ts';
import type { Facts, ProcessReport } from './facts.ts';
import { librariesOf } from './tls.ts';

const mapped = { name: 'OpenSSL 3', path: '/usr/lib/libcrypto.so.3' };
const process: ProcessReport = { pid: 7, name: 'api', cgroup: '/a', sockets: null, tls: [mapped] };

const namesOf = (found: readonly Partial<TlsProcess>[], report = process): string[] | undefined => {
  const implementations = found.map((one) => ({ path: '/x.so', version: '', tapped: false, gap: '', ...one }));
  const facts = { agent: { state: 'running', live: { tls: [{ pid: 7, implementations }] } } } as unknown as Facts;
  return librariesOf(report, facts)?.map((one) => one.name);
};

describe('librariesOf', () => {
  it('names what a program or an extension carries beside the libraries that are mapped', () => {
    // As granian does: Python maps OpenSSL, its extension speaks TLS with rustls.
    expect(
      namesOf([
        { kind: 'openssl', path: mapped.path },
        { kind: 'rustls', version: 'rustls 0.23.46' },
      ]),
    ).toEqual(['OpenSSL 3', 'rustls 0.23.46']);
    expect(namesOf([])).toEqual(['OpenSSL 3']);
    expect(namesOf([{ kind: 'java' }], { ...process, tls: [] })).toEqual(['Java (JSSE)']);
    expect(namesOf([{ kind: 'java' }], { ...process, tls: null })).toBeUndefined();
  });
});
