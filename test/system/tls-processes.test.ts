/** Which processes are read, and from when on: older than the agent, started later, moved in, replaced libraries, outsiders. */
import { copyFileSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/model/status.ts';
import { Agent, askedId, field, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, missing, when } from '../rig/need.ts';
import { must, type Program, run } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { haproxyTls, nginxTls, nodeTls, PEERS, TlsHome } from '../rig/tls/servers.ts';

const sides = (exchanges: readonly LoggedExchange[], id: string): string[] =>
  exchanges
    .filter((x) => askedId(x) === id && x.outcome === 'complete' && x.response?.status === 200)
    .map((x) => x.side)
    .sort();

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'curl',
  'nginx',
)('processes and their libraries', () => {
  let home: TlsHome;
  let inside: Cgroup;
  let outside: Cgroup;

  beforeEach(async () => {
    home = await TlsHome.open();
    inside = new Cgroup('tls-in');
    outside = new Cgroup('tls-out');
  });
  afterEach(async () => {
    await home[Symbol.asyncDispose]();
    await inside[Symbol.asyncDispose]();
    await outside[Symbol.asyncDispose]();
  });

  const call = (server: Server, id: string, cgroup: Cgroup, more: readonly string[] = []): Promise<string> =>
    must([findProgram('curl')!, '-sk', '-o', '/dev/null', ...more, `https://localhost:${server.port}/x?id=${id}`], {
      cgroup,
      env: home.env,
    });

  /** A client that keeps one connection open and makes a call on it whenever it is told an id. */
  async function patient(server: Server, cgroup: Cgroup): Promise<{ ask: (id: string) => Promise<void> }> {
    const script = home.folder.file('patient.py');
    writeFileSync(
      script,
      `import http.client, ssl, sys
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
connection = http.client.HTTPSConnection("localhost", ${server.port}, context=context)
print("ready", flush=True)
for line in sys.stdin:
    connection.request("GET", "/x?id=" + line.strip())
    answer = connection.getresponse()
    answer.read()
    print(answer.status, answer.getheader("x-id"), flush=True)
`,
    );
    const program: Program = home.program([findProgram('python3')!, script], { cgroup });
    await program.until('it to be ready', () => program.stdout.startsWith('ready\n'));
    return {
      ask: async (id) => {
        program.stdin.write(`${id}\n`);
        await program.until(`the answer to ${id}`, () => program.stdout.includes(`200 ${id}\n`));
      },
    };
  }

  test('a connection older than the agent is counted as such, the next one of the same processes is read', async () => {
    const server = await nginxTls(home, inside);
    const old = await patient(server, inside);
    await old.ask('before');
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    await agent.tapped(1);
    await old.ask('unread');
    await call(server, 'after', inside);
    await agent.until((seen) => sides(seen, 'after').length === 2);
    const { tls } = JSON.parse((await agent.get('/v1/status')).body) as AgentStatus;
    expect(tls.unread).toMatchObject([{ cause: 'handshake_unseen', connections: 2 }]);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map(askedId)).toEqual(['after', 'after']);
    expect(summary.losses.map(({ reason }) => reason)).toEqual(['tls_no_secret']);
  });

  test('a program that starts after the agent, on a library that nobody ran before', async () => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const server = await nginxTls(home, inside);
    await agent.tapped(1);
    await call(server, 'new', inside);
    await agent.until((seen) => sides(seen, 'new').length === 2);
    const { summary } = await agent.stop();
    expect(summary.losses).toEqual([]);
  });

  when(test, 'go')('a program linked at fixed addresses whose path does not lead to it any more', async () => {
    const program = home.folder.file('peer');
    copyFileSync(await home.go(), program);
    const server = await home.serve('go', (port) => [program, 'serve', port], inside);
    rmSync(program);
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    await agent.tapped(1);
    await call(server, 'gone', outside);
    await agent.until((seen) => sides(seen, 'gone').length === 1);
    const { summary } = await agent.stop();
    expect(summary.losses).toEqual([]);
  });

  test('a process that is moved into an observed cgroup later', async () => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const server = await nginxTls(home, outside);
    // Its sockets belong to the cgroup in which they were made, so it makes one after the move.
    const client = await patient(server, outside);
    for (const pid of outside.pids()) writeFileSync(`${inside.path}/cgroup.procs`, String(pid));
    // The attacher looks at all processes of its cgroups now and then.
    await agent.tapped(1);
    await client.ask('moved');
    await agent.until((seen) => sides(seen, 'moved').length === 1);
    const { exchanges } = await agent.stop();
    expect(exchanges.map((x) => [askedId(x), x.side])).toEqual([['moved', 'client']]);
  });

  test('who is outside is not read, whatever library it shares', async () => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const server = await nginxTls(home, inside);
    const other = await nginxTls(home, outside);
    await agent.tapped(1);
    await call(other, 'outsiders', outside);
    await call(server, 'served', outside);
    // The client is read, the server is not.
    await call(other, 'asked', inside);
    await agent.until((seen) => sides(seen, 'asked').length === 1 && sides(seen, 'served').length === 1);
    const { exchanges } = await agent.stop();
    expect(exchanges.map((x) => [askedId(x), x.side]).sort()).toEqual([
      ['asked', 'client'],
      ['served', 'server'],
    ]);
  });

  test('a library that was deleted, and one that was put in its place', async () => {
    const library = `${home.env.LD_LIBRARY_PATH}/libcrypto.so.3`;
    const old = await nginxTls(home, inside);
    copyFileSync(library, `${library}.new`);
    rmSync(library);
    // The agent comes when no path leads to the file that nginx runs.
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    renameSync(`${library}.new`, library);
    const young = await nginxTls(home, inside);
    await agent.tapped(2);
    await call(old, 'deleted', outside);
    await call(young, 'replaced', outside);
    await agent.until((seen) => sides(seen, 'deleted').length === 1 && sides(seen, 'replaced').length === 1);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map(askedId).sort()).toEqual(['deleted', 'replaced']);
    expect(summary.losses).toEqual([]);
  });

  test('a library that only a container sees', async () => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    // Of its own processes and mounts: at this path everybody else has another file.
    const contain = 'cp -r "$0" "$0.copy"; mount -t tmpfs none "$0" && cp "$0.copy"/* "$0" && exec "$@"';
    const command = ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', contain];
    const server = await home.serve(
      'contained',
      (port) => [...command, home.env.LD_LIBRARY_PATH, findProgram('python3')!, `${PEERS}/server.py`, port],
      inside,
    );
    await agent.tapped(1);
    await call(server, 'contained', outside);
    await agent.until((seen) => sides(seen, 'contained').length === 1);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map((x) => [askedId(x), x.side])).toEqual([['contained', 'server']]);
    expect(summary.losses).toEqual([]);
  });

  const statically = ['ssl', 'crypto'].every((name) => existsSync(`/usr/lib/x86_64-linux-gnu/lib${name}.a`));
  if (!statically) console.warn('SKIPPED: needs OpenSSL to link with: apt-get install libssl-dev, on x86-64');

  test.skipIf(!statically).each([
    ['that only the table of symbols names', '-pie', false],
    ['without symbols', '-pie', true],
    ['without symbols, at fixed addresses', '-no-pie', true],
  ])('OpenSSL linked in, %s', async (_, form, stripped) => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const server = await nginxTls(home, outside);
    const program = home.folder.file('linked');
    writeFileSync(
      home.folder.file('linked.c'),
      `#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
int main(void) {
  char line[64], text[256], answer[4096];
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  while (fgets(line, sizeof line, stdin)) {
    SSL_CTX_set_max_proto_version(context, strncmp(line, "tls12", 5) == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    BIO *bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, "127.0.0.1:${server.port}");
    snprintf(text, sizeof text, "GET /x?id=%s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n", strtok(line, "\\n"));
    if (BIO_puts(bio, text) <= 0) return 1;
    while (BIO_read(bio, answer, sizeof answer) > 0) ;
    BIO_free_all(bio);
    printf("%s\\n", line);
    fflush(stdout);
  }
}
`,
    );
    const linked = ['-Wl,-Bstatic', '-lssl', '-lcrypto', '-Wl,-Bdynamic', '-ldl', '-lpthread'];
    const link = ['clang', form, ...(stripped ? ['-s'] : []), '-o', program, home.folder.file('linked.c'), ...linked];
    await must(link, { timeoutMs: 60_000 });
    const client = home.program([program], { cgroup: inside });
    await agent.tapped(1);
    for (const id of ['tls13', 'tls12']) {
      client.stdin.write(`${id}\n`);
      await client.until('the answer', () => client.stdout.includes(`${id}\n`));
    }
    await agent.until((seen) => seen.length === 2);
    const { exchanges, summary } = await agent.stop();
    const version = (x: LoggedExchange): string => (x as unknown as { tls: { version: string } }).tls.version;
    expect(exchanges.map((x) => [askedId(x), x.side, version(x)])).toEqual([
      ['tls13', 'client', '1.3'],
      ['tls12', 'client', '1.2'],
    ]);
    expect(summary.losses).toEqual([]);
  });

  test('who refused a handshake, and why: by the client under its keys, by the server in clear', async () => {
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const server = await nginxTls(home, inside);
    await agent.tapped(1);
    const url = `https://localhost:${server.port}/`;
    const { code } = await run([findProgram('curl')!, '-s', url], { cgroup: outside, env: home.env });
    // CURLE_PEER_FAILED_VERIFICATION
    expect(code).toBe(60);
    // nginx takes TLS 1.2 and 1.3.
    const old = ['s_client', '-connect', `localhost:${server.port}`, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'];
    await run([findProgram('openssl')!, ...old], { cgroup: outside, env: home.env });
    const refused = (status: AgentStatus): string[] =>
      status.tls.alerts.map(({ alert, by, connections }) => `${alert} ${by} ${connections}`).sort();
    const status = await agent.untilStatus('both refusals', (now) => refused(now).length === 2);
    expect(refused(status)).toEqual(['protocol_version server 1', 'unknown_ca client 1']);
    const { exchanges, summary } = await agent.stop();
    expect([exchanges, summary.losses]).toEqual([[], []]);
  });

  test('several versions of a library at once', async () => {
    // OpenSSL of the system and the one inside Node.
    await using agent = await Agent.start({ cgroups: [inside], secrets: true });
    const nginx = await nginxTls(home, inside);
    const node = await nodeTls(home, inside);
    await agent.tapped(2);
    await call(nginx, 'nginx', outside);
    await call(node, 'node', outside);
    await agent.until((seen) => sides(seen, 'nginx').length === 1 && sides(seen, 'node').length === 1);
    const { summary } = await agent.stop();
    expect(summary.losses).toEqual([]);
  });

  const PROXIES = {
    // Whether the leg to the origin is HTTP/2.
    nginx: { start: nginxTls, upstream: 'http/1.1', needs: null },
    haproxy: { start: haproxyTls, upstream: 'h2', needs: missing('haproxy') },
  } as const;

  test.each(Object.entries(PROXIES))(
    '%s ends TLS and begins it anew: both legs, each on both sides',
    async (_, { start, upstream, needs }) => {
      if (needs !== null) return console.warn(`SKIPPED: ${needs}`);
      await using agent = await Agent.start({ cgroups: [inside], secrets: true });
      const origin = await nginxTls(home, inside);
      const proxy = await start(home, inside, { upstream: origin.port });
      await agent.tapped(1);
      const ids = ['one', 'two', 'three'];
      for (const id of ids)
        await call(proxy, id, inside, id === 'three' ? ['--http1.1', '--tls-max', '1.2'] : ['--http2']);
      await agent.until((seen) => ids.every((id) => sides(seen, id).length === 4));
      const { exchanges, summary } = await agent.stop();
      expect(summary.losses).toEqual([]);
      expect(exchanges.length).toBe(4 * ids.length);
      for (const id of ids) {
        const legs = exchanges.filter((x) => askedId(x) === id);
        const outer = id === 'three' ? 'http/1.1' : 'h2';
        expect(legs.map((x) => [x.server.port, x.side, x.protocol]).sort()).toEqual(
          [
            [proxy.port, 'client', outer],
            [proxy.port, 'server', outer],
            [origin.port, 'client', upstream],
            [origin.port, 'server', upstream],
          ].sort(),
        );
        for (const leg of legs) expect(field(leg.response, 'x-id')).toBe(id);
      }
    },
  );
});
