/** The kernel side as this process has it: the maps that the attacher handed over, opened. */
import type { Handover } from '../attacher/child.ts';
import type { KernelAnchor } from '../kernel/clock.ts';
import { Counters } from '../kernel/counters.ts';
import { Ring } from '../kernel/ring.ts';
import { SecretReader } from '../kernel/secret-reader.ts';
import { Spares } from '../kernel/spares.ts';
import { Unheard } from '../kernel/unheard.ts';
import type { KernelDescription } from './settings.ts';

export interface KernelMaps {
  readonly ring: Ring;
  readonly ringFd: number;
  readonly counters: Counters;
  readonly spares: Spares;
  readonly unheard: Unheard;
  /** null: TLS is not tapped. */
  readonly secrets: SecretReader | null;
}

/** A text: what cannot be opened. */
export function openKernelMaps({ maps, kernel }: Handover['start'], anchor: KernelAnchor): KernelMaps | string {
  const fd = (name: string): number => maps.find((map) => map.name === name)!.fd;
  const { layout } = kernel as KernelDescription;
  const descriptors = { ring: fd('ring'), counters: fd('counters'), control: fd('control'), unheard: fd('unheard') };
  const ring = Ring.open(descriptors, layout, anchor);
  if (!ring.ok) return ring.error.message;
  const counters = Counters.open(descriptors, layout);
  if (!counters.ok) return counters.error.message;
  const spares = Spares.open(descriptors);
  if (!spares.ok) return spares.error.message;
  const unheard = Unheard.open(descriptors, anchor);
  if (!unheard.ok) return unheard.error.message;
  const tapped = maps.some(({ name }) => name === 'secrets');
  const secrets = tapped ? SecretReader.open(fd('secrets'), fd('taps'), anchor) : null;
  if (typeof secrets === 'number') return 'Cannot map the ring of TLS secrets: was it handed over by the attacher?';
  return {
    ring: ring.value,
    ringFd: descriptors.ring,
    counters: counters.value,
    spares: spares.value,
    unheard: unheard.value,
    secrets,
  };
}
