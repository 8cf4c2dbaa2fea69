/** A certificate of the test's own, for localhost, signed by itself, with an elliptic key. */
import { join } from 'node:path';
import { findProgram } from '../need.ts';
import { must } from '../program.ts';

export interface SelfSigned {
  readonly key: string;
  readonly certificate: string;
}

/** `key.pem` and `cert.pem` in `folder`; needs the openssl program. */
export async function selfSigned(folder: string): Promise<SelfSigned> {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-days', '2'];
  const files = ['-keyout', key, '-out', certificate];
  await must([findProgram('openssl')!, 'req', '-x509', ...curve, ...subject, ...files]);
  return { key, certificate };
}
