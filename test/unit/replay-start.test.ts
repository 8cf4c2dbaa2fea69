/** The start of the program is much of what a small file costs: what a capture does not need is not loaded for it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname;
const fixture = (name: string): string => new URL(`../fixtures/tls/${name}`, import.meta.url).pathname;

/** Prints, at the end, what of this was loaded. */
const TELL = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync } from 'node:fs';
  import { registerHooks } from 'node:module';
  let statistics = false;
  registerHooks({
    load(url, context, next) {
      statistics ||= url.includes('/src/stats/');
      return next(url, context);
    },
  });
  process.on('exit', () => {
    const loaded = {
      koffi: readFileSync('/proc/self/maps', 'latin1').includes('koffi.node'),
      zlib: process.moduleLoadList.includes('NativeModule zlib'),
      statistics,
    };
    process._rawDebug('LOADED ' + JSON.stringify(loaded));
  });`)}`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-start-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Told {
  readonly exchanges: number;
  readonly koffi: boolean;
  readonly zlib: boolean;
  readonly statistics: boolean;
}

async function replay(path: string): Promise<Told> {
  const args = ['--import', TELL, MAIN, 'replay', '--format', 'summary', path];
  const env = { ...process.env, STATE_DIRECTORY: folder };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env });
  const { exchanges_seen: exchanges } = JSON.parse(stdout) as { exchanges_seen: number };
  const loaded = JSON.parse(/^LOADED (.*)$/m.exec(stderr)![1]!) as Omit<Told, 'exchanges'>;
  return { exchanges, ...loaded };
}

describe('a capture', () => {
  test('in clear loads neither what calls C nor an unpacker nor statistics', async () => {
    const talk = new Talk().open();
    talk.client('GET / HTTP/1.1\r\nHost: a\r\n\r\n').server('HTTP/1.1 204 No Content\r\n\r\n').close();
    const path = join(folder, 'clear.pcap');
    writeFileSync(path, talk.bytes());
    expect(await replay(path)).toEqual({ exchanges: 1, koffi: false, zlib: false, statistics: false });
  });

  test('with TLS and its secrets is decrypted all the same', async () => {
    const { exchanges, koffi } = await replay(fixture('tls13-h1.pcapng'));
    expect(koffi).toBe(true);
    expect(exchanges).toBeGreaterThan(0);
  });
});
