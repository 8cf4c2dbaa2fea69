/** Burns a share of one core and looks at nothing: what any observer of that cost would leave of the throughput. Runs as a program of its own. */
const PERIOD_MS = 24;

const [share] = process.argv.slice(2).map(Number);
if (share === undefined || !(share > 0 && share < 1))
  throw new Error('burner.ts SHARE: a share of one core, between 0 and 1');

const burn = (): void => {
  const end = performance.now() + PERIOD_MS * share;
  while (performance.now() < end);
  setTimeout(burn, PERIOD_MS * (1 - share));
};
burn();
