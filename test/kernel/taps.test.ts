/** The TLS taps: the secrets that they take equal what the peers write into their own key logs. */
import { createHmac } from 'node:crypto';
import { closeSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HostFiles } from '../../src/attacher/host.ts';
import { Taps } from '../../src/attacher/taps/taps.ts';
import { takeAnchor } from '../../src/kernel/clock.ts';
import { SecretReader } from '../../src/kernel/secret-reader.ts';
import { type LoadedTaps, loadTaps } from '../../src/kernel/secrets.ts';
import type { TappedSecret } from '../../src/model/secret.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, missing, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { privateOpenssl, privateProgram } from '../rig/private-tls.ts';
import { must, Program, run } from '../rig/program.ts';
import { type SelfSigned, selfSigned } from '../rig/tls/certificate.ts';
import { RUSTLS_PEER, withoutPeer } from '../rig/tls/rustls-peer.ts';

/** RFC 8446 7.1, HKDF-Expand-Label, one block. */
function expandLabel(secret: Uint8Array, label: string, context: Uint8Array): string {
  const { length } = secret;
  const info = Buffer.concat([
    Buffer.from([0, length, 6 + label.length]),
    Buffer.from(`tls13 ${label}`),
    Buffer.from([context.length]),
    context,
  ]);
  return createHmac(length === 48 ? 'sha384' : 'sha256', secret)
    .update(info)
    .update(Buffer.from([1]))
    .digest('hex');
}

const KEY_LOG_LABEL: Readonly<Record<string, string>> = {
  'c hs traffic': 'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  's hs traffic': 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'c ap traffic': 'CLIENT_TRAFFIC_SECRET_0',
  's ap traffic': 'SERVER_TRAFFIC_SECRET_0',
};

/** Label and secret of each line, the client random where the tap tells it. */
const keyLogLines = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const [label, random, secret] = line.split(' ');
    if (label === undefined || random === undefined || secret === undefined || label.startsWith('#')) return [];
    if (label.startsWith('EXPORTER') || label.startsWith('EARLY')) return [];
    return [label === 'CLIENT_RANDOM' ? `${label} ${random} ${secret}` : `${label} ${secret}`];
  });

class Rig implements AsyncDisposable {
  readonly folder = new Folder();
  readonly inside = new Cgroup('taps');
  readonly outside = new Cgroup('untapped');
  readonly #taken: string[] = [];
  readonly #take: (secret: TappedSecret) => void;
  readonly taps: LoadedTaps;
  readonly reader: SecretReader;
  readonly resident: Taps;

  constructor() {
    const loaded = loadTaps([this.inside.path]);
    if (!loaded.ok) throw new Error(`${loaded.error.message}\n${loaded.error.detail}`);
    this.taps = loaded.value;
    const reader = SecretReader.open(this.taps.secrets, this.taps.counters, takeAnchor());
    if (typeof reader === 'number') throw new Error(`cannot map the ring: errno ${reader}`);
    this.reader = reader;
    this.#take = ({ tap, label, memory, secretAt, secretBytes, contextAt, contextBytes }) => {
      const secret = memory.buf.subarray(secretAt, secretAt + secretBytes);
      const context = memory.buf.subarray(contextAt, contextAt + contextBytes);
      const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
      if (tap === 'expand_label') this.#taken.push(`${KEY_LOG_LABEL[label]} ${expandLabel(secret, label, context)}`);
      else if (tap === 'key_expansion') this.#taken.push(`CLIENT_RANDOM ${hex(context.subarray(32))} ${hex(secret)}`);
      else
        this.#taken.push(
          label === 'CLIENT_RANDOM' ? `${label} ${hex(context)} ${hex(secret)}` : `${label} ${hex(secret)}`,
        );
    };
    this.resident = Taps.start(new HostFiles(), this.taps, [this.inside.path], (line) => {
      throw new Error(line);
    })!;
  }

  /** Every secret so far. */
  get taken(): string[] {
    this.reader.drain(this.#take);
    return this.#taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resident.close();
    this.reader.close();
    for (const fd of [...Object.values(this.taps.programs), this.taps.secrets, this.taps.births, this.taps.counters])
      closeSync(fd);
    await this.inside[Symbol.asyncDispose]();
    await this.outside[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

const openssl = findProgram('openssl') ?? 'openssl';

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
)('OpenSSL through EVP_KDF_derive', () => {
  let rig: Rig;
  let env: { LD_LIBRARY_PATH: string };
  let pair: SelfSigned;

  beforeAll(async () => {
    rig = new Rig();
    env = await privateOpenssl(rig.folder);
    pair = await selfSigned(rig.folder.path);
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  async function handshake(name: string, where: Cgroup, args: readonly string[]): Promise<string[]> {
    const port = await freePort();
    const log = rig.folder.file(`${name}.keys`);
    await using server = new Program(
      [
        openssl,
        's_server',
        '-accept',
        `127.0.0.1:${port}`,
        '-key',
        pair.key,
        '-cert',
        pair.certificate,
        '-www',
        '-quiet',
      ],
      { cgroup: rig.outside },
    );
    await server.until(
      'the port',
      async () => (await run(['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`])).code === 0,
    );
    // Waits before it speaks, so that its library is met first: the start of a program is a race that other tests look at.
    await using client = new Program(
      [
        'sh',
        '-c',
        `sleep 0.5; exec "$@"`,
        'sh',
        openssl,
        's_client',
        '-connect',
        `127.0.0.1:${port}`,
        '-keylogfile',
        log,
        ...args,
      ],
      { cgroup: where, env },
    );
    await client.until('the end of the handshake', () => client.stdout.includes('Verify return code'));
    client.stdin.write('GET / HTTP/1.0\r\n\r\n');
    await client.ended;
    return keyLogLines(readFileSync(log, 'latin1'));
  }

  test.each([
    ['TLS 1.3, SHA-256', ['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'], 4],
    ['TLS 1.3, SHA-384', ['-tls1_3', '-ciphersuites', 'TLS_AES_256_GCM_SHA384'], 4],
    ['TLS 1.3, ChaCha20', ['-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256'], 4],
    ['TLS 1.2', ['-tls1_2'], 1],
  ])('%s: what was taken is what the client logged', async (name, args, lines) => {
    rig.taken.length = 0;
    const keepsLibraryTapped = new Program(
      ['sh', '-c', 'exec "$@" </dev/zero >/dev/null', 'sh', openssl, 'dgst', '-sha256'],
      {
        cgroup: rig.inside,
        env,
      },
    );
    await using _ = keepsLibraryTapped;
    await keepsLibraryTapped.until('a probe', () => rig.resident.status().tapped > 0);
    const logged = await handshake(name.replaceAll(/\W/g, ''), rig.inside, args);
    expect(logged).toHaveLength(lines);
    await soon(() => rig.taken.length >= lines);
    expect(new Set(rig.taken)).toEqual(new Set(logged));
  });

  test('a process outside the observed cgroup is not read', async () => {
    await using inside = new Program(
      ['sh', '-c', 'exec "$@" </dev/zero >/dev/null', 'sh', openssl, 'dgst', '-sha256'],
      {
        cgroup: rig.inside,
        env,
      },
    );
    await inside.until('a probe', () => rig.resident.status().tapped > 0);
    rig.taken.length = 0;
    const before = rig.reader.counters();
    expect(await handshake('outside', rig.outside, ['-tls1_3'])).toHaveLength(4);
    expect(rig.taken).toEqual([]);
    expect(rig.reader.counters()).toEqual(before);
  });

  test('the probe goes when the last process that runs the library has ended', async () => {
    await using inside = new Program(['sleep', '60'], { cgroup: rig.inside });
    await inside.until('it to be met', () => rig.resident.status().processes > 0);
    await soon(() => rig.resident.status().tapped === 0);
    expect(rig.resident.status().tapped).toBe(0);
  });
});

const soon = async (ready: () => boolean): Promise<void> => {
  for (let i = 0; i < 9_000 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
};

const GO = `package main
import ("crypto/tls"; "net/http"; "net/http/httptest"; "os"; "io"; "fmt")
func main() {
  log, _ := os.Create(os.Args[1])
  max := uint16(tls.VersionTLS13)
  if os.Args[2] == "1.2" { max = tls.VersionTLS12 }
  s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
  fmt.Scanln()
  c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, KeyLogWriter: log, MaxVersion: max}}}
  r, err := c.Get(s.URL)
  if err != nil { fmt.Println(err); os.Exit(1) }
  io.ReadAll(r.Body)
}
`;

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'go',
)('Go through writeKeyLog', () => {
  test.each([
    ['with symbols', [], '1.3'],
    ['stripped', ['-ldflags=-s -w'], '1.3'],
    ['position independent, stripped', ['-buildmode=pie', '-ldflags=-s -w'], '1.3'],
    ['stripped, TLS 1.2', ['-ldflags=-s -w'], '1.2'],
  ])('%s', async (name, flags, version) => {
    await using rig = new Rig();
    const folder = rig.folder.file(name.replaceAll(/\W/g, ''));
    mkdirSync(folder);
    writeFileSync(join(folder, 'main.go'), GO);
    const program = join(folder, 'program');
    await must([findProgram('go')!, 'build', ...flags, '-o', program, join(folder, 'main.go')], {
      env: { GOFLAGS: '-mod=mod', GO111MODULE: 'off' },
    });
    const log = join(folder, 'keys');
    // Waits for a line before it speaks, so that it is met first.
    await using peer = new Program([program, log, version], { cgroup: rig.inside });
    await peer.until('a probe', () => rig.resident.status().tapped > 0);
    peer.stdin.write('\n');
    const { code, stdout } = await peer.wait(60_000);
    expect(code, stdout).toBe(0);
    const logged = keyLogLines(readFileSync(log, 'latin1'));
    expect(logged).toHaveLength(version === '1.3' ? 4 : 1);
    // Client and server are one process: each secret is seen on both sides.
    expect(new Set(rig.taken)).toEqual(new Set(logged));
    expect(rig.taken).toHaveLength(2 * logged.length);
  });
});

const lacking = missing('root', 'cgroup2', 'bpf', 'openssl') ?? withoutPeer();
if (lacking !== null) console.warn(`SKIPPED: ${lacking}`);
describe.skipIf(lacking !== null)('rustls through HKDF_expand and CRYPTO_tls1_prf of AWS-LC', () => {
  test.each([
    ['1.2', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 1],
    ['1.3', 'TLS13_AES_128_GCM_SHA256', 4],
    ['1.3', 'TLS13_AES_256_GCM_SHA384', 4],
  ])('%s, %s: what was taken is what the client logged', async (version, suite, lines) => {
    await using rig = new Rig();
    const pair = await selfSigned(rig.folder.path);
    const inside = privateProgram(rig.folder, RUSTLS_PEER);
    const port = String(await freePort());
    await using outer = new Program([RUSTLS_PEER, 'server', port, pair.certificate, pair.key], { cgroup: rig.outside });
    await outer.until('the port', () => outer.stdout.includes('ready'));
    // Keeps the file tapped.
    const idle = [inside, 'server', String(await freePort()), pair.certificate, pair.key];
    await using _ = new Program(idle, { cgroup: rig.inside });
    await soon(() => rig.resident.status().tapped > 0);
    const log = rig.folder.file('keys');
    await must([inside, 'client', port, version, suite, 'first', 'second'], {
      cgroup: rig.inside,
      env: { SSLKEYLOGFILE: log },
    });
    const logged = keyLogLines(readFileSync(log, 'latin1'));
    expect(logged).toHaveLength(2 * lines);
    await soon(() => rig.taken.length >= logged.length);
    expect(rig.taken.sort()).toEqual(logged.sort());
  });
});
