/** Statistics of TLS handshakes: exact counts, bounded names, merging and storing; whole, from a recorded capture. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TlsFacts } from '../../../src/model/tls.ts';
import {
  TLS_NAMES,
  TLS_NAMES_MAX,
  TLS_SERVICES_MAX,
  TlsState,
  TlsStatistics,
  tlsReport,
} from '../../../src/stats/tls.ts';
import { bucketsOf } from '../../fixtures/buckets.ts';

function facts(of: Partial<TlsFacts>): TlsFacts {
  return Object.assign(new TlsFacts(), of);
}

const anyFacts = fc
  .record({
    version: fc.constantFrom('', '1.2', '1.3'),
    cipher: fc.constantFrom('', 'TLS_AES_128_GCM_SHA256', '0xc0ff'),
    sni: fc.string({ maxLength: 20 }),
    alpn: fc.constantFrom('', 'h2', 'http/1.1', '__proto__'),
    alpnOffered: fc.constantFrom([], ['h2', 'http/1.1'], ['__proto__']),
    ja4: fc.constantFrom('', 't13d1516h2_8daaf6152771_e5627efa2ab1'),
    resumed: fc.constantFrom(null, true, false),
    earlyData: fc.boolean(),
    decrypted: fc.boolean(),
    handshakeNs: fc.integer({ min: -1, max: 1e9 }),
    certificateNotAfter: fc.option(fc.integer({ min: -1e9, max: 4e9 })),
  })
  .map(facts);

const state = (all: readonly TlsFacts[]): TlsState => {
  const made = new TlsState();
  for (const one of all) made.observe(one);
  return made;
};
const shown = (one: TlsState): object => ({ ...tlsReport('s', 'server', one), handshake: bucketsOf(one.handshake) });

test('two halves merge into the whole, and what is stored comes back', () => {
  fc.assert(
    fc.property(fc.array(anyFacts, { maxLength: 30 }), fc.array(anyFacts, { maxLength: 30 }), (first, second) => {
      const merged = state(first);
      merged.merge(state(second));
      const whole = state([...first, ...second]);
      expect(shown(merged)).toEqual(shown(whole));
      expect(shown(TlsState.decode(whole.encode())!)).toEqual(shown(whole));
    }),
  );
});

test('bytes that are cut or made up are refused or give a state', () => {
  const whole = state([facts({ version: '1.3', sni: 'a', handshakeNs: 5, certificateNotAfter: 1 })]).encode();
  for (let length = 0; length < whole.length; length++) expect(TlsState.decode(whole.subarray(0, length))).toBe(null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void TlsState.decode(bytes)));
});

test('a state of version 1, before offers were counted, is read', () => {
  const stored = Buffer.from(
    '010101010000000103312e33010116544c535f4145535f3132385f47434d5f534841323536010102683201010b6170692e6578616d706c65010124743133' +
      '643135313668325f3864616166363135323737315f653536323765666132616231010180ccfd930e010c0001c0843dc0843dc0843d01fb09000001',
    'hex',
  );
  expect(tlsReport('s', 'server', TlsState.decode(stored)!)).toMatchObject({
    connections: 1,
    versions: { '1.3': 1 },
    alpn: { h2: 1 },
    alpn_offered: {},
    server_names: { 'api.example': 1 },
    ja4: { t13d1516h2_8daaf6152771_e5627efa2ab1: 1 },
    certificate_not_after: '2030-03-17T17:46:40.000Z',
    handshake: { max: 1e6 },
  });
});

test('names and services are bounded, and nothing that is beyond goes uncounted', () => {
  const statistics = new TlsStatistics();
  const connections = 2 * TLS_SERVICES_MAX;
  for (let i = 0; i < connections; i++) statistics.observe(`s${i}`, 'server', facts({ sni: `host${i}` }));
  const rows = statistics.report();
  expect(rows.length).toBe(TLS_SERVICES_MAX + 1);
  expect(rows.reduce((sum, row) => sum + row.connections, 0)).toBe(connections);
  const [other] = rows;
  expect(other!.service).toBe('other');
  expect(Object.keys(other!.server_names).length).toBe(TLS_NAMES_MAX + 1);
  expect(Object.values(other!.server_names).reduce((sum, n) => sum + n, 0)).toBe(other!.connections);
  expect(TLS_NAMES.includes('ja4')).toBe(true);
});

test('what is told of a service', () => {
  const report = tlsReport(
    's',
    'server',
    state([
      facts({ version: '1.3', resumed: true, handshakeNs: 1e6, decrypted: true, certificateNotAfter: 2e9 }),
      facts({ version: '1.3', resumed: false, handshakeNs: 3e6, certificateNotAfter: 1.9e9, sni: 'Api.example' }),
      facts({ version: '1.2', alpnOffered: ['h2', 'http/1.1'] }),
    ]),
  );
  expect(report).toMatchObject({
    connections: 3,
    decrypted: 1,
    resumption: 0.5,
    versions: { '1.3': 2, '1.2': 1 },
    server_names: { 'api.example': 1 },
    alpn_offered: { 'h2,http/1.1': 1 },
    certificate_not_after: '2030-03-17T17:46:40.000Z',
    handshake: { max: 3e6, mean: 2e6 },
  });
});
