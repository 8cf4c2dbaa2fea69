/**
 * Handshakes out of the ordinary, live, on real peers: what each does is told by the peers themselves, and each call is in the log on
 * both sides, whole. Then replay says the same with the peers' key log, and with one that has only the first session's secret.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/model/status.ts';
import { Agent, askedId, type LoggedExchange, type Stopped } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';
import { Recording } from '../rig/recording.ts';
import type { Server } from '../rig/servers/server.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

/** What s_client prints then. */
const HANDSHAKE_OVER = /Verif(?:y return code|ication error)[\s\S]*---\n/;
const answered = (id: string): RegExp => new RegExp(`x-id: ${id}\\r?\\n`);

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'nginx',
  'tcpdump',
)('handshakes', () => {
  let home: TlsHome;
  let cgroup: Cgroup;
  let agent: Agent;
  let live: Stopped;
  let status: AgentStatus;
  let keys: string;
  let offline: readonly LoggedExchange[];
  /** With the secrets of full handshakes alone. */
  let offlineFull: readonly LoggedExchange[];
  const said = new Map<string, string>();
  const asked = new Map<string, string>();

  const get = (id: string, close = true): string =>
    `GET /x?id=${id} HTTP/1.1\r\nHost: localhost\r\n${close ? 'Connection: close\r\n' : ''}\r\n`;

  /**
   * One connection of s_client. Each line is sent when what is before it in the list was seen: s_client takes a line for a command
   * only when it comes alone. Returns what it printed.
   */
  async function client(
    server: Server,
    version: string,
    more: readonly string[],
    dialogue: readonly (string | RegExp)[],
  ): Promise<string> {
    const at = ['-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', `-tls${version.replace('.', '_')}`];
    await using program = new Program([findProgram('openssl')!, 's_client', ...at, '-keylogfile', keys, ...more], {
      cgroup,
      env: home.env,
      cwd: home.folder.path,
    });
    for (const part of dialogue) {
      if (typeof part === 'string') program.stdin.write(part);
      else await program.until(String(part), () => part.test(program.stdout + program.stderr));
    }
    const { stdout, stderr } = await program.wait(90_000);
    return `${stdout}\n${stderr}`;
  }

  /** A call whose id is that of the case. */
  async function call(id: string, server: Server, version: string, more: readonly string[] = []): Promise<void> {
    asked.set(id, version);
    said.set(id, await client(server, version, more, [HANDSHAKE_OVER, get(id)]));
  }

  beforeAll(async () => {
    home = await TlsHome.open();
    cgroup = new Cgroup('handshakes');
    keys = home.folder.file('keys');
    agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const [plain, early, demanding, other, ccm, unbound] = await Promise.all([
      nginxTls(home, cgroup),
      nginxTls(home, cgroup, { directives: 'ssl_early_data on; ssl_session_tickets on;' }),
      nginxTls(home, cgroup, { directives: 'ssl_verify_client optional_no_ca;' }),
      nginxTls(home, cgroup, { directives: 'ssl_ecdh_curve secp384r1;' }),
      nginxTls(home, cgroup, {
        directives: 'ssl_conf_command Ciphersuites TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256;',
      }),
      nginxTls(home, cgroup, { directives: 'ssl_conf_command Options -ExtendedMasterSecret;' }),
    ]);
    const renegotiating = await home.serve(
      's_server',
      (port) => [
        findProgram('openssl')!,
        ...[
          's_server',
          '-accept',
          `127.0.0.1:${port}`,
          '-cert',
          'cert.pem',
          '-key',
          'key.pem',
          '-www',
          '-client_renegotiation',
        ],
      ],
      cgroup,
    );
    const ports = [plain, early, demanding, other, ccm, unbound, renegotiating].map((server) => server!.port);
    await using recording = await Recording.start(home.folder.file('traffic.pcap'), ports);
    await agent.tapped(1);

    await call('retry', other!, '1.3', ['-groups', 'P-256:P-384', '-msg']);
    await call('certificate12', demanding!, '1.2', ['-cert', 'cert.pem', '-key', 'key.pem']);
    await call('certificate13', demanding!, '1.3', ['-cert', 'cert.pem', '-key', 'key.pem']);
    // RFC 7627: without it the master secret does not depend on the handshake's messages.
    await call('unbound', unbound!, '1.2');
    await call('ccm', ccm!, '1.3', ['-ciphersuites', 'TLS_AES_128_CCM_SHA256']);
    await call('ccm8', ccm!, '1.3', ['-ciphersuites', 'TLS_AES_128_CCM_8_SHA256']);
    await call('chacha', plain!, '1.3', ['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256']);

    for (const [name, more] of [
      ['ticket', []],
      ['session', ['-no_ticket']],
    ] as const) {
      await call(`${name}12`, plain!, '1.2', [...more, '-sess_out', `${name}.12`]);
      for (const n of [1, 2]) await call(`${name}12-again${n}`, plain!, '1.2', [...more, '-sess_in', `${name}.12`]);
    }
    await call('psk', plain!, '1.3', ['-sess_out', 'psk.13']);
    await call('psk-again', plain!, '1.3', ['-sess_in', 'psk.13']);

    await call('early-first', early!, '1.3', ['-sess_out', 'early.13']);
    writeFileSync(home.folder.file('early.txt'), get('early'));
    asked.set('early', '1.3');
    said.set('early', await client(early!, '1.3', ['-sess_in', 'early.13', '-early_data', 'early.txt'], []));
    // The server behind this port never said that it takes early data: its keys differ, so it does not take the ticket either.
    writeFileSync(home.folder.file('refused.txt'), get('refused-early'));
    asked.set('refused', '1.3');
    said.set(
      'refused',
      await client(
        plain!,
        '1.3',
        ['-sess_in', 'early.13', '-early_data', 'refused.txt'],
        [HANDSHAKE_OVER, get('refused')],
      ),
    );

    for (const letter of ['k', 'K']) {
      asked.set(`update-${letter}1`, '1.3').set(`update-${letter}2`, '1.3');
      const [one, two] = [`update-${letter}1`, `update-${letter}2`];
      const dialogue = [HANDSHAKE_OVER, get(one, false), answered(one), `${letter}\n`, /KEYUPDATE/, get(two)];
      said.set(`update-${letter}`, await client(plain!, '1.3', ['-msg'], dialogue));
    }
    asked.set('renegotiated', '1.2');
    const dialogue = [HANDSHAKE_OVER, 'R\n', /RENEGOTIATING[\s\S]*verify return/, get('renegotiated')];
    said.set('renegotiated', await client(renegotiating, '1.2', ['-legacy_renegotiation'], dialogue));

    await agent.until((seen) => seen.length >= 2 * asked.size).catch(() => {});
    status = JSON.parse((await agent.get('/v1/status')).body) as AgentStatus;
    live = await agent.stop();
    await recording.stop();
    offline = (await recording.replayed({ keylog: keys })).exchanges;
    // A session that is resumed has the master secret of its first connection.
    const firstOf = new Map(
      readFileSync(keys, 'latin1')
        .split('\n')
        .filter((line) => line.startsWith('CLIENT_') || line.startsWith('SERVER_'))
        .reverse()
        .map((line) => [line.startsWith('CLIENT_RANDOM') ? line.split(' ')[2] : line, line]),
    );
    const fullKeys = home.folder.write('full-keys', [...firstOf.values()].join('\n'));
    offlineFull = (await recording.replayed({ keylog: fullKeys })).exchanges;
  });
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
    await cgroup[Symbol.asyncDispose]();
  });

  test('the peers did what they were to do', () => {
    expect(said.get('retry')!.match(/<<< TLS 1\.3, Handshake \[length \w+\], ServerHello/g)).toHaveLength(2);
    const does = (id: string, what: RegExp): void => {
      if (!what.test(said.get(id)!)) throw new Error(`${id} did not: ${what}`);
    };
    for (const id of ['certificate12', 'certificate13']) does(id, /Requested Signature Algorithms/);
    does('unbound', /Extended master secret: no/);
    does('certificate12', /Extended master secret: yes/);
    for (const id of ['ccm', 'ccm8', 'chacha']) does(id, /Cipher is TLS_(AES_128_CCM|CHACHA20)/);
    for (const id of ['ticket12-again2', 'session12-again2', 'psk-again']) does(id, /Reused, TLSv1\./);
    does('ticket12', /TLS session ticket:/);
    expect(said.get('session12')!.includes('TLS session ticket:')).toBe(false);
    does('early', /Early data was accepted/);
    does('refused', /Early data was rejected/);
    does('update-k', />>> TLS 1\.3, Handshake \[length 0005\], KeyUpdate/);
    does('update-K', /<<< TLS 1\.3, Handshake \[length 0005\], KeyUpdate/);
    does('renegotiated', /RENEGOTIATING/);
    for (const id of said.keys()) does(id, / 200 ok/i);
  });

  test('every call is in the log on both sides, whole', () => {
    const sides = [...asked.keys()].flatMap((id) => [`${id} client`, `${id} server`]).sort();
    expect(live.exchanges.map((x) => `${askedId(x)} ${x.side}`).sort()).toEqual(sides);
    for (const x of live.exchanges) {
      expect(x, askedId(x)).toMatchObject({
        outcome: 'complete',
        losses: [],
        tls: { version: asked.get(askedId(x)), sni: 'localhost' },
      });
      expect(x.response?.status).toBe(200);
    }
    expect(live.summary.losses).toEqual([]);
    expect(status.tls.unread).toEqual([]);
    // On both sides: two by ticket, two by session id, by PSK, with early data, and with early data refused its ticket too.
    expect(status.tls.resumed).toBe(2 * 6);
  });

  test('replay says the same', () => {
    expect(offline.map(askedId).sort()).toEqual([...asked.keys()].sort());
    expect(offline.filter((x) => x.outcome !== 'complete' || x.losses.length > 0).map(askedId)).toEqual([]);
  });

  test('TLS 1.2 sessions are resumed in replay by what is known of their first connection', () => {
    const named = (name: string): number => readFileSync(name, 'latin1').match(/^CLIENT_RANDOM/gm)!.length;
    expect(named(keys) - named(home.folder.file('full-keys'))).toBe(4);
    const told = ({ id: _id, connection: _connection, ...rest }: LoggedExchange): object => rest;
    expect(offlineFull.map(told)).toEqual(offline.map(told));
  });
});
