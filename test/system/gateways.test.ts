/**
 * Gateways of which each has its own habits: headers joined, split and moved, bodies re-framed, connections kept and
 * closed. What the client and the server behind say of each call is what both legs' records must say, to the field.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent, askedId, type LoggedExchange, type LoggedMessage } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { SHAPES, type ShapedCall, shapedCalls } from '../rig/clients/shapes.ts';
import { when } from '../rig/need.ts';
import { gateway, gateways } from '../rig/servers/gateways.ts';
import type { OriginCall } from '../rig/servers/origin.ts';
import type { Server } from '../rig/servers/server.ts';
import { TlsHome } from '../rig/tls/servers.ts';

/** As Node tells them: one character a byte. */
const fieldsOf = (message: LoggedMessage): (readonly [string, string])[] =>
  message.headers.map(([name, value]) => [
    name,
    message.opaque?.includes(name.toLowerCase()) ? value : Buffer.from(value).toString('latin1'),
  ]);

function expectAsClient(x: LoggedExchange, call: ShapedCall): void {
  expect(x.request).toMatchObject({ method: call.method, target: call.target, body_bytes: call.requestBytes });
  expect(fieldsOf(x.request)).toEqual(call.requestFields);
  expect(x.response?.status ?? null).toBe(call.status);
  if (x.response !== null) expect(fieldsOf(x.response)).toEqual(call.responseFields);
  expect(x.losses).toEqual([]);
  expect(x.outcome === 'complete').toBe(call.whole);
  if (call.whole) expect(x.response).toMatchObject({ body_bytes: call.responseBytes, trailers: call.trailers });
}

function expectAsOrigin(x: LoggedExchange, call: OriginCall): void {
  expect(x.request).toMatchObject({ method: call.method, target: call.target, body_bytes: call.requestBytes });
  expect(fieldsOf(x.request)).toEqual(call.requestFields);
  expect(x.response?.status).toBe(call.status);
  expect(x.losses).toEqual([]);
  expect(x.outcome === 'complete').toBe(call.whole);
  if (call.whole) expect(x.response!.body_bytes).toBe(call.responseBytes);
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
)('both legs through', () => {
  const running = new AsyncDisposableStack();
  let home: TlsHome;
  let cgroup: Cgroup;
  let agent: Agent;
  let origin: Server;
  let log: string;

  beforeAll(async () => {
    home = running.use(await TlsHome.open());
    cgroup = running.use(new Cgroup('gateways'));
    agent = running.use(await Agent.start({ cgroups: [cgroup] }));
    log = home.folder.file('origin.ndjson');
    const program = join(import.meta.dirname, '../rig/servers/origin.ts');
    origin = await home.serve('origin', (port) => [process.execPath, program, port, log], cgroup);
  });

  afterAll(() => running.disposeAsync());

  const originCalls = (name: string): OriginCall[] =>
    (existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [])
      .map((line) => JSON.parse(line) as OriginCall)
      .filter(({ id }) => id.startsWith(`${name}-`));

  for (const name of gateways) {
    when(it, name)(name, async () => {
      const front = await gateway(name, home, cgroup, origin.port);
      // lighttpd 1.4 makes a field of a trailer, its CR with it: that response is a protocol_error, and no truth.
      const shapes = name === 'lighttpd' ? SHAPES.filter(({ path }) => path !== '/trailers') : SHAPES;
      const calls = await shapedCalls(front.port, name, shapes);
      // A gateway may go on with a response for some time when its client has left; and with what is left when told to end.
      process.kill(-front.program.pid, 'SIGKILL');
      await front[Symbol.asyncDispose]();
      const ours = (seen: readonly LoggedExchange[]): LoggedExchange[] =>
        seen.filter((x) => askedId(x).startsWith(`${name}-`));
      const whole = (side: string, port: number, seen: readonly LoggedExchange[]): Map<string, LoggedExchange> =>
        new Map(
          ours(seen)
            .filter((x) => x.side === side && x.server.port === port)
            .map((x) => [askedId(x), x]),
        );
      const seen = await agent.until((all) => {
        const upstream = originCalls(name).length;
        return upstream > 0 && ours(all).length >= calls.length + 2 * upstream;
      });
      const upstream = originCalls(name);
      expect(ours(seen)).toHaveLength(calls.length + 2 * upstream.length);
      const inbound = whole('server', front.port, seen);
      for (const call of calls) expectAsClient(inbound.get(call.id)!, call);
      for (const side of ['client', 'server']) {
        const outbound = whole(side, origin.port, seen);
        for (const call of upstream) expectAsOrigin(outbound.get(call.id)!, call);
      }
      expect(calls.filter((call) => call.whole).length).toBeGreaterThan(shapes.length - 4);
    });
  }
});
