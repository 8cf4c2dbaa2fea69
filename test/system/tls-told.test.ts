/** What is told of TLS: why, status, /metrics; and what is told nowhere: the secrets. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/model/status.ts';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';
import { goTls, javaTls, nginxTls, TlsHome } from '../rig/tls/servers.ts';

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'curl',
  'nginx',
  'go',
  'java',
)('what is told', () => {
  test('why, status and metrics say what is read and what not; no secret is anywhere', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('told');
    await using outside = new Cgroup('told-out');
    const port = await freePort();
    const data = home.folder.file('data');
    await using agent = await Agent.start({
      cgroups: [cgroup],
      secrets: true,
      data,
      args: ['--listen', `127.0.0.1:${port}`],
    });
    await using tail = new Program([HEADWATER, 'tail', '--json', '--socket', agent.socket]);
    await agent.untilStatus('a viewer', (status) => status.tail.viewers === 1);
    const nginx = await nginxTls(home, cgroup);
    const go = await goTls(home, cgroup, '-ldflags=-s -w');
    const java = await javaTls(home, cgroup);
    // libcrypto and the Go program.
    await agent.tapped(2);
    const keys = home.folder.file('keys');
    const curl = async (to: number, id: string, ...more: string[]): Promise<void> => {
      const url = `https://localhost:${to}/x?id=${id}`;
      // The client is outside, so that the server's secrets are what counts.
      await must([findProgram('curl')!, '-sk', '-o', '/dev/null', ...more, url], {
        cgroup: outside,
        env: { ...home.env, SSLKEYLOGFILE: keys },
      });
    };
    await curl(nginx.port, 'a', '--http1.1');
    await curl(nginx.port, 'b', '--tls-max', '1.2');
    await curl(go.port, 'c');
    await curl(java.port, 'd');
    await agent.until((seen) => seen.length >= 3);
    // Java's connection waits for a secret for two seconds.
    await agent.untilStatus('the connection without a secret', (status) => status.tls.unread.length > 0);

    const why = async (target: string): Promise<string> =>
      (await run([HEADWATER, 'why', target, '--socket', agent.socket])).stdout.replaceAll(/\s+/g, ' ');
    const openssl = (await must([findProgram('openssl')!, 'version'], { env: home.env })).split(' ')[1]!;
    expect(await why(`port:${nginx.port}`)).toContain(
      `runs OpenSSL ${openssl} (${home.env.LD_LIBRARY_PATH}/libcrypto.so.3): its secrets are taken`,
    );
    expect(await why(`pid:${go.program.pid}`)).toMatch(
      /runs Go crypto\/tls \(go1\.\d+[\d.]*\) \(\S+\): its secrets are taken/,
    );
    expect(await why(`https://localhost:${java.port}/`)).toMatch(
      /runs Java \(JSSE\) \(\S+libjvm\.so\), whose secrets are not taken: Java derives its secrets in compiled Java code\./,
    );

    const { tls } = JSON.parse((await agent.get('/v1/status')).body) as AgentStatus;
    expect(tls).toMatchObject({ taps_absent: '', connections: 4, decrypted: 3, resumed: 0 });
    expect(tls.unread).toMatchObject([{ cause: 'no_secret', connections: 1 }]);
    expect(tls.suites.reduce((sum, one) => sum + one.connections, 0)).toBe(4);
    expect(tls.suites.filter(({ version }) => version === '1.2')).toMatchObject([{ connections: 1, decrypted: 1 }]);
    expect(tls.secrets).toMatchObject({ ring_full: 0, unreadable: 0, unusable: 0 });
    // Of the connection that is not read, all that is said in clear.
    const report = (await run([HEADWATER, 'report', '--json', '--socket', agent.socket])).stdout;
    const { tls: services } = JSON.parse(report) as {
      tls: { decrypted: number; handshake: { max: number }; ja4: object; alpn_offered: object }[];
    };
    const closed = services.filter(({ decrypted }) => decrypted === 0);
    expect(closed).toMatchObject([
      { side: 'server', connections: 1, versions: { '1.3': 1 }, server_names: { localhost: 1 }, resumption: 0 },
    ]);
    const { cipher } = tls.suites.find(({ connections, decrypted }) => decrypted < connections)!;
    expect(closed).toMatchObject([{ ciphers: { [cipher]: 1 } }]);
    expect(Object.keys(closed[0]!.ja4)).toEqual([expect.stringMatching(/^t13d\d{4}h2_/)]);
    expect(closed).toMatchObject([{ alpn_offered: { 'h2,http/1.1': 1 } }]);
    expect(closed[0]!.handshake.max).toBeGreaterThan(0);
    expect(tls.unread[0]!.bytes).toBeGreaterThan(0);
    const text = (await run([HEADWATER, 'status', '--socket', agent.socket])).stdout;
    expect(text).toContain('3 of 4 connections read');
    expect(text).toContain('not read: no_secret');
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toMatch(/^headwater_tls_decrypted_connections_total 3$/m);
    expect(metrics).toMatch(/^headwater_tls_unread_connections_total\{cause="no_secret"\} 1$/m);

    const status = (await agent.get('/v1/status')).body;
    const groups = (await agent.get(`/v1/why?pid=${nginx.program.pid}`)).body;
    for (const { pid } of (JSON.parse(status) as AgentStatus).processes)
      expect(readFileSync(`/proc/${pid}/limits`, 'latin1')).toMatch(/^Max core file size +0 +0 /m);
    await tail.stop('SIGINT');
    const { ended } = await agent.stop();

    const secrets = readFileSync(keys, 'latin1')
      .split('\n')
      .flatMap((line) => line.split(' ')[2] ?? []);
    // TLS 1.3: four of traffic and the exporter's; one of TLS 1.2.
    expect(secrets.length).toBeGreaterThanOrEqual(13);
    const kept = files(data)
      .concat(agent.log)
      .filter((path) => existsSync(path));
    expect(kept.length).toBeGreaterThan(1);
    const told = [
      ...kept.map((path) => [path, readFileSync(path)] as const),
      ...Object.entries({
        status,
        groups,
        metrics,
        text,
        tail: tail.stdout,
        stderr: ended.stderr,
        stdout: ended.stdout,
      }).map(([name, what]) => [name, Buffer.from(what)] as const),
    ];
    expect(tail.stdout).toContain('/x?id=a');
    for (const secret of secrets) {
      const bytes = Buffer.from(secret, 'hex');
      // A part is as bad as the whole.
      const parts = [bytes.subarray(0, 12), bytes.subarray(-12)];
      const forms = parts.flatMap((part) => [
        part,
        Buffer.from(part.toString('hex')),
        Buffer.from(part.toString('hex').toUpperCase()),
        Buffer.from(part.toString('base64')),
      ]);
      for (const [name, what] of told)
        expect(
          forms.some((form) => what.includes(form)),
          `a secret in ${name}`,
        ).toBe(false);
    }
  });

  test('switched off: nothing is tapped, and every answer says so', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('told-off');
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const nginx = await nginxTls(home, cgroup);
    await must([findProgram('curl')!, '-sk', '-o', '/dev/null', `https://localhost:${nginx.port}/x?id=off`], {
      cgroup,
      env: home.env,
    });
    const { tls } = await agent.untilStatus('its two connections', (status) => status.tls.connections >= 2);
    expect(tls).toMatchObject({
      taps_absent: 'switched off (tls.secrets)',
      connections: 2,
      decrypted: 0,
      tap_calls: 0,
    });
    const why = await run([HEADWATER, 'why', `https://localhost:${nginx.port}/`, '--socket', agent.socket]);
    expect(why.stdout.replaceAll(/\s+/g, ' ')).toContain('TLS is not read at all: switched off (tls.secrets).');
    const { exchanges, summary } = await agent.stop();
    expect(exchanges).toEqual([]);
    expect(summary.losses.map(({ reason }) => reason)).toEqual(['tls_no_secret']);
  });
});

const files = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
