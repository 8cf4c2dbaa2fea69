/** From version 1 to 2: a context of a log has other records, so logs of version 1 are sealed; what is sealed is read as it is. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { LIVE, segmentOf } from './layout.ts';
import { checkLog, readLog, type StoreDamage } from './recover.ts';
import { list, seal, sealedSegments } from './seal.ts';

/** May be interrupted anywhere and run again: a segment that is sealed already is not sealed twice. Returns what was found damaged. */
export function sealLogs(data: string): StoreDamage[] {
  const damage: StoreDamage[] = [];
  const sealed = sealedSegments(data);
  for (const name of list(join(data, LIVE))) {
    const number = name.endsWith('.log') ? segmentOf(name) : -1;
    if (number < 0) continue;
    const path = join(data, LIVE, name);
    if (!sealed.has(number)) {
      const checked = checkLog(data, path);
      damage.push(...checked.damage);
      const segment = checked.kept ? readLog(path) : null;
      // One that does not say when it was begun is set aside by the start itself.
      if (segment?.header === null) continue;
      if (segment !== null && !segment.empty) seal(data, number, segment.header.openedMs, segment);
    }
    rmSync(path, { force: true });
  }
  return damage;
}
