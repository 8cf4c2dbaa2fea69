/**
 * TLS beyond what can be read: the kernel leaves out whole calls and counts them, so that what the server answered is what was read
 * and what was lost, to the last call.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Workload } from '../../bench/workload.ts';
import type { AgentStatus } from '../../src/model/status.ts';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';
import { expectConserved, pidOf } from './live/truth.ts';

/** wrk closes its connections with a call on its way: nginx logs it, or not, after what was seen of it. */
const SLACK = 16;
/** Some calls are read before the first pause of the reader, and behind each. */
const CALLS_READ = 500;
/** Answered while nobody reads: several times what the ring holds. */
const CALLS_UNREAD = 1_500;
const NEWLINE = 10;

interface Overload {
  /** What the server has answered, by its own log. */
  readonly answered: number;
  readonly exchanges: readonly LoggedExchange[];
  readonly status: AgentStatus;
}

/** Whole lines of a file that grows. */
class Lines {
  readonly #path: string;
  #at = 0;
  #count = 0;

  constructor(path: string) {
    this.#path = path;
  }

  count(): number {
    if (!existsSync(this.#path)) return 0;
    const fd = openSync(this.#path, 'r');
    const piece = Buffer.alloc(1 << 20);
    for (let length = readSync(fd, piece, 0, piece.length, this.#at); length > 0; ) {
      for (const byte of piece.subarray(0, length)) if (byte === NEWLINE) this.#count++;
      this.#at += length;
      length = readSync(fd, piece, 0, piece.length, this.#at);
    }
    closeSync(fd);
    return this.#count;
  }
}

/** nginx with TLS at saturation and a small ring, which nobody reads in some `pauses`, each until the server has answered so many calls. */
async function overload(pauses: number, unread: number, protocol = 'TLSv1.3'): Promise<Overload> {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('tls-shed');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 256KiB\n' });
  const { folder, env } = home;
  const log = folder.file('answered.log');
  const tls = { certificate: folder.file('cert.pem'), key: folder.file('key.pem'), env, protocol };
  await using workload = await Workload.start(cgroup, { tls, accessLog: log });
  await agent.tapped(1);
  const pipeline = pidOf(await agent.status(), 'pipeline');
  await using load = workload.endless(16);
  const lines = new Lines(log);
  const more = async (calls: number): Promise<void> => {
    const enough = lines.count() + calls;
    await load.until(`${enough} answers`, () => lines.count() >= enough);
  };
  await agent.untilStatus('calls', ({ ledger }) => ledger.exchanges >= CALLS_READ);
  for (let i = 0; i < pauses; i++) {
    process.kill(pipeline, 'SIGSTOP');
    await more(unread).finally(() => process.kill(pipeline, 'SIGCONT'));
    await more(CALLS_READ);
  }
  await load.stop('SIGINT');
  await agent.untilRead();
  const answered = lines.count();
  // Holes at the end of the streams are declared within a second or two; what is told when it does not come to this is asserted on.
  const status = await agent.untilStatus('every answer in the books', ({ ledger }) =>
    [ledger.requests, ledger.responses].every(({ seen, lost }) => seen + lost >= answered - SLACK),
  );
  const { exchanges } = await agent.stop();
  return { answered, exchanges, status };
}

function expectEachCounted({ answered, exchanges, status }: Overload): void {
  expectConserved(status);
  const { requests, responses } = status.ledger;
  for (const [kind, { lost }] of [['request', requests] as const, ['response', responses] as const]) {
    const read = exchanges.filter((exchange) => exchange[kind] !== null).length;
    expect(Math.abs(read + lost - answered), `${kind}s: ${read} read, ${lost} lost of ${answered}`).toBeLessThanOrEqual(
      SLACK,
    );
  }
  expect(requests.lost).toBeGreaterThan(CALLS_UNREAD);
  expect(exchanges.length).toBeGreaterThan(100);
  // The calls that were not left out are whole, but for answers that found no room at all: those say so.
  const broken = exchanges.filter((x) => x.losses.length > 0 || x.outcome !== 'complete');
  expect(broken.filter((x) => x.losses.length === 0).length).toBeLessThanOrEqual(SLACK);
  // On a machine that others use too nobody reads at other times as well.
  expect(broken.length).toBeLessThan(exchanges.length / 2);
  for (const { request, response } of exchanges) {
    if (request === null || response === null) continue;
    const id = request.headers.find(([name]) => name === 'X-Request-Id')![1];
    expect(response.headers.find(([name]) => name === 'X-Request-Id')![1]).toBe(id);
  }
  const ids = exchanges.map(({ request }) => request?.headers.find(([name]) => name === 'X-Request-Id')?.[1]);
  expect(new Set(ids).size).toBe(ids.length);
  expect(status.tls.missed.calls).toBe(requests.lost);
  expect(status.tls.missed.records).toBeGreaterThanOrEqual(requests.lost + responses.lost);
  expect(status.tls.unread).toEqual([]);
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'openssl',
  'wrk',
)('more TLS than can be read', () => {
  test.each(['TLSv1.3', 'TLSv1.2'])(
    '%s: nobody reads now and then: calls are read whole or counted as lost',
    async (protocol) => {
      expectEachCounted(await overload(6, CALLS_UNREAD, protocol));
    },
  );

  test('nobody reads for long: the same', async () => {
    expectEachCounted(await overload(1, 4 * CALLS_UNREAD));
  });
});

/** Asked for by h2load, 10 streams on each of 20 connections; the ids go round. */
const H2_CALLS = 30_000;
const H2_IDS = 1_000;

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'openssl',
  'h2load',
)('more HTTP/2 in TLS than can be read', () => {
  test.each([
    ['a small ring', false],
    ['nobody reads', true],
  ])(
    '%s: no call is wrong, and each is read, counted as lost, or of a connection that says that nobody knows',
    async (what, stopped) => {
      await using home = await TlsHome.open();
      await using cgroup = new Cgroup('tls-shed-h2');
      await using agent = await Agent.start({
        cgroups: [cgroup],
        secrets: true,
        config: 'capture:\n  ring: 256KiB\n',
      });
      const server = await nginxTls(home, cgroup);
      await agent.tapped(1);
      const urls = Array.from({ length: H2_IDS }, (_, i) => `https://127.0.0.1:${server.port}/x?id=i${i}\n`);
      const shape = ['-n', `${H2_CALLS}`, '-c', '20', '-m', '10', '-i', home.folder.write('urls', urls.join(''))];
      const pipeline = pidOf(await agent.status(), 'pipeline');
      if (stopped) process.kill(pipeline, 'SIGSTOP');
      try {
        expect(await must(['h2load', ...shape], { timeoutMs: 100_000 })).toContain(`${H2_CALLS} succeeded`);
      } finally {
        if (stopped) process.kill(pipeline, 'SIGCONT');
      }
      // When nothing is left out any more, new connections are read whole.
      await agent.untilStatus('an empty ring', (status) => status.ring.used_bytes === 0);
      const { exchanges: before } = (await agent.status()).ledger;
      await must([findProgram('curl')!, '-sk', '--http2', `https://127.0.0.1:${server.port}/x?id=after`], {});
      await agent.until((seen) => seen.some(({ request }) => request?.target === '/x?id=after'));
      const status = await agent.status();
      expect(status.ledger.exchanges).toBeGreaterThan(before);
      const { exchanges } = await agent.stop();

      expectConserved(status);
      const { requests, responses, losses } = status.ledger;
      const answered = H2_CALLS + 1;
      const read = exchanges.filter(({ request }) => request !== null).length;
      expect(read).toBeGreaterThan(100);
      if (stopped) expect(read).toBeLessThan(answered);
      console.info(
        `HTTP/2 in TLS, ${what}: ${read} of ${answered} read, ${requests.lost} counted as lost, ${status.connections.calls_unknown} connections may have had more; ${JSON.stringify(losses)}`,
      );
      expect(requests.seen + requests.lost).toBeLessThanOrEqual(answered);
      expect(responses.seen + responses.lost).toBeLessThanOrEqual(answered);
      if (requests.seen + requests.lost < answered) expect(status.connections.calls_unknown).toBeGreaterThan(0);
      for (const { request, response, outcome, losses: own } of exchanges) {
        const asked = /id=(\w+)/.exec(request?.target ?? '')?.[1];
        const got = response?.headers.find(([name]) => name === 'x-id')?.[1];
        // Where fields are lost with the table that they refer to, a call may have no target, or no id; never another's.
        if (own.length === 0) expect([outcome, got]).toEqual(['complete', asked]);
        else if (asked !== undefined && got !== undefined) expect(got).toBe(asked);
      }
    },
  );
});
