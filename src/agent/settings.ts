/** What the attacher hands to the pipeline as its configuration: plain JSON. */

import type { Config } from '../config/schema.ts';
import type { OwnerVariant, RingLayout } from '../kernel/load.ts';
import type { MapStatus } from '../model/status.ts';

export interface PipelineSettings {
  readonly config: Config;
  readonly version: string;
  /** Token that clients of `listen` must send; null: none. */
  readonly token: string | null;
}

/** `StartMessage.kernel`. */
export interface KernelDescription {
  readonly variant: OwnerVariant;
  readonly layout: RingLayout;
  /** Every map of the programs, as it was made. */
  readonly maps: readonly MapStatus[];
  /** Why TLS is not tapped; "" when it is. */
  readonly tapsAbsent: string;
}
