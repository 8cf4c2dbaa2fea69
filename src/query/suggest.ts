import { didYouMean, slipsIn } from '../base/suggest.ts';

/** Attributes that people expect under another name. */
const ALIASES: Readonly<Record<string, string>> = {
  'response.status': 'response.code',
  'response.status_code': 'response.code',
  status: 'response.code',
  code: 'response.code',
  method: 'request.method',
  path: 'request.path',
  host: 'request.host',
  headers: 'request.headers',
  'request.url': 'request.path',
  'request.target': 'request.path',
  'request.size': 'request.total_size',
  'response.size': 'response.total_size',
  'client.address': 'source.address',
  'client.port': 'source.port',
  'server.address': 'destination.address',
  'server.port': 'destination.port',
  pid: 'process.pid',
  'response.duration': 'duration',
  latency: 'duration',
};

/** The attribute that `name` was probably meant to be, or null. */
export function suggestAttribute(name: string, attributes: readonly string[]): string | null {
  if (Object.hasOwn(ALIASES, name)) return ALIASES[name]!;
  // "request." is right already: only the last part can be wrong.
  return didYouMean(name, attributes, slipsIn(name.slice(name.lastIndexOf('.') + 1)));
}
