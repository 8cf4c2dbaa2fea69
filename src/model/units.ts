import type { Memory } from '../base/memory.ts';

/** What a body is made of, where it is a sequence of application messages. */
export type UnitKind = 'grpc' | 'grpc-web';

/** Counts a body's application messages as its bytes pass; keeps none of them. */
export interface BodyUnits {
  readonly kind: UnitKind;
  /** Messages that have begun. */
  readonly count: number;
  /** False: bytes that would have told where messages begin were not seen, so there may be more. */
  readonly exact: boolean;
  /** The next bytes of the body. */
  read(memory: Memory, at: number, end: number): void;
  /** `length` bytes of the body were not seen. */
  skip(length: number): void;
}
