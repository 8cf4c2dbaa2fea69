/**
 * The statistics that the store keeps, read back over any range: states of whole days, hours and minutes, merged. Kinds are the
 * store's names for what lies in a state; `mergeStates` is what rolls minutes up into hours and days.
 */
export const STATE_KIND = {
  /** encodeSeries() of one series in one minute. */
  calls: 'calls',
  /** encodeHeaders() of all series in one window. */
  headers: 'headers',
  /** JSON: the changes found in one window. */
  changes: 'changes',
} as const;
