import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressOfKey, keyOfAddress, parseTcpTable, TCP_LISTEN } from './proc-net.ts';

const HEADER = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

describe('parseTcpTable', () => {
  it('reads IPv4, mapped and IPv6 rows alike', () => {
    const rows = [
      ...parseTcpTable(`${HEADER}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 ffff8880 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 x
   2: B80D012000000000000000000100000000000000:0050 00000000000000000000000001000000:0051 01 0:0 0:0 0 0 0 1\n`),
    ];
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({ localPort: 8080, state: TCP_LISTEN, inode: 4711, uid: 0 });
    expect(addressOfKey(rows[0]!.local)).toBe('127.0.0.1');
    expect(addressOfKey(rows[1]!.local)).toBe('127.0.0.1');
    expect(rows[1]).toMatchObject({ local: rows[0]!.local, remotePort: 50000, inode: 4712, uid: 1000 });
  });

  it('takes any text', () => {
    fc.assert(fc.property(fc.string(), (text) => [...parseTcpTable(text)].length <= text.length));
  });
});

describe('addresses', () => {
  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['fe80::', 'fe80::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s', (text, canonical) => expect(addressOfKey(keyOfAddress(text)!)).toBe(canonical));

  it.each(['', 'x', '1.2.3', '1.2.3.4.5', ':::', 'fe80::1%eth0', '../etc'])('%j is none', (text) =>
    expect(keyOfAddress(text)).toBeNull(),
  );

  it('round-trips every IPv6 address', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const key = keyOfAddress(text)!;
        expect(key).toMatch(/^[0-9a-f]{32}$/);
        expect(keyOfAddress(addressOfKey(key))).toBe(key);
      }),
    );
  });
});
