/** Looks users up in /etc/passwd itself: no name service, no external program, the same answer in a container without either. */
import { Refusal } from './refusal.ts';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The uid and gid that Linux calls "overflow" and that distributions call nobody. */
const OVERFLOW_ID = 65534;

/**
 * @param wanted a name or a number.
 * @param passwd text of /etc/passwd; "" when there is none.
 * @returns who the pipeline runs as; never root.
 */
export const findUser = (wanted: string, passwd: string): User | Refusal => {
  for (const line of passwd.split('\n')) {
    const [name, , uidText, gidText] = line.split(':');
    if (name === undefined || uidText === undefined || gidText === undefined) continue;
    if (name !== wanted && uidText !== wanted) continue;
    const uid = Number(uidText);
    const gid = Number(gidText);
    if (!/^\d+$/.test(uidText) || !/^\d+$/.test(gidText) || uid >= 0xffff_ffff || gid >= 0xffff_ffff) continue;
    if (uid === 0 || gid === 0) {
      return new Refusal(
        `Cannot run the pipeline as ${wanted}: it parses hostile bytes and must not be root.`,
        'Name an unprivileged user (the default is nobody).',
      );
    }
    return { name, uid, gid };
  }
  if (wanted === 'nobody') return { name: 'nobody', uid: OVERFLOW_ID, gid: OVERFLOW_ID };
  return new Refusal(
    `Cannot run the pipeline as ${wanted}: no such user in /etc/passwd.`,
    `Create it: useradd --system --no-create-home --shell /usr/sbin/nologin ${wanted}`,
  );
};
