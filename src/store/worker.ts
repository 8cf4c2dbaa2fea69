/** The thread that writes: batches into the live log, closed segments into Parquet, and what is too old out of the folder. */
import { parentPort, workerData } from 'node:worker_threads';
import { steadyMs } from '../base/clock.ts';
import type { FromWorker, ToWorker } from './protocol.ts';
import { StoreFiles } from './store-files.ts';
import { RehearsedSegment } from './store-rehearsal.ts';

const KEEP_MS = 60_000;

const port = parentPort!;
const say = (message: FromWorker): void => port.postMessage(message);
let files: StoreFiles | null = null;
let rehearsed = new RehearsedSegment();

port.on('message', (message: ToWorker) => {
  if (message.type === 'rehearse') {
    const calls = rehearsed.batch(message.records, message.last);
    if (calls !== null) say({ type: 'rehearsed', calls });
    return;
  }
  if (message.type === 'open') {
    const opened = StoreFiles.open(message, say);
    if (!opened.ok) {
      say({ type: 'refused', message: opened.message, hint: opened.hint });
      return;
    }
    files = opened.files;
    rehearsed = new RehearsedSegment();
    // What the rehearsal left: this thread may do nothing for long, and nothing is collected then.
    globalThis.gc?.();
    say({ type: 'opened', nextSegment: files.nextSegment, damage: files.damage });
    setInterval(() => files?.keep(steadyMs()), KEEP_MS).unref();
    return;
  }
  if (files === null) return;
  switch (message.type) {
    case 'batch':
      files.batch(message);
      break;
    case 'rotate':
      files.rotate(message.segment);
      break;
    case 'close':
      say({ type: 'closed', unwritten: files.close() });
      port.close();
  }
});

if (workerData !== null && typeof workerData === 'object' && 'ready' in workerData) {
  // Its code is loaded: from now on this process may lose its rights to read it.
  Atomics.store(workerData.ready as Int32Array, 0, 1);
  Atomics.notify(workerData.ready as Int32Array, 0);
}
