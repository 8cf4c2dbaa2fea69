/** `replay` of TLS 1.3 with a key log, every tag checked, against cleartext and against tshark, in interleaved rounds. */
import { HEADWATER } from '../test/rig/agent.ts';
import { Folder } from '../test/rig/folder.ts';
import { must } from '../test/rig/program.ts';
import { cost, type Spread, spread } from './measure.ts';
import { microseconds, section } from './section.ts';

const CALLS = 200_000;
const CALLS_QUICK = 5_000;
const RECORD_MS = 120_000;
const script = new URL('tls-replay.sh', import.meta.url).pathname;

interface TlsReplayRow {
  readonly name: string;
  readonly calls: number;
  /** CPU time, with the start of the program. */
  readonly us_per_call: Spread;
  /** Without the start of the program, measured on a capture with no call in it; null: not taken apart. */
  readonly us_beyond_start: Spread | null;
  readonly rss_mb: number;
}

interface Contestant {
  readonly name: string;
  readonly calls: number;
  readonly command: readonly string[];
  /** It is Headwater: the time that it takes to start is known. */
  readonly own: boolean;
}

async function callsIn(command: readonly string[]): Promise<number> {
  const last = (await must(command)).trim().split('\n').at(-1)!;
  return (JSON.parse(last) as { exchanges_seen: number }).exchanges_seen;
}

async function contestants(folder: Folder): Promise<Contestant[]> {
  const replay = (name: string): string[] => {
    const keys = name === 'plain' ? [] : ['--keylog', folder.file(`${name}.keys`)];
    return [HEADWATER, 'replay', '--format', 'summary', ...keys, folder.file(`${name}.pcap`)];
  };
  const tshark = (name: string): string[] => {
    const fields = ['http.request.line', 'http.response.line', 'http2.header.name', 'http2.header.value'];
    const keys = ['-o', `tls.keylog_file:${folder.file(`${name}.keys`)}`];
    const shown = ['-Y', 'http or http2', '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
    return ['tshark', '-n', '-r', folder.file(`${name}.pcap`), ...keys, ...shown];
  };
  const calls = {
    plain: await callsIn(replay('plain')),
    h1: await callsIn(replay('h1')),
    h2: await callsIn(replay('h2')),
  };
  return [
    { name: 'headwater, cleartext HTTP/1.1', calls: calls.plain, command: replay('plain'), own: true },
    { name: 'headwater, TLS 1.3 HTTP/1.1', calls: calls.h1, command: replay('h1'), own: true },
    { name: 'headwater, TLS 1.3 HTTP/2, 10 streams', calls: calls.h2, command: replay('h2'), own: true },
    { name: 'tshark, TLS 1.3 HTTP/1.1', calls: calls.h1, command: tshark('h1'), own: false },
    { name: 'tshark, TLS 1.3 HTTP/2, 10 streams', calls: calls.h2, command: tshark('h2'), own: false },
  ];
}

export const tlsReplay = section<TlsReplayRow>({
  name: 'tls-replay',
  title: 'Reading a TLS capture with its key log: CPU for each call',
  async rows({ rounds, quick }) {
    using folder = new Folder();
    await must(['unshare', '--net', script, folder.path, String(quick ? CALLS_QUICK : CALLS)], {
      timeoutMs: RECORD_MS,
    });
    await must(['tcpdump', '-r', folder.file('plain.pcap'), '-c', '1', '-Z', 'root', '-w', folder.file('none.pcap')]);
    const start = [HEADWATER, 'replay', '--format', 'summary', folder.file('none.pcap')];
    const all = await contestants(folder);
    const found = all.map(() => ({ whole: [] as number[], beyond: [] as number[], rss: 0 }));
    for (let round = 0; round < rounds; round++) {
      const starting = await cost(start);
      for (const [i, { command, calls }] of all.entries()) {
        const { cpu_s, rss_bytes } = await cost(command);
        found[i]!.whole.push((cpu_s * 1e6) / calls);
        found[i]!.beyond.push(((cpu_s - starting.cpu_s) * 1e6) / calls);
        found[i]!.rss = Math.max(found[i]!.rss, rss_bytes / 1e6);
      }
    }
    return all.map(({ name, calls, own }, i) => ({
      name,
      calls,
      us_per_call: spread(found[i]!.whole),
      us_beyond_start: own ? spread(found[i]!.beyond) : null,
      rss_mb: found[i]!.rss,
    }));
  },
  columns: [
    ['', ({ name }) => name],
    ['calls', ({ calls }) => String(calls)],
    ['us a call', ({ us_per_call }) => microseconds(us_per_call)],
    ['beyond the start', ({ us_beyond_start }) => microseconds(us_beyond_start)],
    ['MB', ({ rss_mb }) => rss_mb.toFixed(0)],
  ],
});
