import { describe, expect, it } from 'vitest';
import type { WhyGroup } from '../../model/why.ts';
import { aboutConnections } from './connections.ts';

const refused: WhyGroup = {
  pid: 7,
  name: 'api',
  service: 'api.service',
  side: 'server',
  server_port: 8443,
  server_addresses: ['127.0.0.1'],
  guess: 'tls',
  open: 0,
  closed: 3,
  closed_s_ago: 1,
  joined: 0,
  decrypted: 0,
  unread: [],
  alerts: [
    { alert: 'unknown_ca', by: 'client', connections: 2 },
    { alert: 'protocol_version', by: 'unknown', connections: 1 },
  ],
  exchanges: 0,
  losses: [],
};
const about = (changes: Partial<WhyGroup>) => aboutConnections([{ ...refused, ...changes }], null, '');

describe('TLS connections that an alert ended', () => {
  it('says who refused them, and not that they were not read', () => {
    expect(about({})).toMatchObject([
      {
        id: 'alerts',
        verdict: 'seen',
        text: 'TLS: 3 connections ended with an alert: unknown_ca from the client (2), protocol_version (1). There is no call on those that were refused in the handshake.',
      },
    ]);
  });

  it('says of the others what became of them', () => {
    expect(about({ closed: 4 }).map(({ id }) => id)).toEqual(['tls', 'alerts']);
    const unread = [{ cause: 'no_secret', connections: 1 }] as const;
    expect(about({ unread }).map(({ id }) => id)).toEqual(['tls', 'alerts']);
    expect(about({ alerts: [] }).map(({ id }) => id)).toEqual(['tls']);
  });
});
