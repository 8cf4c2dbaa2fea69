/**
 * Finds again where a direction goes on after lost bytes, and with which record number: it is a part of the nonce, and a tag
 * fits one alone.
 */
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Content } from './content.ts';
import type { RecordProtection } from './protection.ts';
import type { TlsCounters } from './shared.ts';
import { RECORD_BYTES_MAX } from './workspace.ts';

/** Work for one loss: records decrypted, and their bytes. Beyond it the direction is given up. */
const TRIALS_MAX = 4_096;
const TRIAL_BYTES_MAX = 4 << 20;

export class Step {
  /** Encrypted bytes lost while the next record is searched, why, and since when. */
  bytes = 0;
  why: LossReason | 'left_out' = 'gap';
  since = 0;
  /** The next record's number is the kernel's word: its tag has to confirm it. */
  unsure = false;
  #trials = 0;
  #trialBytes = 0;

  /** `bytes` more are lost. */
  lose(bytes: number, why: LossReason | 'left_out'): void {
    this.bytes += bytes;
    this.why = why;
    this.#trials = 0;
    this.#trialBytes = 0;
  }

  /**
   * What is lost before `position` of the encrypted bytes were `records`: puts `keys` at the right number and gives the content up,
   * of which there is none when nobody had `asked`. False: that cannot be.
   */
  take(keys: RecordProtection, records: number, content: Content, position: number, asked: boolean): boolean {
    if (this.bytes === 0 || this.bytes < records * keys.overhead) return false;
    keys.sequence += records;
    if (asked) content.gap(Math.max(0, this.bytes - records * keys.usualOverhead), this.why, this.since);
    content.recordEnds(position);
    this.bytes = 0;
    this.unsure = true;
    return true;
  }

  /**
   * Tries the record numbers that the record at `memory[at]` can have, with `at` more bytes lost before it. Returns the
   * content that is lost, in bytes, with `keys` at the right number; -1: it is no record of theirs; -2: it has cost too much.
   */
  find(keys: RecordProtection, memory: Memory, at: number, size: number, counters: TlsCounters): number {
    const lost = this.bytes + at;
    const first = keys.sequence;
    // The record that is tried here is whole and tells of itself.
    const usual = keys.usualOverhead;
    const fewest = Math.max(0, Math.ceil((lost - keys.overhead) / RECORD_BYTES_MAX) - 1);
    const most = Math.floor(lost / keys.overhead) + 1;
    for (let n = fewest; n <= most; n++) {
      this.#trials++;
      this.#trialBytes += size;
      if (this.#trials > TRIALS_MAX || this.#trialBytes > TRIAL_BYTES_MAX) {
        keys.sequence = first;
        return -2;
      }
      counters.trials++;
      keys.sequence = first + n;
      if (keys.open(memory, at, size, true)) return Math.max(0, lost - n * usual);
    }
    keys.sequence = first;
    return -1;
  }
}
