/** `headwater export --pcapng`: takes the agent's packets and writes whole blocks, so that the file can be read however it ends. */
import { EXIT, fail } from '../../base/failure.ts';
import { BLOCK_FRAME_BYTES, DECRYPTION_SECRETS, ENHANCED_PACKET, readStatistics } from '../../export/pcapng/blocks.ts';
import type { ExportFlags } from '../flags.ts';
import { count, shortBytes, some } from '../text/numbers.ts';
import { answered, connect } from './agent.ts';
import { openOutput } from './output.ts';

const SECONDS = 10;
/** A timer may fire by less than a millisecond early. */
const TIMER_GRAIN_MS = 1;
/** The agent's longest block is a packet of 64 KiB with its comment. */
const BLOCK_BYTES_MAX = 1 << 20;

const note = (text: string): void => {
  process.stderr.write(`headwater: ${text}\n`);
};

export async function exportPackets(file: string, flags: ExportFlags): Promise<number> {
  const seconds = flags.seconds ?? SECONDS;
  const secrets = flags.withSecrets === true;
  const client = connect(flags.socket);
  // Before the request: the agent's seconds begin later, however late its answer comes.
  const until = performance.now() + seconds * 1_000 - TIMER_GRAIN_MS;
  const stream = answered(client, await client.packets(seconds, secrets));
  const output = await openOutput(file, true);
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      interrupted = true;
      stream.close();
    });
  note('packets are written as they are: headers and bodies are not redacted');
  if (secrets)
    note(
      'with TLS secrets: whoever has this file can read what these connections encrypted; keep it as you keep the traffic itself',
    );
  const blocks = new Blocks();
  try {
    for await (const chunk of stream.bytes) for (const block of blocks.take(chunk)) await output.write(block);
  } catch (error) {
    if (!interrupted && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  } finally {
    stream.close();
    await output.close();
  }
  const { packets, keyLogs, size, statistics } = blocks;
  const kept = secrets ? `, ${some(keyLogs, 'TLS secret')}` : '';
  const lost = statistics === null ? 0 : statistics.dropped;
  note(
    `${some(packets, 'packet')}${kept}, ${shortBytes(size)}${lost === 0 ? '' : `; ${count(lost)} more were lost: this disk was too slow`}`,
  );
  if (interrupted || (statistics !== null && performance.now() >= until)) return EXIT.DONE;
  note('the agent has ended before the time was over');
  return EXIT.BAD_ANSWER;
}

/** Cuts what comes into whole pcapng blocks. */
class Blocks {
  packets = 0;
  keyLogs = 0;
  size = 0;
  /** The numbers at the end; null: the end was not seen. */
  statistics: ReturnType<typeof readStatistics> = null;
  #rest: Buffer = Buffer.alloc(0);

  /** Whole blocks, one after the other in one piece, or nothing. */
  *take(chunk: Buffer): Generator<Buffer> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + BLOCK_FRAME_BYTES <= bytes.length) {
      const length = bytes.readUInt32LE(at + 4);
      if (length < BLOCK_FRAME_BYTES || length > BLOCK_BYTES_MAX)
        fail(EXIT.MACHINE, 'what answers at this socket is no agent');
      if (at + length > bytes.length) break;
      this.#count(bytes.subarray(at, at + length));
      at += length;
    }
    this.#rest = bytes.subarray(at);
    this.size += at;
    if (at > 0) yield bytes.subarray(0, at);
  }

  #count(block: Buffer): void {
    const type = block.readUInt32LE(0);
    if (type === ENHANCED_PACKET) this.packets++;
    else if (type === DECRYPTION_SECRETS) this.keyLogs++;
    else this.statistics = readStatistics(block) ?? this.statistics;
  }
}
