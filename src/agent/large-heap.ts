/**
 * When the heap has become large, memory goes before speed. V8 moves little together while it thinks that there is enough memory, so that of 120 MB
 * 50 were holes; told to optimize for size it moves more at each collection, at 3 to 6 % of CPU. The usual heap of 40 MB does without.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

/** From here on it is large, until it is back below the other one. */
export const LARGE_BYTES = 64 << 20;
export const USUAL_BYTES = 48 << 20;

/** A large heap is collected more often: 8 MB of 90 less. */
const LARGE_GROWING = '--heap-growing-percent=12';
/** As the process was started; 0 is V8's own choice. */
const USUAL_GROWING =
  process.execArgv.find((flag) => flag.startsWith('--heap-growing-percent=')) ?? '--heap-growing-percent=0';

export class LargeHeap {
  #large = false;

  /** To be called now and then, with the size of the heap. True: memory goes before speed. */
  look(bytes = getHeapStatistics().total_heap_size): boolean {
    const large = bytes > (this.#large ? USUAL_BYTES : LARGE_BYTES);
    // The collector asks each time (Heap::ShouldOptimizeForMemoryUsage, V8 13.6).
    if (large !== this.#large) {
      setFlagsFromString(large ? '--optimize-for-size' : '--no-optimize-for-size');
      // How far it may grow beyond what lives (MemoryController::GrowingFactor): asked after each collection too.
      setFlagsFromString(large ? LARGE_GROWING : USUAL_GROWING);
    }
    this.#large = large;
    return large;
  }
}
