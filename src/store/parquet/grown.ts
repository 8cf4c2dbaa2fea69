/** A copy of `array` with room for `wanted` elements, and for twice as many as before. */
export const grown = <T extends Float64Array | Int32Array | Uint32Array | Uint8Array>(array: T, wanted: number): T => {
  const made = new (array.constructor as new (n: number) => T)(Math.max(wanted, array.length * 2));
  made.set(array as never);
  return made;
};
