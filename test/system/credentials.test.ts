/**
 * R11, live: a thousand credentials in every place of real calls through a running agent, and then every output there is. None
 * shows as much as eight bytes of one; `export --pcapng`, which writes packets as they are, shows that they were there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { privateProgram } from '../rig/private-tls.ts';
import { Program, run } from '../rig/program.ts';
import { selfSigned } from '../rig/tls/certificate.ts';
import { planted } from './credentials/planted.ts';
import { Search } from './credentials/search.ts';
import { http1, http2 } from './credentials/wire.ts';

const CLIENT = join(import.meta.dirname, '../rig/clients/scripted.ts');
const CONFIG = 'redact:\n  sensitive: ["x-own-*"]\n  query: [own_param]\n';
/** Calls that are none to a parser: a name or a method with what may not be in one. */
const UNREADABLE_SHARE = 0.05;
const CALLS_TIMEOUT_MS = 200_000;

/** Every file below a folder. */
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const WIRES = { 'HTTP/1 in clear': http1, 'HTTP/2 in TLS': http2 } as const;

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
)('no output shows eight bytes of a credential', () => {
  test.each(Object.entries(WIRES))('%s', async (protocol, wireOf) => {
    const isTls = protocol.endsWith('TLS');
    const canaries = planted();
    expect(canaries.length).toBeGreaterThan(1_000);
    const search = new Search(canaries);

    using data = new Folder();
    using out = new Folder();
    using programs = new Folder();
    await using cgroup = new Cgroup('credentials');
    const listen = `127.0.0.1:${await freePort()}`;
    const args = ['--listen', listen, '--window', '1s'];
    await using agent = await Agent.start({
      cgroups: [cgroup],
      data: data.path,
      config: CONFIG,
      args,
      secrets: isTls,
    });
    const ask = ['--socket', agent.socket];
    const viewers = [['--json'], ['--headers'], []].map((how) => new Program([HEADWATER, 'tail', ...ask, ...how]));
    await agent.untilStatus('three viewers', ({ tail }) => tail.viewers === viewers.length);
    const packets = out.file('packets.pcapng');
    const dump = new Program([HEADWATER, 'export', '--pcapng', packets, '--seconds', '3600', ...ask]);
    await agent.program.until('packets handed out', () => agent.program.stderr.includes('packets are handed out'));

    const connections = wireOf(canaries.map(({ spec }) => spec));
    const script = out.write('calls.json', JSON.stringify(connections));
    // Probes fire in whoever maps the probed file.
    const node = isTls ? privateProgram(programs, process.execPath) : process.execPath;
    const { certificate, key } = await selfSigned(programs.path);
    await using client = new Program([node, CLIENT, script, ...(isTls ? [certificate, key] : [])], { cgroup });
    await client.until('its server', () => client.stdout === 'listening\n');
    if (isTls) await agent.tapped(1);
    client.stdin.end();
    const said = await client.wait(CALLS_TIMEOUT_MS);
    expect(said, said.stderr).toMatchObject({ code: 0, stdout: `listening\n${canaries.length}\n` });
    await agent.untilRead();
    const folder = JSON.parse((await agent.get('/v1/settled')).body) as { data: string };
    expect(folder.data).toBe(data.path);
    expect((await dump.stop('SIGINT')).code).toBe(0);

    const outputs = new Map<string, Buffer>();
    const headwater = async (...command: string[]): Promise<void> => {
      const { code, stdout, stderr } = await run([HEADWATER, ...command], { timeoutMs: 200_000 });
      expect(code, `${command.join(' ')}: ${stderr}`).toBe(0);
      outputs.set(command.join(' '), Buffer.from(stdout + stderr));
    };
    await headwater('status', ...ask);
    await headwater('report', '--json', ...ask);
    await headwater('report', '--markdown', '--since', '1h', ...ask);
    await headwater('query', '--headers', '--limit', '100000', ...ask);
    await headwater('query', '--sql', 'SELECT * FROM calls', '--json', '--limit', '100000', ...ask);
    await headwater('query', '--sql', 'SELECT * FROM states', '--json', '--limit', '100000', ...ask);
    for (const format of ['ndjson', 'har', 'csv', 'parquet'])
      await headwater('export', '--format', format, '--output', out.file(`calls.${format}`), ...ask);
    const [, port] = agent.exchanges()[0]!.service.split(':');
    const sees = async (): Promise<boolean> => {
      const { code, stdout } = await run([HEADWATER, 'why', `:${port}`, '--json', ...ask]);
      outputs.set('why', Buffer.from(stdout));
      return code === 0;
    };
    await agent.program.until('an answer of why', sees);
    for (const path of ['/v1/status?programs=1', '/v1/why'])
      outputs.set(path, Buffer.from((await agent.get(path)).body));
    for (const accept of ['text/plain', 'application/openmetrics-text', PROTOBUF]) {
      const answer = await fetch(`http://${listen}/metrics`, { headers: { accept } });
      outputs.set(`/metrics as ${accept}`, Buffer.from(await answer.arrayBuffer()));
    }
    for (const path of ['report', 'calls?limit=10000', 'sql?query=SELECT%20*%20FROM%20calls&limit=10000'])
      outputs.set(`/api/v1/${path}`, Buffer.from(await (await fetch(`http://${listen}/api/v1/${path}`)).arrayBuffer()));
    const { processes } = await agent.status();
    for (const { role, pid } of processes)
      for (const file of ['cmdline', 'environ'])
        outputs.set(`${file} of the ${role}`, readFileSync(`/proc/${pid}/${file}`));

    const { ended, exchanges, summary } = await agent.stop();
    outputs.set('standard error', Buffer.from(ended.stderr));
    for (const [i, viewer] of viewers.entries()) outputs.set(`tail ${i}`, Buffer.from((await viewer.ended).stdout));
    for (const file of [agent.log, ...filesBelow(data.path), ...filesBelow(agent.folder.path), ...filesBelow(out.path)])
      if (file !== script && file !== packets) outputs.set(file, readFileSync(file));

    // The search finds what is there: in what was sent, and in the one output that is not redacted.
    expect(search.in(Buffer.from(canaries.map(({ secret }) => secret).join('\n'))).length).toBe(10);
    expect(search.in(readFileSync(packets)).length).toBe(isTls ? 0 : 10);
    // And the outputs have the calls in them.
    const lost = JSON.stringify(summary.losses);
    const calls = 2 * canaries.length;
    if (isTls) expect(exchanges.length, lost).toBe(calls);
    else expect(exchanges.length, lost).toBeGreaterThan(calls * (1 - UNREADABLE_SHARE));
    const shown = [...outputs].filter(([, bytes]) => bytes.includes('[fp:')).map(([name]) => name);
    expect(shown.length, shown.join('\n')).toBeGreaterThanOrEqual(12);
    expect(existsSync(out.file('calls.parquet'))).toBe(true);

    const leaks = [...outputs].flatMap(([name, bytes]) => search.in(bytes).map((leak) => `${name}: ${leak}`));
    expect(leaks).toEqual([]);
  });
});

const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited';
