/**
 * Adds up vitest's JSON results and prints the run's last line: `N passed, N failed, N skipped`.
 *
 *     node tools/summary.ts FAILED_CHECKS FOLDER
 *     node tools/summary.ts --failed-files FOLDER
 *
 * FOLDER has `unit.json`, `system.json` and `system-alone.json`. Where it has `again.json` too, those files' results replace
 * what their first run said, and each test that failed then and passed now is named: it is unsteady, which is a defect of its own.
 * A result file that is missing or unreadable (the run crashed or was cut off) and a test file that failed before its
 * first test count as one failure each. Exit 1 when anything failed, and when no test ran at all.
 *
 * `--failed-files` prints the failed test files with real programs, a line each, or nothing when they are more than chance explains.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface TestFile {
  name: string;
  status: string;
  message?: string;
  assertionResults: { status: string; fullName: string }[];
}

/** What real programs on a busy machine can spoil; a failure of a unit test stands. */
const WITH_REAL_PROGRAMS = ['system.json', 'system-alone.json'];
/** More failed files than these are a broken product, and running them again would only take time. */
const MOST_BY_CHANCE = 3;

const [what, folder] = process.argv.slice(2);
if (what === undefined || folder === undefined) {
  console.error('usage: node tools/summary.ts FAILED_CHECKS|--failed-files FOLDER');
  process.exit(2);
}
if (what === '--failed-files') {
  const failed = WITH_REAL_PROGRAMS.flatMap((file) => read(join(folder, file)) ?? []).filter(hasFailed);
  if (failed.length <= MOST_BY_CHANCE) for (const { name } of failed) console.log(name);
} else summarize(Number(what), folder);

function summarize(failedChecks: number, folder: string): void {
  const total = { passed: 0, failed: failedChecks, skipped: 0 };
  const skipped: string[] = [];
  const unsteady: string[] = [];
  const again = new Map<string, TestFile>();
  if (existsSync(join(folder, 'again.json')))
    for (const file of read(join(folder, 'again.json')) ?? []) again.set(file.name, file);

  for (const name of ['unit.json', ...WITH_REAL_PROGRAMS]) {
    const files = read(join(folder, name));
    if (files === undefined) total.failed++;
    for (const first of files ?? []) {
      const file = again.get(first.name) ?? first;
      if (hasFailed(first) && !hasFailed(file))
        unsteady.push(...(failedIn(first).length > 0 ? failedIn(first) : [first.name]));
      if (hasFailed(file) && failedIn(file).length === 0) {
        console.log(`FAILED before its first test: ${file.name}: ${file.message ?? ''}`);
        total.failed++;
      }
      for (const test of file.assertionResults) {
        if (test.status === 'passed') total.passed++;
        else if (test.status === 'failed') total.failed++;
        else {
          total.skipped++;
          skipped.push(test.fullName);
        }
      }
    }
  }

  for (const name of skipped) console.log(`skipped: ${name}`);
  for (const name of unsteady) console.log(`UNSTEADY, failed at first and passed when run again, alone: ${name}`);
  if (total.passed + total.failed === 0) console.log('no test ran');
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}

function hasFailed(file: TestFile): boolean {
  return file.status === 'failed' || failedIn(file).length > 0;
}

function failedIn({ assertionResults }: TestFile): string[] {
  return assertionResults.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName);
}

function read(file: string): TestFile[] | undefined {
  try {
    const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as { testResults?: TestFile[] };
    if (!Array.isArray(testResults)) throw new Error('not a result of vitest');
    return testResults;
  } catch (error) {
    console.error(`FAILED: no results in ${file}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
