/** Servers of files over TLS that write HTTP/2 frames across TLS records: h2o, which also defers accepting, and lighttpd. */
import { writeFileSync } from 'node:fs';
import type { Cgroup } from '../cgroup.ts';
import { findProgram } from '../need.ts';
import type { TlsHome } from '../tls/servers.ts';
import type { Server } from './server.ts';

/** Serves the folder of `home`. */
export type FileServer = (home: TlsHome, cgroup: Cgroup) => Promise<Server>;

export const h2o: FileServer = (home, cgroup) =>
  home.serve(
    'h2o',
    (port) => {
      const { folder } = home;
      writeFileSync(
        folder.file('h2o.conf'),
        `user: root
hosts:
  default:
    listen:
      host: 127.0.0.1
      port: ${port}
      ssl: { certificate-file: ${folder.file('cert.pem')}, key-file: ${folder.file('key.pem')} }
    paths: { "/": { file.dir: ${folder.path} } }
`,
      );
      return [findProgram('h2o')!, '-c', folder.file('h2o.conf')];
    },
    cgroup,
  );

export const lighttpd: FileServer = (home, cgroup) =>
  home.serve(
    'lighttpd',
    (port) => {
      const { folder } = home;
      writeFileSync(
        folder.file('lighttpd.conf'),
        `server.modules = ("mod_openssl")
server.document-root = "${folder.path}"
server.bind = "127.0.0.1"
server.port = ${port}
ssl.engine = "enable"
ssl.pemfile = "${folder.file('cert.pem')}"
ssl.privkey = "${folder.file('key.pem')}"
`,
      );
      return [findProgram('lighttpd')!, '-D', '-f', folder.file('lighttpd.conf')];
    },
    cgroup,
  );
