/** Which header elements there are, how they vary, and what changed. */
import type { DashboardSpec } from '../model.ts';
import { increase, RATE, SERVICE } from '../queries.ts';

export const headers: DashboardSpec = {
  uid: 'headwater-headers',
  title: 'Headwater: header variability',
  description:
    'Which header elements calls carry, how their values vary, and what changed. Of the last window, the most frequent names of each service.',
  panels: [
    {
      title: 'Changes',
      description:
        'Changes found, by kind: fields or values new or vanished, presence, distribution, order. `headwater report` names the field, before, after, and a call that shows it.',
      unit: 'short',
      width: 24,
      thresholds: [1, 10],
      queries: [
        {
          expr: increase('headwater_header_changes_total', SERVICE, 'service, kind', RATE),
          legend: '{{service}} {{kind}}',
        },
      ],
    },
    {
      title: 'Drift',
      description:
        'Jensen-Shannon divergence of the values from the windows before: 0 the same, 1 nothing in common. The ten fields with most.',
      unit: 'percentunit',
      max: 1,
      thresholds: [0.2, 0.5],
      queries: [
        {
          expr: `topk(10, max by (service, direction, name) (headwater_header_drift_ratio{${SERVICE}}))`,
          legend: '{{direction}} {{name}}',
        },
      ],
    },
    {
      title: 'Presence',
      description: 'Share of the messages that carry the field, of fields that not all carry.',
      unit: 'percentunit',
      max: 1,
      queries: [
        {
          expr: `max by (service, direction, name) (headwater_header_presence_ratio{${SERVICE}}) < 1`,
          legend: '{{direction}} {{name}}',
        },
      ],
    },
    {
      title: 'Distinct values',
      description: 'One: constant. As many as messages: an identifier.',
      unit: 'short',
      queries: [
        {
          expr: `topk(10, max by (service, direction, name) (headwater_header_distinct_values{${SERVICE}}))`,
          legend: '{{direction}} {{name}}',
        },
      ],
    },
    {
      title: 'Entropy',
      description:
        'How much of a surprise a value is, in bits: 0 for a constant, log2 of the number of values when all are as frequent.',
      unit: 'none',
      queries: [
        {
          expr: `topk(10, max by (service, direction, name) (headwater_header_entropy_bits{${SERVICE}}))`,
          legend: '{{direction}} {{name}}',
        },
      ],
    },
    {
      title: 'Fields',
      description: 'The last window, field by field.',
      type: 'table',
      unit: 'short',
      width: 24,
      height: 12,
      columns: [
        { name: 'Presence', unit: 'percentunit' },
        { name: 'Distinct', unit: 'short' },
        { name: 'Entropy (bits)', unit: 'none' },
        { name: 'Drift', unit: 'percentunit' },
      ],
      queries: ['presence_ratio', 'distinct_values', 'entropy_bits', 'drift_ratio'].map((measure) => ({
        expr: `max by (service, direction, name) (headwater_header_${measure}{${SERVICE}})`,
        instant: true,
      })),
    },
  ],
};
