/** `npm run test:crash [-- KILLS]`: 1,000 kills of a writing store at random instants, or as many as said, then a twentieth of them on a full disk. */
import { Folder } from '../rig/folder.ts';
import { SmallDisk } from './small-disk.ts';
import { killAgainAndAgain } from './store-kill.ts';

const kills = Number(process.argv[2] ?? 1_000);
if (!Number.isInteger(kills) || kills < 1) {
  process.stderr.write(`test:crash takes a number of kills, not ${process.argv[2]}\n`);
  process.exit(2);
}
using folder = new Folder();
const result = await killAgainAndAgain(folder.file('data'), kills, Math.random);
process.stdout.write(`${JSON.stringify(result)}\n`);
using disk = new SmallDisk(folder.file('disk'));
const onFull = await killAgainAndAgain(disk.data, Math.ceil(kills / 20), Math.random, (full) => disk.fill(full));
process.stdout.write(`on a full disk: ${JSON.stringify(onFull)}\n`);
