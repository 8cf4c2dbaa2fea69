/** Says on a terminal that something is being done when it takes longer than a moment. */

const AFTER_MS = 500;
const EVERY_MS = 200;

/** `work`, with what it is and its seconds (since `startedMs` of `performance.now`) on stderr while it lasts; the line is gone afterwards. */
export async function whileWaiting<T>(
  what: string,
  work: Promise<T>,
  startedMs: number = performance.now(),
): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return await work;
  let shown = false;
  const show = (): void => {
    const ms = performance.now() - startedMs;
    if (ms < AFTER_MS) return;
    shown = true;
    stderr.write(`\r${what} ... ${(ms / 1_000).toFixed(1)} s (Ctrl-C ends)`);
  };
  // A step of something longer says at once how far it is.
  show();
  const timer = setInterval(show, EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (shown) stderr.write('\r\u001b[K');
  }
}
