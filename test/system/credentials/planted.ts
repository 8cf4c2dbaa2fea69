/** Every shape of a credential in every place where it must vanish. */
import { ANYWHERE, KNOWN, QUIET, RANDOM, SENSITIVE, type Shape, WELL_KNOWN } from '../../fixtures/canaries.ts';
import type { ExchangeSpec } from '../../unit/log-rig.ts';

export interface Planted {
  readonly place: string;
  readonly secret: string;
  readonly spec: ExchangeSpec;
}

/** Each with a secret of its own. */
export function planted(): Planted[] {
  const all: Planted[] = [];
  const plant = (
    shapes: Readonly<Record<string, Shape>>,
    places: Readonly<Record<string, (c: string) => ExchangeSpec>>,
  ) => {
    for (const [kind, shape] of Object.entries(shapes))
      for (const [place, put] of Object.entries(places)) {
        const { text, secret } = shape(`live ${kind} ${place}`);
        all.push({ place: `${kind} in ${place}`, secret, spec: put(text) });
      }
  };
  plant({ ...KNOWN, ...RANDOM, ...QUIET }, SENSITIVE);
  plant({ ...KNOWN, ...RANDOM }, ANYWHERE);
  plant(KNOWN, WELL_KNOWN);
  return all;
}
