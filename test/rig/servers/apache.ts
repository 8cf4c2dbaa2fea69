import { truncateSync, writeFileSync } from 'node:fs';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { freePort } from '../ports.ts';
import type { ProgramOptions } from '../program.ts';
import { BIG_BYTES, Server } from './server.ts';

export interface ApacheOptions extends ProgramOptions {
  readonly mpm?: 'event' | 'prefork';
}

/** Apache httpd with /small, /big, /missing. It listens with TCP_DEFER_ACCEPT, its default. */
export async function apache(options: ApacheOptions = {}): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const log = folder.file('access.log');
  writeFileSync(folder.file('small'), 'small\n');
  writeFileSync(folder.file('big'), '');
  truncateSync(folder.file('big'), BIG_BYTES);
  const modules = [`mpm_${options.mpm ?? 'event'}`, 'authz_core'];
  writeFileSync(
    folder.file('apache.conf'),
    `${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
ServerName localhost
Listen ${port}
User nobody
Group nogroup
PidFile ${folder.file('apache.pid')}
DefaultRuntimeDir ${folder.path}
ErrorLog ${folder.file('error.log')}
LogFormat "%{X-Request-Id}i\\t%m\\t%U%q\\t%>s\\t%B" truth
CustomLog ${log} truth
DocumentRoot ${folder.path}
KeepAlive On
MaxKeepAliveRequests 0
StartServers 2
`,
  );
  const command = [findProgram('apache2')!, '-d', folder.path, '-f', folder.file('apache.conf'), '-DFOREGROUND'];
  const name = `apache-${options.mpm ?? 'event'}`;
  return Server.start({ name, port, command, log, resources: folder }, options);
}
