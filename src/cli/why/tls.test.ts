import { describe, expect, it } from 'vitest';
import type { TlsProcess } from '../../model/why.ts';
import type { Facts, ProcessReport } from './facts.ts';
import { aboutLibraries, librariesOf } from './tls.ts';

const mapped = { name: 'OpenSSL 3', path: '/usr/lib/libcrypto.so.3' };
const process: ProcessReport = { pid: 7, name: 'api', cgroup: '/a', sockets: null, tls: [mapped] };

const factsOf = (found: readonly Partial<TlsProcess>[]): Facts => {
  const implementations = found.map((one) => ({ path: '/x.so', version: '', tapped: false, gap: '', ...one }));
  return { agent: { state: 'running', live: { tls: [{ pid: 7, implementations }] } } } as unknown as Facts;
};
const namesOf = (found: readonly Partial<TlsProcess>[], report = process): string[] | undefined =>
  librariesOf(report, factsOf(found))?.map((one) => one.name);

describe('librariesOf', () => {
  it('names what a program or an extension carries beside the libraries that are mapped', () => {
    // As granian does: Python maps OpenSSL, its extension speaks TLS with rustls.
    expect(
      namesOf([
        { kind: 'openssl', path: mapped.path },
        { kind: 'rustls', version: 'rustls 0.23.46' },
      ]),
    ).toEqual(['OpenSSL 3', 'rustls 0.23.46']);
    // As cryptography's extension does for pyOpenSSL.
    const linked = { kind: 'openssl', version: 'OpenSSL 4.0.3', path: '/opt/_rust.abi3.so' } as const;
    expect(namesOf([{ kind: 'openssl', path: '/opt/lib/libcrypto-fa20.so.3' }, linked])).toEqual([
      'OpenSSL 3',
      'OpenSSL 4.0.3',
    ]);
    const node = { name: 'OpenSSL inside node', path: '/usr/bin/node' };
    expect(namesOf([{ ...linked, path: node.path }], { ...process, tls: [node] })).toEqual(['OpenSSL inside node']);
    expect(namesOf([])).toEqual(['OpenSSL 3']);
    expect(namesOf([{ kind: 'java' }], { ...process, tls: [] })).toEqual(['Java (JSSE)']);
    expect(namesOf([{ kind: 'java' }], { ...process, tls: null })).toBeUndefined();
  });
});

describe('aboutLibraries', () => {
  it('says of an implementation that is tapped in part what is missing', () => {
    const about = (gap: string): string | undefined =>
      aboutLibraries(process, factsOf([{ kind: 'rustls', tapped: true, gap }]), 'api')[0]?.text;
    expect(about('')).toBe(
      'api runs rustls (/x.so): its secrets are taken, connections that begin from now on are read.',
    );
    expect(about('nobody knows where TLS 1.2 derives')).toBe(
      'api runs rustls (/x.so): its secrets are taken, connections that begin from now on are read, but not all: nobody knows where TLS 1.2 derives.',
    );
  });
});
