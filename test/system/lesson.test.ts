/** docs/environment.md's first program: what the page tells the reader to type is what runs here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, Program } from '../rig/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const LESSON = join(ROOT, 'docs/lesson');

/** The command that the guide gives, so that the reader's is the one that is tested. */
const buildCommand = (): string => {
  const line = /^clang .*headers\.bpf\.c.*$/m.exec(readFileSync(join(ROOT, 'docs/environment.md'), 'utf8'))?.[0];
  if (line === undefined) throw new Error('docs/environment.md does not say how the lesson is built');
  return line;
};

const serverSource = `import { createServer } from 'node:http';
createServer((request, response) => response.end('ok')).listen(0, '127.0.0.1', function () {
  console.log('port ' + this.address().port);
});`;

when(
  it,
  'root',
  'cgroup2',
  'clang',
  'python3',
)('builds, attaches and shows the headers of a call', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('lesson');
  const object = folder.file('headers.bpf.o');
  await must(['sh', '-c', buildCommand().replace(/-o \S+/, `-o ${object}`)], { cwd: LESSON });
  await using logger = new Program(['python3', join(LESSON, 'run.py'), object, cgroup.path]);
  await logger.until('attached', () => logger.stdout.includes('attached'));
  await using server = new Program([process.execPath, folder.write('server.mjs', serverSource)], { cgroup });
  await server.until('port', () => server.stdout.includes('port '));
  const port = Number(/port (\d+)/.exec(server.stdout)![1]);
  const response = await fetch(`http://127.0.0.1:${port}/lesson`, { headers: { 'X-Lesson': 'first program' } });
  expect(await response.text()).toBe('ok');
  await logger.until('the call', () => /x-lesson/i.test(logger.stdout));
  expect(logger.stdout).toMatch(/^GET \/lesson HTTP\/1\.1\r?$/m);
  expect(logger.stdout).toMatch(/^x-lesson: first program\r?$/im);
});

it('is about twenty lines of C', () => {
  const source = readFileSync(join(LESSON, 'headers.bpf.c'), 'utf8');
  const code = source.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('//'));
  expect(code.length).toBeLessThanOrEqual(26);
});
