import { describe, expect, it } from 'vitest';
import type { FieldPair } from '../../src/model/record.ts';
import { curl } from '../rig/clients/curl.ts';
import { type Call, requests, undici } from '../rig/clients/plan.ts';
import { raw } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { must, type ProgramOptions } from '../rig/program.ts';
import { replayed } from '../rig/replay.ts';
import { apache } from '../rig/servers/apache.ts';
import { caddy } from '../rig/servers/caddy.ts';
import { haproxy } from '../rig/servers/haproxy.ts';
import { nginx } from '../rig/servers/nginx.ts';
import type { Server } from '../rig/servers/server.ts';
import { nodeSite, pythonSite } from '../rig/servers/site.ts';
import { Tcpdump } from '../rig/tcpdump.ts';

/** Start line and field lines of one message, in the order of its direction of a connection. */
interface Head {
  readonly clientPort: number;
  readonly line: string;
  readonly fields: readonly string[];
}

const FIELDS = [
  'tcp.srcport',
  'tcp.dstport',
  'http.request.method',
  'http.request.uri',
  'http.response.code',
  'http.request.line',
  'http.response.line',
];
const BETWEEN = '\u0001';

/** What tshark makes of the file: requests and final responses, each in order. */
async function tsharkHeads(file: string, port: number): Promise<{ requests: Head[]; responses: Head[] }> {
  const out = await must([
    findProgram('tshark')!,
    ...['-r', file, '-d', `tcp.port==${port},http`, '-Y', 'http', '-T', 'fields', '-E', `aggregator=${BETWEEN}`],
    ...FIELDS.flatMap((field) => ['-e', field]),
  ]);
  const heads = { requests: [] as Head[], responses: [] as Head[] };
  for (const row of out.split('\n').filter((text) => text !== '')) {
    const [from = '', to = '', method = '', uri = '', code = '', asked = '', answered = ''] = row.split('\t');
    const fields = (asked === '' ? answered : asked)
      .split(BETWEEN)
      .map((text) => text.replace(/\\r\\n$/, '').trimEnd())
      .filter((text) => text !== '');
    if (method !== '') heads.requests.push({ clientPort: Number(from), line: `${method} ${uri}`, fields });
    else if (code !== '' && Number(code) >= 200) heads.responses.push({ clientPort: Number(to), line: code, fields });
  }
  return heads;
}

const text = (fields: readonly FieldPair[]): string[] => fields.map(([name, value]) => `${name}: ${value}`.trimEnd());
const byClient = (a: Head, b: Head): number => a.clientPort - b.clientPort;

const servers: readonly (readonly [string, string, (options: ProgramOptions) => Promise<Server>])[] = [
  ['nginx', 'nginx', nginx],
  ['Apache', 'apache2', apache],
  ['HAProxy', 'haproxy', haproxy],
  ['Caddy', 'caddy', caddy],
  ['Node', 'curl', nodeSite],
  ['Python', 'python3', pythonSite],
];

describe.each(servers)('%s', (_, program, start) => {
  when(
    it,
    'root',
    'tcpdump',
    'tshark',
    'curl',
    'python3',
    program,
  )('says what tshark says', async () => {
    using folder = new Folder();
    await using server = await start({});
    const { port } = server;
    const file = folder.file('a.pcap');
    {
      await using dump = await Tcpdump.start(file, { filter: `tcp port ${port}` });
      const url = `http://127.0.0.1:${port}`;
      const calls: Call[] = ['/small', '/missing', '/small?x=%20&y=1'].map((path, i) => ({
        url: url + path,
        headers: { 'X-Request-Id': `call-${i}`, Accept: 'text/*' },
      }));
      await curl([`${url}/small`, `${url}/missing`, '-H', 'x-Mixed-Case: a  b', '-H', 'X-Empty;']);
      await curl(['-I', `${url}/small`]);
      // tshark shows no request whose body is refused before it is sent.
      await curl(['-d', 'b'.repeat(2_000), '-H', 'Expect:', `${url}/small`]);
      await undici(calls);
      await requests(calls);
      const twice = 'X-Twice: 1\r\nx-twice: 2\r\n';
      await raw(port, [
        { send: `GET /small HTTP/1.1\r\nHost: raw\r\n${twice}Connection: close\r\n\r\n`, piece: 3 },
        { untilEnd: true },
      ]);
      await dump.stop();
    }
    const said = await replayed(file);
    const expected = await tsharkHeads(file, port);
    expect(expected.requests.length).toBe(11);
    const asked: Head[] = [];
    const answered: Head[] = [];
    for (const { client, server: peer, request, response, outcome, losses } of said.exchanges) {
      expect([outcome, losses, peer.port]).toEqual(['complete', [], port]);
      const clientPort = client.port;
      asked.push({ clientPort, line: `${request!.method} ${request!.target}`, fields: text(request!.headers) });
      answered.push({ clientPort, line: `${response!.status}`, fields: text(response!.headers) });
      const length = response!.headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
      if (length !== undefined && request!.method !== 'HEAD') expect(response!.body_bytes).toBe(Number(length));
    }
    expect(asked.sort(byClient)).toEqual(expected.requests.sort(byClient));
    expect(answered.sort(byClient)).toEqual(expected.responses.sort(byClient));
    expect(said.summary.losses).toEqual([]);
  });
});
