/** More handshakes than there is room or time for: every connection is read or counted with its cause, and memory stays bounded. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/model/status.ts';
import { LIVE_SECRET_LIMITS } from '../../src/tls/secrets.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

/** Of the pipeline in a storm: what its warming up takes, and a bounded backlog. */
const GROWTH_BYTES_MAX = 120e6;
/** Fewer are no storm. */
const STORM_MIN = 200;
const RING_FULL_CONNECTIONS = 1_600;

const residentBytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024;

/** Connections that are given up for unread. */
const unreadOf = ({ tls }: AgentStatus): number => tls.unread.reduce((sum, one) => sum + one.connections, 0);

/** One connection after the other for `seconds`, each with a call; how many. */
async function storm(server: Server, seconds: number): Promise<number> {
  const address = `127.0.0.1:${server.port}`;
  const out = await must(
    [findProgram('openssl')!, 's_time', '-connect', address, '-new', '-time', String(seconds), '-www', '/x?id=storm'],
    { timeoutMs: (seconds + 90) * 1000 },
  );
  return Number(/^(\d+) connections in \d+ real seconds/m.exec(out)![1]);
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'nginx',
)('storms of handshakes', () => {
  test('as many as this machine gives: each is read', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('storm');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const server = await nginxTls(home, cgroup, { workers: 2 });
    await agent.tapped(1);
    const pipeline = (await agent.status()).processes.find(({ role }) => role === 'pipeline')!.pid;
    const before = residentBytes(pipeline);
    let made = 0;
    let rounds = 0;
    for (; made <= STORM_MIN; rounds++) {
      const both = await Promise.all([storm(server, 3), storm(server, 3)]);
      made += both.reduce((a, b) => a + b);
    }
    const { tls } = await agent.untilStatus(`${made} connections`, (status) => status.tls.decrypted >= made);
    // A client's last connection may be cut off by the end of its time.
    const cutOff = 2 * rounds;
    expect(tls.connections).toBeGreaterThanOrEqual(made);
    expect(tls.connections).toBeLessThanOrEqual(made + cutOff);
    expect(tls.secrets).toMatchObject({ ring_full: 0, unreadable: 0, unusable: 0 });
    // Four for each connection, for as long as its other end may ask: nothing of the connections themselves.
    expect(tls.secrets.kept).toBeLessThanOrEqual(Math.min(LIVE_SECRET_LIMITS.secrets, 4 * (made + cutOff)));
    expect(residentBytes(pipeline) - before).toBeLessThan(GROWTH_BYTES_MAX);
    const { exchanges } = await agent.stop();
    expect(exchanges.filter((x) => x.outcome === 'complete').length).toBeGreaterThanOrEqual(made);
  });

  test('the ring of secrets overflows: counted, and its connections are unread for that cause', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('storm-full');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 64MiB\n' });
    const server = await nginxTls(home, cgroup, { workers: 2 });
    await agent.tapped(1);
    const { processes } = await agent.status();
    const pipeline = processes.find(({ role }) => role === 'pipeline')!.pid;
    let made = 0;
    // Nobody reads until the ring is full: 1 MiB, four secrets of 232 bytes for each connection.
    process.kill(pipeline, 'SIGSTOP');
    try {
      while (made < RING_FULL_CONNECTIONS) made += await storm(server, 2);
    } finally {
      process.kill(pipeline, 'SIGCONT');
    }
    // On a busy machine it takes a while to go through what has come meanwhile.
    const settled = await agent.untilStatus(
      `${made} connections read or given up`,
      (status) => status.ledger.exchanges + unreadOf(status) >= made,
    );
    const { tls, ledger } = settled;
    expect(tls.secrets.ring_full).toBeGreaterThan(0);
    const unread = unreadOf(settled);
    expect(unread).toBeGreaterThan(0);
    expect(tls.decrypted).toBeGreaterThan(0);
    expect(ledger.losses.find(({ reason }) => reason === 'tls_no_secret')!.count).toBeGreaterThanOrEqual(unread);
    // Nothing is lost in silence.
    expect(
      tls.unread.map(({ cause }) => cause).filter((cause) => cause !== 'no_secret' && cause !== 'partial_secret'),
    ).toEqual([]);
    // And it goes on as before.
    const more = await storm(server, 1);
    await agent.untilStatus('calls after it', (status) => status.ledger.exchanges >= ledger.exchanges + more);
    const { exchanges } = await agent.stop();
    expect(exchanges.length + unread).toBeGreaterThanOrEqual(made + more);
  });

  test('a client that is the first to run its library is read or counted; the next one is read', async () => {
    await using cgroup = new Cgroup('first');
    await using outside = new Cgroup('first-out');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    let read = 0;
    const rounds = 8;
    // All of them stay: each round has a library more.
    await using homes = new AsyncDisposableStack();
    for (let i = 0; i < rounds; i++) {
      const home = homes.use(await TlsHome.open());
      const server = await nginxTls(home, outside);
      const before = agent.exchanges().length;
      const script = home.folder.file('first.py');
      // Handshakes as soon as it can, then keeps its library in use.
      writeFileSync(
        script,
        `import ssl, socket, time
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection(("127.0.0.1", ${server.port})), server_hostname="localhost")
s.sendall(b"GET /x?id=first${i} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
while s.recv(4096): pass
print("done", flush=True)
time.sleep(300)
`,
      );
      const first = home.program([findProgram('python3')!, script], { cgroup });
      await first.until('its call', () => first.stdout.includes('done'));
      await agent.tapped(i + 1);
      const url = `https://localhost:${server.port}/x?id=second${i}`;
      await must([findProgram('curl')!, '-sk', '-o', '/dev/null', url], { cgroup, env: home.env });
      const seen = await agent.until((all) => all.some((x) => x.request.target === `/x?id=second${i}`));
      if (seen.slice(before).some((x) => x.request.target === `/x?id=first${i}`)) read++;
    }
    const settled = await agent.untilStatus('the others', (status) => read + unreadOf(status) >= rounds);
    expect(settled.tls.connections).toBe(2 * rounds);
    expect(read + unreadOf(settled)).toBe(rounds);
    console.info(`${read} of ${rounds} first connections of a new library were read`);
    await agent.stop();
  });
});
