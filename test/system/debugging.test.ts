/** Every recipe of docs/debugging.md, run as it stands against a live agent with some traffic. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { curl } from '../rig/clients/curl.ts';
import { when } from '../rig/need.ts';
import { must, run } from '../rig/program.ts';
import { nodeSite } from '../rig/servers/site.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Recipe {
  readonly title: string;
  readonly script: string;
  readonly expected: RegExp;
}

const page = readFileSync(join(ROOT, 'docs/debugging.md'), 'utf8');
const recipes = [...page.matchAll(/```sh\n([\s\S]*?)```\n(?:<!-- expect: (.*) -->)?/g)].map((match): Recipe => {
  const heading = page
    .slice(0, match.index)
    .match(/^#+ (.*)$/gm)!
    .at(-1)!;
  return {
    title: `${heading.replace(/^#+ /, '')} (line ${page.slice(0, match.index).split('\n').length})`,
    script: match[1]!,
    expected: new RegExp(match[2] ?? '$^', 'm'),
  };
});
const [variables, ...rest] = recipes;

it('has recipes, and each says what to expect', () => {
  expect(recipes.length).toBeGreaterThan(10);
  for (const { title, expected } of recipes) expect(expected.source, title).not.toBe('$^');
});

const needs = ['root', 'cgroup2', 'bpf', 'bpftool', 'jq', 'tcpdump', 'unshare'];

when(describe, ...needs)('recipes', () => {
  const resources = new AsyncDisposableStack();
  let cgroup: Cgroup;
  let agent: Agent;

  beforeAll(async () => {
    cgroup = resources.use(new Cgroup('debugging'));
    const server = resources.use(await nodeSite({ cgroup }));
    agent = resources.use(await Agent.start({ cgroups: [cgroup] }));
    await curl([`http://127.0.0.1:${server.port}/small`]);
  });
  afterAll(() => resources.disposeAsync());

  it('the page finds the attacher by its command line', async () => {
    const pattern = /pgrep -o -f '(.+)'/.exec(variables!.script)![1]!;
    // Others may run on this machine.
    expect((await must(['pgrep', '-f', pattern])).split('\n')).toContain(String(agent.program.pid));
  });

  for (const recipe of [variables!, ...rest]) {
    const tools = recipe.script.includes('bpftrace') ? ['bpftrace'] : [];
    when(it, ...tools)(recipe.title, async () => {
      const script = `set -euo pipefail\n${variables!.script}\n${recipe === variables ? '' : recipe.script}`;
      // In a mount namespace of its own: what a recipe mounts goes away with it.
      const ended = await run(['unshare', '--mount', 'bash', '-c', script], {
        env: {
          AGENT: String(agent.program.pid),
          CGROUP: cgroup.path,
          PATH: `${join(ROOT, 'bin')}:/usr/sbin:/sbin:${process.env['PATH']}`,
        },
      });
      expect(`${ended.stdout}${ended.stderr}`).toMatch(recipe.expected);
      expect(ended.code, ended.stderr).toBe(0);
    });
  }
});
