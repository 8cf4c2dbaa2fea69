/** PromQL that works on native histograms and on classic buckets, whichever Prometheus keeps. */

export const RATE = '[$__rate_interval]';
export const RANGE = '[$__range]';
/** Of a service, and of its routes. */
export const SERVICE = 'side="$side",service=~"$service"';
export const ROUTE = `${SERVICE},route=~"$route"`;
/** HTTP metrics carry their side in the name. */
export const HTTP_ROUTE = 'service=~"$service",route=~"$route"';
// biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of Grafana's.
export const HTTP = 'http_${side}';
export const OF_SERVICE = 'service=~"$service"';
export const DURATION = `${HTTP}_request_duration_seconds`;

const by = (...labels: readonly string[]): string => {
  const named = labels.filter((label) => label !== '');
  return named.length === 0 ? '' : `by (${named.join(', ')}) `;
};

/** Quantile `q` of a histogram, for each value of `label` ("": of all). */
export const quantile = (q: number, histogram: string, selector: string, label = '', window = RATE): string =>
  `histogram_quantile(${q}, sum ${by(label)}(rate(${histogram}{${selector}}${window})))` +
  ` or histogram_quantile(${q}, sum ${by('le', label)}(rate(${histogram}_bucket{${selector}}${window})))`;

/** Observations, or their sum, as they grow: `increase` in a range, `rate` a second. */
export const observed = (
  what: 'count' | 'sum',
  grow: 'rate' | 'increase',
  histogram: string,
  selector: string,
  label = '',
  window = RATE,
): string =>
  `(histogram_${what}(sum ${by(label)}(${grow}(${histogram}{${selector}}${window})))` +
  ` or sum ${by(label)}(${grow}(${histogram}_${what}{${selector}}${window})))`;

export const rate = (counter: string, selector: string, label = '', window = RATE): string =>
  `sum ${by(label)}(rate(${counter}{${selector}}${window}))`;

export const increase = (counter: string, selector: string, label = '', window = RANGE): string =>
  `sum ${by(label)}(increase(${counter}{${selector}}${window}))`;

/** Failed calls of all calls. */
export const errorRatio = (selector: string, label = '', window = RATE): string =>
  `${rate('headwater_failed_calls_total', selector, label, window)} / ${rate('headwater_calls_total', selector, label, window)}`;

export const named = (q: number): string => `p${q * 100}`;
