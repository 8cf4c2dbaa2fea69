/**
 * Adds up vitest's JSON results and prints the run's last line: `N passed, N failed, N skipped`.
 *
 *     node tools/summary.ts FAILED_CHECKS RESULT.json...
 *
 * A result file that is missing or unreadable (the run crashed or was cut off) and a test file that failed before its
 * first test count as one failure each. Exit 1 when anything failed, and when no test ran at all.
 */
import { readFileSync } from 'node:fs';

interface TestFile {
  name: string;
  status: string;
  message?: string;
  assertionResults: { status: string; fullName: string }[];
}

const [checks, ...files] = process.argv.slice(2);
if (checks === undefined || files.length === 0) {
  console.error('usage: node tools/summary.ts FAILED_CHECKS RESULT.json...');
  process.exit(2);
}

const total = { passed: 0, failed: Number(checks), skipped: 0 };
const skipped: string[] = [];
for (const file of files) {
  for (const testFile of read(file)) {
    if (testFile.status === 'failed' && !testFile.assertionResults.some((test) => test.status === 'failed')) {
      console.log(`FAILED before its first test: ${testFile.name}: ${testFile.message ?? ''}`);
      total.failed++;
    }
    for (const test of testFile.assertionResults) {
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
if (total.passed + total.failed === 0) console.log('no test ran');
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

function read(file: string): TestFile[] {
  try {
    const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as { testResults?: TestFile[] };
    if (!Array.isArray(testResults)) throw new Error('not a result of vitest');
    return testResults;
  } catch (error) {
    console.log(`FAILED: no results in ${file}: ${error instanceof Error ? error.message : String(error)}`);
    total.failed++;
    return [];
  }
}
