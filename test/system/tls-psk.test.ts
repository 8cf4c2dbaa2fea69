/** Handshakes by a key that both ends were given, without any certificate, live: every call on both sides, with and without a key exchange. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent, askedId, type Stopped } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';
import { TlsHome } from '../rig/tls/servers.ts';

const KEY = '000102030405060708090a0b0c0d0e0f';
/** What s_client prints when the handshake is over. */
const HANDSHAKE_OVER = /Verify return code[\s\S]*---\n/;

/** Options of both ends, of the client, and the suite by IANA's name. */
const CASES = {
  'ext-13': [['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'], [], 'TLS_AES_128_GCM_SHA256'],
  'ext-13-chacha': [['-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256'], [], 'TLS_CHACHA20_POLY1305_SHA256'],
  // The server asks for another group than the client's first.
  'ext-13-retry': [
    ['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'],
    ['-groups', 'X25519:P-256'],
    'TLS_AES_128_GCM_SHA256',
  ],
  'plain-12': [['-tls1_2', '-cipher', 'PSK-AES128-GCM-SHA256'], [], 'TLS_PSK_WITH_AES_128_GCM_SHA256'],
  'plain-12-ccm': [['-tls1_2', '-cipher', 'PSK-AES256-CCM8'], [], 'TLS_PSK_WITH_AES_256_CCM_8'],
  'dhe-12': [['-tls1_2', '-cipher', 'DHE-PSK-AES256-GCM-SHA384'], [], 'TLS_DHE_PSK_WITH_AES_256_GCM_SHA384'],
  'ecdhe-12': [
    ['-tls1_2', '-cipher', 'ECDHE-PSK-CHACHA20-POLY1305'],
    [],
    'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
  ],
  'ecdhe-12-cbc': [['-tls1_2', '-cipher', 'ECDHE-PSK-AES128-CBC-SHA256'], [], 'TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256'],
} as const;

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
)('pre-shared keys', () => {
  let home: TlsHome;
  let cgroup: Cgroup;
  let live: Stopped;
  const said = new Map<string, string>();

  beforeAll(async () => {
    home = await TlsHome.open();
    cgroup = new Cgroup('psk');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const openssl = findProgram('openssl')!;
    for (const [id, [both, client]] of Object.entries(CASES)) {
      const groups = id === 'ext-13-retry' ? ['-groups', 'P-256'] : [];
      const server = await home.serve(
        id,
        (port) => [
          openssl,
          's_server',
          '-accept',
          `127.0.0.1:${port}`,
          '-nocert',
          '-psk',
          KEY,
          '-www',
          ...both,
          ...groups,
        ],
        cgroup,
      );
      await agent.tapped(1);
      await using program = new Program(
        [openssl, 's_client', '-connect', `127.0.0.1:${server.port}`, '-psk', KEY, '-msg', ...both, ...client],
        { cgroup, env: home.env, cwd: home.folder.path },
      );
      await program.until('the handshake', () => HANDSHAKE_OVER.test(program.stdout + program.stderr));
      program.stdin.write(`GET /x?id=${id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      const { stdout, stderr } = await program.wait(90_000);
      said.set(id, `${stdout}\n${stderr}`);
    }
    await agent.until((seen) => seen.length >= 2 * said.size).catch(() => {});
    live = await agent.stop();
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
    await cgroup[Symbol.asyncDispose]();
  });

  test('the peers did what they were to do', () => {
    for (const [id, text] of said) {
      expect(text, id).toMatch(/ 200 ok/i);
      expect(text, id).not.toMatch(/, Certificate\n/);
    }
    const hellos = said.get('ext-13-retry')!.match(/>>> TLS 1\.\d, Handshake \[length \w+\], ClientHello/g);
    expect(hellos).toHaveLength(2);
  });

  test('every call is in the log on both sides, whole', () => {
    expect(live.exchanges.map((x) => `${askedId(x)} ${x.side}`).sort()).toEqual(
      Object.keys(CASES)
        .flatMap((id) => [`${id} client`, `${id} server`])
        .sort(),
    );
    for (const x of live.exchanges) {
      const cipher = CASES[askedId(x) as keyof typeof CASES][2];
      expect(x, askedId(x)).toMatchObject({
        outcome: 'complete',
        losses: [],
        tls: { cipher },
        response: { status: 200 },
      });
    }
    expect(live.summary.losses).toEqual([]);
  });
});
