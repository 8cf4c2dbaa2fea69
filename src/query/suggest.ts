import { didYouMean } from '../base/suggest.ts';

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
export const suggestAttribute = (name: string, attributes: readonly string[]): string | null =>
  (Object.hasOwn(ALIASES, name) ? ALIASES[name]! : null) ?? didYouMean(name, attributes);
