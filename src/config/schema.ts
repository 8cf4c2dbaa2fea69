/**
 * Every key of the configuration file, its meaning and its default. docs/config.schema.json and the key list of
 * docs/config.md are made from this file (`src/config/docs.ts`), a test holds them together.
 */
import { z } from 'zod';
import { parseDuration, parseListen, parseSize } from './units.ts';

const MIB = 2 ** 20;
const SECOND_NS = 1e9;

/** Bounds of names and lists, so that a generated file cannot make the agent large. */
const LIST_MAX = 1_024;
const NAME_MAX = 256;
const PATH_MAX = 4_096;

/** Input a person writes, output the program uses; the JSON Schema describes the input. */
function unit(what: string, example: string, pattern: string, parse: (value: string | number) => number | null) {
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const parsed = parse(value);
      if (parsed !== null) return parsed;
      context.addIssue({ code: 'custom', message: `expected ${what}, such as ${example}`, input: value });
      return z.NEVER;
    })
    .meta({ pattern, examples: [example] });
}

const size = () => unit('a size', '16MiB', '^\\s*\\d+(\\.\\d+)?\\s*([KkMmGg]([Ii]?[Bb])?|[Bb])?\\s*$', parseSize);
const duration = () =>
  unit('a duration', '200ms', '^\\s*(0|(\\d+(\\.\\d+)?(ns|us|µs|ms|s|m|h|d))+)\\s*$', parseDuration);
const isPowerOfTwo = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n));
const atLeast = (min: number, text: string) => [(n: number) => n >= min, `expected at least ${text}`] as const;

const path = () => z.string().min(1).max(PATH_MAX);
const headerName = () =>
  z
    .string()
    .max(NAME_MAX)
    .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, "expected a header name; '*' stands for any characters")
    .transform((name) => name.toLowerCase());
const headerNames = () => z.array(headerName()).max(LIST_MAX);

const match = z
  .strictObject({
    port: z.int().min(1).max(65_535).optional().describe('Local port of a server, remote port of a client.'),
    process: z.string().min(1).max(NAME_MAX).optional().describe('Process name as in /proc/PID/comm.'),
    unit: z.string().min(1).max(NAME_MAX).optional().describe('Systemd unit, for example "nginx.service".'),
    cgroup: path().optional().describe('Cgroup path below the unified mount; its descendants match too.'),
  })
  .refine((m) => Object.values(m).some((v) => v !== undefined), 'expected at least one of port, process, unit, cgroup');

const service = z.strictObject({
  name: z.string().min(1).max(NAME_MAX).describe('Name shown instead of the one that Headwater finds.'),
  match: match.describe(
    'What the connection must be; all conditions given must hold. The first service that matches wins.',
  ),
});

const capture = z.strictObject({
  window: size()
    .refine(...atLeast(256, '256 bytes'))
    .prefault('8KiB')
    .describe(
      'Bytes copied of each burst (data in one direction until the other one speaks); the rest is only counted.',
    ),
  stream_window: size()
    .prefault('64KiB')
    .describe('Second budget, in bytes: small segments of a long response (streams of events) are copied up to it.'),
  ring: size()
    .refine(...atLeast(4_096, '4KiB'))
    .refine((n) => n <= 1024 * MIB, 'expected at most 1GiB')
    .refine(isPowerOfTwo, 'expected a power of two, such as 16MiB')
    .optional()
    .describe(
      'Size of the ring buffer between the kernel and Headwater; a power of two. Without it 8MiB, and 16MiB with a store, whose sealing of a segment keeps both cores of a small machine busy for longer.',
    ),
});

const rotate = z.strictObject({
  size: size()
    .prefault('256MiB')
    .describe('A log file larger than this is closed and a new one begun; 0 turns it off.'),
  age: duration().prefault('24h').describe('A log file older than this is closed; 0 turns it off.'),
  keep: z
    .int()
    .min(0)
    .max(100_000)
    .default(7)
    .describe('Closed log files that stay; older ones are deleted. 0 keeps all.'),
});

const log = z.strictObject({
  file: path().optional().describe("Header log: a file, or '-' for standard output. Without it no log is written."),
  rotate: rotate.prefault({}).describe('When a log file is closed and a new one begun.'),
  compress: z.enum(['none', 'gzip', 'zstd']).default('none').describe('How closed log files are compressed.'),
  headers: z
    .strictObject({
      include: headerNames().default([]).describe('Only these header fields are logged; empty: all.'),
      exclude: headerNames().default([]).describe('These header fields are not logged.'),
    })
    .prefault({})
    .describe("Which header fields are logged. '*' in a name stands for any characters."),
  keep: z
    .strictObject({
      errors: z
        .boolean()
        .default(true)
        .describe('Log every call that failed (status >= 400, or an outcome that is not complete or upgraded).'),
      slow: duration().optional().describe('Log every call that took this long or longer.'),
      share: z
        .number()
        .min(0)
        .max(1)
        .default(1)
        .describe('Share of all other calls that is logged; counts stay exact.'),
    })
    .prefault({})
    .describe('Which calls are logged.'),
  queue: size()
    .refine(...atLeast(65_536, '64KiB'))
    .prefault('32MiB')
    .describe('Bytes that may wait for a slow disk; beyond it log lines are dropped and counted (log_queue_full).'),
});

const redact = z.strictObject({
  sensitive: headerNames()
    .default([])
    .describe("Header fields to fingerprint, beside the built-in list. '*' stands for any characters."),
  allow: headerNames()
    .default([])
    .describe(
      "Header fields that stay readable although their name or their value looks like a credential's. The well-known ones (authorization, cookie, x-api-key, ...) are fingerprinted all the same.",
    ),
  query: z
    .array(z.string().min(1).max(NAME_MAX))
    .max(LIST_MAX)
    .default([])
    .describe('Query parameters to fingerprint, beside the built-in list.'),
});

const timeouts = z.strictObject({
  response: duration()
    .refine(...atLeast(1e6, '1ms'))
    .prefault('5m')
    .describe('A call without a response for this long has the outcome "timeout".'),
  idle: duration()
    .refine(...atLeast(SECOND_NS, '1s'))
    .prefault('15m')
    .describe('The state of a connection that was silent for this long is given up.'),
});

const store = z.strictObject({
  enabled: z.boolean().default(true).describe('Keep calls, statistics and the ledger on disk, for query and report.'),
  folder: path()
    .optional()
    .describe(
      "Data folder; the user that parses traffic owns it. Default: 'data' in the state directory (/var/lib/headwater for root).",
    ),
  keep: z
    .strictObject({
      age: duration().prefault('30d').describe('Sealed hours older than this are removed. 0: age does not matter.'),
      size: size()
        .prefault('10GiB')
        .describe('The oldest are removed while the folder is larger. 0: size does not matter.'),
    })
    .prefault({})
    .describe('How much is kept.'),
});

const tls = z.strictObject({
  secrets: z
    .boolean()
    .default(true)
    .describe(
      'Take the secrets of TLS handshakes from the processes in scope, so that their calls can be read. They stay in memory. Without them a TLS connection is shown by name, bytes and times (tls_no_secret).',
    ),
  verify_tags: z
    .boolean()
    .default(false)
    .describe(
      'Check the authentication tag of every TLS record, not only of the first under a key and of those after a loss. Costs more: records are decrypted whole, and up to a whole record (24 KiB) of each burst is copied. headwater replay always does.',
    ),
});

const limits = z.strictObject({
  connections: z
    .int()
    .min(16)
    .max(10_000_000)
    .default(100_000)
    .describe('Connections followed at a time; more are counted (connection_limit).'),
  memory: size()
    .refine(...atLeast(16 * MIB, '16MiB'))
    .prefault('96MiB')
    .describe('Memory for bytes that wait for missing ones, over all connections, and for messages in the making.'),
});

export const configSchema = z
  .strictObject({
    cgroups: z
      .array(path())
      .max(LIST_MAX)
      .default([])
      .describe(
        'Cgroup directories to observe. Empty: the whole unified hierarchy, that is every process of the host. A connection belongs to the cgroup in which its socket was made, an accepted one to that of the listener: with socket activation, the one of the socket unit.',
      ),
    services: z.array(service).max(LIST_MAX).default([]).describe('Names for services.'),
    capture: capture.prefault({}).describe('What leaves the kernel.'),
    log: log.prefault({}).describe('The header log.'),
    redact: redact.prefault({}).describe('What never leaves memory as text. Credentials are fingerprinted by default.'),
    filter: z
      .string()
      .max(4_096)
      .default('')
      .describe('CEL expression: only calls that match are logged and shown. Counts stay exact.'),
    listen: z
      .string()
      .refine((text) => parseListen(text) !== null, 'expected ADDR:PORT, such as 127.0.0.1:9464')
      .optional()
      .describe('ADDR:PORT for /healthz, /readyz and /metrics. An address other than loopback needs token_file.'),
    token_file: path()
      .optional()
      .describe(
        'File with the token (one line, 16 characters or more) that clients of `listen` send as "Authorization: Bearer TOKEN".',
      ),
    socket: path()
      .optional()
      .describe('Unix socket for tail, status and why. Default: headwater.sock in the runtime directory.'),
    user: z
      .string()
      .min(1)
      .max(NAME_MAX)
      .default('nobody')
      .describe('User that the process which parses traffic runs as.'),
    stats_only: z
      .boolean()
      .default(false)
      .describe('No record of a single call leaves memory: no log, no tail. Counts only.'),
    window: duration()
      .refine(...atLeast(SECOND_NS, '1s'))
      .prefault('60s')
      .describe('Window over which rates are computed.'),
    timeouts: timeouts.prefault({}).describe('When waiting ends.'),
    store: store.prefault({}).describe('The embedded store (docs/store.md).'),
    tls: tls.prefault({}).describe('Encrypted traffic.'),
    limits: limits.prefault({}).describe('Bounds; what goes beyond them is counted by reason.'),
  })
  .describe(
    'Configuration of headwater run and headwater replay. Sizes: 4096, 64KiB, 16MiB, 1GB. Durations: 200ms, 5s, 1m30s, 7d.',
  );

/** Sizes in bytes, durations in nanoseconds, header names in lower case. */
export type Config = z.infer<typeof configSchema>;
