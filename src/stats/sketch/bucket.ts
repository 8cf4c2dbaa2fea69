/**
 * Which bucket of a base-2 exponential histogram a number falls into: at scale s bucket i holds (2^(i / 2^s), 2^((i + 1) / 2^s)]. Exact at
 * every bound, which a logarithm is not, and a fraction of its price.
 */

/** Bounds of the scale: Prometheus' schemas end at 8; at -4 one bucket spans 2^16. */
export const SCALE_MAX = 8;
export const SCALE_MIN = -4;
/** The smallest number that has a bucket. */
export const SMALLEST_NORMAL = 2 ** -1022;

const FINEST = 2 ** SCALE_MAX;
/** A cell of 1/512 of the mantissa holds at most one bound of 2^(1/256), the closest of which are 0.0027 apart. */
const CELL_BITS = 9;
const CELLS = 2 ** CELL_BITS;
/** Bits of the bounds 2^(k/256) below 2, and a last one that is never below: high 20 and low 32 of the mantissa. */
const BOUND_HIGH = new Uint32Array(FINEST + 1);
const BOUND_LOW = new Uint32Array(FINEST + 1);
/** Bounds below a cell's first value: the number of the first one that a value in the cell may be above. */
const CELL_BOUND = new Uint16Array(CELLS);

const number = new Float64Array(1);
const bits = new Uint32Array(number.buffer);

for (let k = 0; k < FINEST; k++) {
  number[0] = 2 ** (k / FINEST);
  BOUND_LOW[k] = bits[0]!;
  BOUND_HIGH[k] = bits[1]! & 0xf_ffff;
}
BOUND_HIGH[FINEST] = 0xffff_ffff;
for (let cell = 0, k = 0; cell < CELLS; cell++) {
  while (k < FINEST && 2 ** (k / FINEST) < 1 + cell / CELLS) k++;
  CELL_BOUND[cell] = k;
}

/** Index at SCALE_MAX of a positive normal number: the exponent and the mantissa's top bits, one look into a table, one comparison. */
export function finestIndex(value: number): number {
  number[0] = value;
  const high = bits[1]!;
  const mantissa = high & 0xf_ffff;
  const k = CELL_BOUND[mantissa >>> (20 - CELL_BITS)]!;
  const bound = BOUND_HIGH[k]!;
  const above = mantissa > bound || (mantissa === bound && bits[0]! > BOUND_LOW[k]!);
  return (((high >>> 20) - 1023) << SCALE_MAX) + (above ? k : k - 1);
}

/** Upper bound of bucket `index` at `scale`; its lower bound is that of the bucket before it. */
export const upperBound = (index: number, scale: number): number => 2 ** ((index + 1) * 2 ** -scale);
