/** `npm run test:crash [-- KILLS]`: 1,000 kills of a writing store at random instants, or as many as said. */
import { Folder } from '../rig/folder.ts';
import { killAgainAndAgain } from './store-kill.ts';

const kills = Number(process.argv[2] ?? 1_000);
if (!Number.isInteger(kills) || kills < 1) {
  process.stderr.write(`test:crash takes a number of kills, not ${process.argv[2]}\n`);
  process.exit(2);
}
using folder = new Folder();
const result = await killAgainAndAgain(folder.file('data'), kills, Math.random);
process.stdout.write(`${JSON.stringify(result)}\n`);
