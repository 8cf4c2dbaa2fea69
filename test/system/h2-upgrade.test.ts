/** HTTP/2 by Upgrade (RFC 7540 3.2) through Apache, whose answer may come before the client has said a word of HTTP/2: whole, and each call counted once. */
import { writeFileSync } from 'node:fs';
import { expect, test as it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';

const CALLS = 24;
const BODY_BYTES = 100_000;
/** What the server may send before the client has read its first frame (RFC 9113 6.9.2). */
const FIRST_WINDOW_BYTES = 65_535;

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'apache2',
)('HTTP/2 by Upgrade, with answers longer than the window', async () => {
  using folder = new Folder();
  await must(['chmod', '755', folder.path]);
  writeFileSync(folder.file('body'), 'a'.repeat(BODY_BYTES));
  const port = await freePort();
  const modules = ['mpm_event', 'authz_core', 'http2'];
  writeFileSync(
    folder.file('conf'),
    `ServerRoot ${folder.path}\nServerName localhost\nListen 127.0.0.1:${port}\nProtocols h2c http/1.1\nDocumentRoot ${folder.path}
     PidFile ${folder.file('pid')}\nErrorLog ${folder.file('err')}\nUser www-data\nGroup www-data
     ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}\n`,
  );
  const url = `http://127.0.0.1:${port}/body`;
  await using cgroup = new Cgroup('h2-upgrade');
  await using apache = new Program([findProgram('apache2')!, '-f', folder.file('conf'), '-DFOREGROUND'], { cgroup });
  await apache.until('answer', async () => (await run(['curl', '-sf', '-o', '/dev/null', url])).code === 0);
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const received = new Map<string, number>();
  for (let i = 0; i < CALLS; i++) {
    const wanted = `?id=${i}`;
    const said = await run(['curl', '-s', '--http2', '-o', '/dev/null', '-w', '%{size_download}', `${url}${wanted}`]);
    received.set(`/body${wanted}`, Number(said.stdout));
  }
  const { ledger } = await agent.untilStatus(`${CALLS} calls`, (status) => status.ledger.exchanges === CALLS);
  expect(ledger.requests).toEqual({ seen: CALLS, lost: 0 });
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  expect(exchanges.length).toBe(CALLS);
  for (const x of exchanges) {
    expect(x, x.request.target).toMatchObject({ protocol: 'h2c', stream_id: 1, losses: [], response: { status: 200 } });
    // Some releases of curl leave where HTTP/2 comes in one piece with the 101; on a busy machine the server may be the first to give up.
    const all = received.get(x.request.target) === BODY_BYTES;
    expect(all ? ['complete'] : ['client_abort', 'truncated'], x.request.target).toContain(x.outcome);
    if (all) expect(x.response!.body_bytes, x.request.target).toBe(BODY_BYTES);
    else expect(x.response!.body_bytes, x.request.target).toBeLessThanOrEqual(FIRST_WINDOW_BYTES);
  }
});
