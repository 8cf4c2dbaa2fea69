/** What fields mean to HTTP/2. */
import { NAMES_MAX, type NameTable } from '../names.ts';

export const ROLE_NONE = 0;
/** Belongs to HTTP/1 connections (RFC 9113 8.2.2). */
export const ROLE_CONNECTION = 1;
export const ROLE_TE = 2;

/** Roles by the id of the field's name. */
export function rolesOf(names: NameTable): Uint8Array {
  const roles = new Uint8Array(NAMES_MAX + 1);
  for (const name of ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']) {
    roles[names.intern(name).id] = ROLE_CONNECTION;
  }
  roles[names.intern('te').id] = ROLE_TE;
  return roles;
}
