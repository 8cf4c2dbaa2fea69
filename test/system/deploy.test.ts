/** The files of deploy/, as far as the programs that read them can say without a host of their own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, run } from '../rig/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const HEADWATER = join(ROOT, 'bin/headwater');
const deployed = (name: string): string => readFileSync(join(ROOT, 'deploy', name), 'utf8');

when(test, 'systemd-analyze')('systemd finds nothing wrong with the unit', async () => {
  using folder = new Folder();
  const text = deployed('headwater.service');
  const start = /^ExecStart=(\S+) run --config (\S+)$/m.exec(text);
  expect(start?.slice(1)).toEqual(['/opt/headwater/node_modules/.bin/headwater', '/etc/headwater/headwater.yaml']);
  const unit = folder.write(
    'headwater.service',
    text.replace(start![1]!, HEADWATER).replace(/^Documentation=.*\n/m, ''),
  );
  const { code, stdout, stderr } = await run(['systemd-analyze', 'verify', '--man=no', unit]);
  expect({ code, said: `${stdout}${stderr}` }).toEqual({ code: 0, said: '' });
});

test('the configuration is one', async () => {
  expect(await must([HEADWATER, 'config', 'check', join(ROOT, 'deploy/headwater.yaml')])).toMatch(/: ok\n$/);
});

when(test, 'promtool')('Prometheus takes the scrape configuration, with the rules', async () => {
  using folder = new Folder();
  const token = folder.write('token', 'not-a-real-token\n');
  const hosts = folder.write('hosts.yaml', "- targets: ['web-1:9464', 'web-2:9464']\n");
  const config = deployed('prometheus.yml')
    .replace('/etc/prometheus/headwater/token', token)
    .replace('/etc/prometheus/headwater/hosts.yaml', hosts)
    .replace('/etc/prometheus/headwater/prometheus-rules.yaml', join(ROOT, 'grafana/prometheus-rules.yaml'));
  expect(config).not.toContain('/etc/');
  const said = await must(['promtool', 'check', 'config', folder.write('prometheus.yml', config)]);
  expect(said).toMatch(/1 rule files? found/);
});
