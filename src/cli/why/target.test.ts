import { describe, expect, it } from 'vitest';
import { parseTarget } from './target.ts';

describe('parseTarget', () => {
  it.each([
    ['4711', { kind: 'number', number: 4711 }],
    ['pid:4711', { kind: 'pid', pid: 4711 }],
    [':8080', { kind: 'port', port: 8080 }],
    ['port:8080', { kind: 'port', port: 8080 }],
    ['http://localhost/x', { kind: 'url', scheme: 'http', host: 'localhost', port: 80 }],
    ['https://api.example', { kind: 'url', scheme: 'https', host: 'api.example', port: 443 }],
    ['https://[::1]:8443/x?y', { kind: 'url', scheme: 'https', host: '::1', port: 8443 }],
    ['127.0.0.1:9000', { kind: 'url', scheme: 'http', host: '127.0.0.1', port: 9000 }],
    ['api.example/v1', { kind: 'url', scheme: 'http', host: 'api.example', port: 80 }],
    ['localhost', { kind: 'url', scheme: 'http', host: 'localhost', port: 80 }],
    ['nginx', null],
    ['', null],
    ['0', null],
    [':0', null],
    [':65536', null],
    ['port:99999', null],
    ['99999999', null],
    ['-1', null],
    ['ftp://x/', null],
    ['http://', null],
    ['http://a b/', null],
  ])('%j', (text, target) => expect(parseTarget(text)).toEqual(target));
});
