/** Says on a terminal that something is being done when it takes longer than a moment. */

const AFTER_MS = 500;
const EVERY_MS = 200;

/** `work`, with what it is and its seconds on stderr while it lasts; the line is gone afterwards. */
export async function whileWaiting<T>(what: string, work: Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return await work;
  const started = performance.now();
  let shown = false;
  const timer = setInterval(() => {
    const ms = performance.now() - started;
    if (ms < AFTER_MS) return;
    shown = true;
    stderr.write(`\r${what} ... ${(ms / 1_000).toFixed(1)} s (Ctrl-C ends)`);
  }, EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (shown) stderr.write('\r\u001b[K');
  }
}
