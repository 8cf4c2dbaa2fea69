/**
 * Arrays that grow, and give their memory back at once: what is outside of the heap is nothing that the garbage collector of the store's
 * thread is in a hurry for, and 60 MB of outgrown arrays waited for it.
 */

/** `array` with room for `wanted` elements, and for twice as many as before; the old one is gone. It must have its memory for itself. */
export const grown = <T extends Float64Array | Int32Array | Uint32Array | Uint8Array>(array: T, wanted: number): T => {
  const size = Math.max(wanted, array.length * 2);
  const bytes = (array.buffer as ArrayBuffer).transfer(size * array.BYTES_PER_ELEMENT);
  return new (array.constructor as new (buffer: ArrayBuffer) => T)(bytes);
};

/** The same for bytes, of which the first `used` are wanted. */
export function grownBytes(bytes: Buffer, used: number, wanted: number): Buffer<ArrayBuffer> {
  const made = Buffer.allocUnsafeSlow(Math.max(wanted, bytes.length * 2));
  bytes.copy(made, 0, 0, used);
  release(bytes);
  return made;
}

/** Nobody looks at it any more. A piece of something larger stays as it is. */
export function release(array: Uint8Array | Int32Array | Uint32Array): void {
  const { buffer, byteLength } = array;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
