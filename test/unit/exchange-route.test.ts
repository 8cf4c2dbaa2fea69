import { describe, expect, test } from 'vitest';
import { CONNECT_ROUTE, OTHER_ROUTE, ROUTE_LIMITS, RouteTable } from '../../src/exchange/route.ts';
import { segmentShape } from '../../src/exchange/segment-shape.ts';

const route = (target: string, method = 'GET'): string => new RouteTable().route('s', method, target);

describe('segmentShape', () => {
  test.each([
    '7',
    '0012345',
    '550e8400-e29b-41d4-a716-446655440000',
    'user_550e8400-e29b-41d4-a716-446655440000',
    '507f1f77bcf86cd799439011',
    'da39a3ee5e6b4b0d3255bfef95601890afd80709',
    '3f9ac81b',
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    'dQw4w9WgXcQ',
    'chatcmpl-9a8B7c6D5e4F3g',
    'msg_01XFDUDYJgAACzvnptvVoYEL',
    'cus_NffrFeUfNV2Hib',
    'order-123456789',
    'ann@example.com',
    'ann%40example.com@x',
    'ann%40example.com',
    'group%2fproject',
    '-7',
    '1,2,3',
    '52.5200,-13.4050',
    '192.0.2.1',
    '2001:db8::1',
    '2026-11-23T10:00:00Z',
    '2026-11-23T10%3A00%3A00Z',
    'ORD-2026-001234',
    'INV-00123',
    'IMG_20261123_123456',
    'order-12345678',
    'urn:isbn:12345',
    `sha256:${'9f86d081'.repeat(7)}`,
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N',
    'AKIAIOSFODNN7EXAMPLE',
    'MFRGGZDFMZTWQ2LK',
    'sk-ant-made-up-for-tests',
    'a'.repeat(65),
    '{id}',
  ])('an id: %s', (segment) => {
    expect(segmentShape(segment)).toBe('{id}');
  });

  test.each([
    'users',
    'v1',
    'v1beta',
    '1.0',
    '2015-03-31',
    'completions',
    'gpt-4o-mini-2024-07-18',
    'claude-3-5-sonnet-20241022',
    'gemini-1.5-pro:generateContent',
    'text-embedding-3-large',
    'Llama-3.1-70b-versatile',
    'createPaymentIntent',
    'getUsersByOrganizationIdV2',
    'oauth2callback',
    'sha256',
    'llama3:latest',
    'gpt-4-0613',
    'data-20261123',
    '1.25.3',
    '$batch',
    'Customers()',
    'x86_64',
    'robots.txt',
    'index.html',
    'main.css',
    'deadbeef',
    'DescribeInstances',
    '..',
    '',
  ])('not an id: %s', (segment) => {
    expect(segmentShape(segment)).toBe(segment);
  });

  test.each([
    ['app.3f9ac81b.js', 'app.{id}.js'],
    ['550e8400-e29b-41d4-a716-446655440000.pdf', '{id}.pdf'],
    ['12345.json', '{id}.json'],
    ['users;jsessionid=1A2B3C', 'users'],
    ['7;v=2', '{id}'],
    ['us%65rs', 'users'],
    ['%37', '{id}'],
    ['a%2cb', 'a%2Cb'],
    ['42:join', '{id}:join'],
    ['550e8400-e29b-41d4-a716-446655440000:cancel', '{id}:cancel'],
    ['7:dQw4w9WgXcQkk9A8b', '{id}'],
    ['Orders(10248)', 'Orders({id})'],
    ["Customers('ann@example.com')", 'Customers({id})'],
    [`Products(guid'550e8400-e29b-41d4-a716-446655440000',Language='${'x'.repeat(64)}')`, 'Products({id})'],
    ['192.0.2.1.txt', '{id}.txt'],
    ['%zz', '%zz'],
    ['caf%c3%a9', 'caf%C3%A9'],
  ])('%s is %s', (segment, shape) => {
    expect(segmentShape(segment)).toBe(shape);
  });
});

describe('RouteTable', () => {
  test.each([
    ['/v1/users/7?x=1', '/v1/users/{id}'],
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/v1beta/models/gemini-1.5-pro:generateContent?key=k', '/v1beta/models/gemini-1.5-pro:generateContent'],
    ['/', '/'],
    ['/?q', '/'],
    ['/users/', '/users/'],
    ['//users', '//users'],
    ['http://api.example/v1/users/7', '/v1/users/{id}'],
    ['http://api.example', '/'],
    ['http://api.example?x', '/'],
    ['/a#b', '/a'],
    ['*', '*'],
    ['', OTHER_ROUTE],
    ['nonsense', OTHER_ROUTE],
    ['/a/b?/c/7', '/a/b'],
  ])('%s is %s', (target, template) => {
    expect(route(target)).toBe(template);
  });

  test('CONNECT has one template', () => {
    expect(route('db.example:5432', 'CONNECT')).toBe(CONNECT_ROUTE);
  });

  test('an extended CONNECT has that of its path', () => {
    expect(route('/chat/7?x=1', 'CONNECT')).toBe('/chat/{id}');
  });

  test('a path of many segments ends in {rest}', () => {
    expect(route(`/${'a/'.repeat(40)}`)).toBe(`/${'a/'.repeat(16)}{rest}`);
  });

  test('the same path has the same template, whether remembered or not', () => {
    const table = new RouteTable();
    for (let i = 0; i < 5; i++) expect(table.route('s', 'GET', '/v1/users/7?x=1')).toBe('/v1/users/{id}');
    expect(table.stats).toMatchObject({ templates: 1, overflow: 0 });
  });

  test('a segment with more than 50 different values becomes {id}', () => {
    const table = new RouteTable();
    for (let i = 0; i < 50; i++) expect(table.route('s', 'GET', `/by/${name(i)}/cart`)).toBe(`/by/${name(i)}/cart`);
    expect(table.route('s', 'GET', `/by/${name(50)}/cart`)).toBe('/by/{id}/cart');
    expect(table.route('s', 'GET', `/by/${name(3)}/cart`)).toBe('/by/{id}/cart');
    expect(table.stats.templates).toBe(1);
  });

  test('established endpoints survive a scanner; so does what was remembered', () => {
    const table = new RouteTable();
    const real = ['/v1/chat/completions', '/v1/models', '/health', '/metrics'];
    for (let i = 0; i < 200; i++) for (const path of real) table.route('s', 'GET', path);
    for (let i = 0; i < 100_000; i++) {
      table.route('s', 'GET', `/${name(i)}/${name(i * 7)}.php`);
      if (i % 100 === 0) for (const path of real) expect(table.route('s', 'GET', path)).toBe(path);
    }
    for (const path of real) expect(table.route('s', 'GET', path)).toBe(path);
    expect(table.stats.templates).toBeLessThanOrEqual(ROUTE_LIMITS.serviceTemplates);
    expect(table.stats.nodes).toBeLessThanOrEqual(ROUTE_LIMITS.serviceNodes);
  });

  test('endpoints that a call was answered for survive a scanner that finds nothing, before it and after it', () => {
    const table = new RouteTable();
    const before = ['/v1/chat/completions', '/v1/models', '/health'];
    const after = ['/v2/orders', '/v1/files', '/metrics'];
    for (const path of before) table.route('s', 'GET', path);
    for (let i = 0; i < 20_000; i++) table.route('s', 'GET', `/${name(i)}/${name(i * 7)}.php`, false);
    for (const path of [...before, ...after]) expect(table.route('s', 'GET', path)).toBe(path);
    expect(table.route('s', 'GET', '/v1/models', false)).toBe('/v1/models');
    expect(table.route('s', 'GET', `/${name(20_001)}`, false)).toBe('/{id}');
    expect(table.stats.templates).toBeLessThan(300);
  });

  test('an endpoint that was first not found, and swept away, comes back when it is there', () => {
    const table = new RouteTable();
    expect(table.route('s', 'GET', '/v1/models', false)).toBe('/v1/models');
    for (let i = 0; i < 60; i++) table.route('s', 'GET', `/${name(i)}`, false);
    expect(table.route('s', 'GET', '/v1/models', false)).toBe('/{id}/models');
    for (let i = 0; i < 3; i++) expect(table.route('s', 'GET', '/v1/models')).toBe('/v1/models');
    // What answers under ever new names is an id all the same.
    for (let i = 0; i < 200; i++) table.route('s', 'GET', `/by/${name(i)}`);
    expect(table.route('s', 'GET', `/by/${name(1)}`)).toBe('/by/{id}');
  });

  test('bounds of templates, nodes and services hold, and what is over them is counted', () => {
    const table = new RouteTable({
      ...ROUTE_LIMITS,
      templates: 10,
      serviceTemplates: 6,
      nodes: 40,
      serviceNodes: 20,
      services: 3,
    });
    let others = 0;
    for (let i = 0; i < 2_000; i++) {
      const got = table.route(`service ${i % 20}`, 'GET', `/${name(i % 17)}/${name(i % 13)}/x`);
      if (got === OTHER_ROUTE) others++;
      expect(table.stats.templates).toBeLessThanOrEqual(10);
      expect(table.stats.nodes).toBeLessThanOrEqual(44);
    }
    expect(others).toBeGreaterThan(0);
    expect(table.stats.overflow).toBe(others);
  });

  test.each([
    ['services', { services: 8 }],
    ['templates', { templates: 80 }],
    ['nodes', { nodes: 100 }],
  ])('services that are gone for an hour make room where %s are full', (_, limits) => {
    const table = new RouteTable({ ...ROUTE_LIMITS, ...limits });
    const call = (service: string, minute: number, path: string): string =>
      table.route(service, 'GET', path, true, minute * 60e9);
    for (let i = 0; i <= 50; i++) call('steady', 0, `/by/${name(i)}`);
    let others = 0;
    for (let minute = 0; minute < 10_000; minute += 30) {
      // What a service that stays has taught is not forgotten.
      expect(call('steady', minute, `/by/${name(minute)}`)).toBe('/by/{id}');
      for (let i = 0; i < 6; i++) if (call(`pod ${minute}`, minute, `/${name(i)}`) === OTHER_ROUTE) others++;
    }
    // Until it was looked for room.
    expect(others).toBe(table.stats.overflow);
    expect(others).toBeLessThan(200);
    expect(call('pod 9990', 9_999, `/${name(1)}`)).toBe(`/${name(1)}`);
  });

  test('services do not share templates', () => {
    const table = new RouteTable();
    for (let i = 0; i < 60; i++) table.route('a', 'GET', `/${name(i)}`);
    expect(table.route('a', 'GET', '/users')).toBe('/{id}');
    expect(table.route('b', 'GET', '/users')).toBe('/users');
  });
});

/** Different words that do not look like ids. */
function name(i: number): string {
  let text = '';
  for (let n = i + 1; n > 0; n = Math.floor(n / 20)) text += 'bacedifogu'[n % 10]! + 'aeiou'[n % 20 > 9 ? 1 : 0]!;
  return text;
}
