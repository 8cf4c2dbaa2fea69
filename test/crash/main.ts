/**
 * `npm run test:crash [-- KILLS [FOLDER]]`: 1,000 kills of a writing store at random instants, or as many as said, then a twentieth of
 * them on a full disk. They go in rounds, each with a data folder of its own. With FOLDER what each round found is kept there,
 * so that the same command goes on where an earlier one was stopped; the data of a round that failed stay for a look.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Folder } from '../rig/folder.ts';
import { SmallDisk } from './small-disk.ts';
import { type KillResult, killAgainAndAgain } from './store-kill.ts';

/** Each look at a round reads all of its segments: longer rounds take more than their share of time. */
const ROUND_KILLS = 50;

interface Round {
  readonly name: string;
  readonly kills: number;
  readonly full: boolean;
}
interface Found extends Round {
  readonly result?: KillResult;
  readonly failure?: string;
}

const kills = Number(process.argv[2] ?? 1_000);
if (!Number.isInteger(kills) || kills < 1) {
  process.stderr.write(`test:crash takes a number of kills, not ${process.argv[2]}\n`);
  process.exit(2);
}

function roundsOf(all: number, full: boolean): Round[] {
  const rounds: Round[] = [];
  for (let left = all; left > 0; left -= ROUND_KILLS)
    rounds.push({ name: `${full ? 'full-disk' : 'kill'}-${rounds.length}`, kills: Math.min(left, ROUND_KILLS), full });
  return rounds;
}

async function play(folder: string, round: Round): Promise<Found> {
  const path = join(folder, round.name);
  rmSync(path, { recursive: true, force: true });
  try {
    if (round.full) {
      using disk = new SmallDisk(path);
      return {
        ...round,
        result: await killAgainAndAgain(disk.data, round.kills, Math.random, (full) => disk.fill(full)),
      };
    }
    const result = await killAgainAndAgain(path, round.kills, Math.random);
    rmSync(path, { recursive: true });
    return { ...round, result };
  } catch (error) {
    return { ...round, failure: (error as Error).message };
  }
}

using temporary = new Folder();
const folder = process.argv[3] ?? temporary.file('rounds');
mkdirSync(folder, { recursive: true });
const log = join(folder, 'rounds.ndjson');
const found = existsSync(log)
  ? readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Found)
  : [];
for (const round of [...roundsOf(kills, false), ...roundsOf(Math.ceil(kills / 20), true)]) {
  if (found.some(({ name, kills }) => name === round.name && kills === round.kills)) continue;
  const one = await play(folder, round);
  found.push(one);
  appendFileSync(log, `${JSON.stringify(one)}\n`);
  process.stdout.write(`${JSON.stringify(one)}\n`);
}
const failed = found.filter(({ failure }) => failure !== undefined);
const sum = (full: boolean): number =>
  found.reduce((all, one) => all + (one.full === full ? (one.result?.kills ?? 0) : 0), 0);
process.stdout.write(
  `${sum(false)} kills, ${sum(true)} on a full disk; ${failed.length} of ${found.length} rounds failed\n`,
);
if (failed.length > 0) process.exitCode = 1;
