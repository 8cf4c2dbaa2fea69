/**
 * R11, live: a thousand credentials in every place of real calls through a running agent, and then every output there is. None
 * shows as much as eight bytes of one; `export --pcapng`, which writes packets as they are, shows that they were there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ANYWHERE, formsOf, KNOWN, QUIET, RANDOM, SENSITIVE, type Shape, WELL_KNOWN } from '../fixtures/canaries.ts';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';
import type { ExchangeSpec, Pairs } from '../unit/log-rig.ts';

const CLIENT = join(import.meta.dirname, '../rig/clients/scripted.ts');
const CONFIG = 'redact:\n  sensitive: ["x-own-*"]\n  query: [own_param]\n';
/** Bytes in a row that give a secret away. Of digits and hexadecimal ones this many occur in numbers and fingerprints by chance. */
const LEAK = 8;
const LEAK_OF_DIGITS = 12;
/** Calls that are none to a parser: a name or a method with what may not be in one. */
const UNREADABLE_SHARE = 0.05;

interface Planted {
  readonly place: string;
  readonly secret: string;
  readonly spec: ExchangeSpec;
}

/** Every shape in every place where it must vanish, each with a secret of its own. */
function planted(): Planted[] {
  const all: Planted[] = [];
  const plant = (
    shapes: Readonly<Record<string, Shape>>,
    places: Readonly<Record<string, (c: string) => ExchangeSpec>>,
  ) => {
    for (const [kind, shape] of Object.entries(shapes))
      for (const [place, put] of Object.entries(places)) {
        const { text, secret } = shape(`live ${kind} ${place}`);
        all.push({ place: `${kind} in ${place}`, secret, spec: put(text) });
      }
  };
  plant({ ...KNOWN, ...RANDOM, ...QUIET }, SENSITIVE);
  plant({ ...KNOWN, ...RANDOM }, ANYWHERE);
  plant(KNOWN, WELL_KNOWN);
  return all;
}

const fields = (pairs: Pairs): string => pairs.map(([name, value]) => `${name}: ${value}\r\n`).join('');
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

/** The bytes of a call. */
function wireOf({ request, response, interim = [], upgrade = '' }: ExchangeSpec): [request: string, response: string] {
  const { method = 'GET', target = '/', headers = [['Host', 'h.example']], trailers: sent } = request ?? {};
  const switched: Pairs =
    upgrade === ''
      ? []
      : [
          ['Connection', 'Upgrade'],
          ['Upgrade', upgrade],
        ];
  const framing = (trailers: Pairs | undefined, length: Pairs): Pairs =>
    trailers === undefined ? length : [['Transfer-Encoding', 'chunked']];
  const body = (trailers: Pairs | undefined, text: string): string =>
    trailers === undefined ? text : `0\r\n${fields(trailers)}\r\n`;
  const asked = `${method} ${target} HTTP/1.1\r\n${fields([...headers, ...switched, ...framing(sent, [])])}\r\n${body(sent, '')}`;
  const early = interim.map(
    (one) => `HTTP/1.1 ${one.status} Early Hints\r\n${fields(one.fields as unknown as Pairs)}\r\n`,
  );
  const { reason = 'OK', headers: own = [], trailers: told } = response ?? {};
  const status = upgrade !== '' ? 101 : method === 'CONNECT' ? 403 : 200;
  const closing: Pairs = upgrade !== '' ? switched : framing(told, [['Content-Length', '2']]);
  const answered = `HTTP/1.1 ${status} ${reason}\r\n${fields([...own, ...closing])}\r\n${body(told, upgrade === '' ? 'ok' : '')}`;
  return [base64(asked), base64(early.join('') + answered)];
}

/** Finds what `secrets` have in a row in any bytes. A bit for each hash of `LEAK` bytes; only where it is set the bytes are compared. */
class Search {
  readonly #bits = new Uint8Array(1 << 21);
  readonly #pieces = new Map<string, string>();

  constructor(secrets: readonly Planted[]) {
    for (const { place, secret } of secrets)
      for (const form of formsOf(secret)) {
        const length = /%[0-9a-f]{2}%/i.test(form) ? 3 * LEAK : /^[0-9a-f]+$/.test(secret) ? LEAK_OF_DIGITS : LEAK;
        for (let at = 0; at + length <= form.length; at++) this.#add(form.slice(at, at + length), place);
      }
  }

  #add(piece: string, place: string): void {
    this.#pieces.set(piece, place);
    const hash = hashAt(Buffer.from(piece, 'latin1'), 0);
    this.#bits[hash >>> 3]! |= 1 << (hash & 7);
  }

  /** Up to ten secrets of which `bytes` show something: where they were put, and what is shown first. */
  in(bytes: Buffer): string[] {
    const found = new Map<string, string>();
    for (let at = 0; at + LEAK <= bytes.length && found.size < 10; at++) {
      const hash = hashAt(bytes, at);
      if ((this.#bits[hash >>> 3]! & (1 << (hash & 7))) === 0) continue;
      for (const length of [LEAK, LEAK_OF_DIGITS, 3 * LEAK]) {
        const piece = bytes.toString('latin1', at, at + length);
        const place = this.#pieces.get(piece);
        if (place !== undefined && !found.has(place)) found.set(place, piece);
      }
    }
    return [...found].map(([place, piece]) => `${place}: ${piece}`);
  }
}

/** 24 bits of the LEAK bytes at `at`. */
const hashAt = (bytes: Buffer, at: number): number =>
  (Math.imul(bytes.readUInt32LE(at), 0x9e3779b1) ^ Math.imul(bytes.readUInt32LE(at + 4), 0x85ebca6b)) >>> 8;

/** Every file below a folder. */
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

when(
  it,
  'root',
  'cgroup2',
  'bpf',
)('no output shows eight bytes of a credential', async () => {
  const canaries = planted();
  expect(canaries.length).toBeGreaterThan(1_000);
  const search = new Search(canaries);

  using data = new Folder();
  using out = new Folder();
  await using cgroup = new Cgroup('credentials');
  const listen = `127.0.0.1:${await freePort()}`;
  const args = ['--listen', listen, '--window', '1s'];
  await using agent = await Agent.start({ cgroups: [cgroup], data: data.path, config: CONFIG, args });
  const ask = ['--socket', agent.socket];
  const viewers = [['--json'], ['--headers'], []].map((how) => new Program([HEADWATER, 'tail', ...ask, ...how]));
  await agent.untilStatus('three viewers', ({ tail }) => tail.viewers === viewers.length);
  const packets = out.file('packets.pcapng');
  const dump = new Program([HEADWATER, 'export', '--pcapng', packets, '--seconds', '3600', ...ask]);
  await agent.program.until('packets handed out', () => agent.program.stderr.includes('packets are handed out'));

  const script = out.write('calls.json', JSON.stringify(canaries.map(({ spec }) => wireOf(spec))));
  const made = Number(await must([process.execPath, CLIENT, script], { cgroup, timeoutMs: 120_000 }));
  expect(made).toBe(canaries.length);
  await agent.untilStatus(
    'the end of every connection',
    ({ connections }) => connections.open === 0 && connections.total >= 2 * made,
  );
  const folder = JSON.parse((await agent.get('/v1/settled')).body) as { data: string };
  expect(folder.data).toBe(data.path);
  expect((await dump.stop('SIGINT')).code).toBe(0);

  const outputs = new Map<string, Buffer>();
  const headwater = async (...command: string[]): Promise<void> => {
    const { code, stdout, stderr } = await run([HEADWATER, ...command], { timeoutMs: 120_000 });
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
  await agent.program.until('an answer of why', sees, 60_000);
  for (const path of ['/v1/status?programs=1', '/v1/why']) outputs.set(path, Buffer.from((await agent.get(path)).body));
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

  const { ended, exchanges } = await agent.stop();
  outputs.set('standard error', Buffer.from(ended.stderr));
  for (const [i, viewer] of viewers.entries()) outputs.set(`tail ${i}`, Buffer.from((await viewer.ended).stdout));
  for (const file of [agent.log, ...filesBelow(data.path), ...filesBelow(agent.folder.path), ...filesBelow(out.path)])
    if (file !== script && file !== packets) outputs.set(file, readFileSync(file));

  // The search finds what is there: in what was sent, and in the one output that is not redacted.
  expect(search.in(Buffer.from(canaries.map(({ spec }) => atob(wireOf(spec)[0])).join(''), 'latin1')).length).toBe(10);
  expect(search.in(readFileSync(packets)).length).toBe(10);
  // And the outputs have the calls in them.
  expect(exchanges.length).toBeGreaterThan(2 * made * (1 - UNREADABLE_SHARE));
  const shown = [...outputs].filter(([, bytes]) => bytes.includes('[fp:')).map(([name]) => name);
  expect(shown.length, shown.join('\n')).toBeGreaterThanOrEqual(12);
  expect(existsSync(out.file('calls.parquet'))).toBe(true);

  const leaks = [...outputs].flatMap(([name, bytes]) => search.in(bytes).map((leak) => `${name}: ${leak}`));
  expect(leaks).toEqual([]);
});

const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited';
