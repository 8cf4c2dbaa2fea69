import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identifyCgroup, nameService } from './service.ts';

const ID = '0123456789abcdef'.repeat(4);
const OTHER = 'fedcba9876543210'.repeat(4);

describe('identifyCgroup', () => {
  it.each([
    // systemd
    ['/system.slice/nginx.service', 'nginx.service', null, 'nginx.service'],
    ['/system.slice/system-getty.slice/getty@tty1.service', 'getty@tty1.service', null, 'getty@tty1.service'],
    ['/system.slice/nginx.service/workers/3', 'nginx.service', null, 'nginx.service'],
    ['/system.slice/_cpu.service', 'cpu.service', null, 'cpu.service'],
    ['/system.slice/my\\x2dapi.service', 'my\\x2dapi.service', null, 'my\\x2dapi.service'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/web.service', 'web.service', null, 'web.service'],
    [
      '/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-77.scope',
      'app-firefox-77.scope',
      null,
      'app-firefox-77.scope',
    ],
    ['/user.slice/user-1000.slice/session-3.scope', null, null, ''],
    ['/init.scope', null, null, ''],
    ['/system.slice/.service', null, null, ''],
    ['/', null, null, ''],
    ['', null, null, ''],
    ['/tests/plain', null, null, ''],
    // docker, podman
    [`/system.slice/docker-${ID}.scope`, null, ID, 'docker-0123456789ab'],
    [`/docker/${ID}`, null, ID, 'docker-0123456789ab'],
    [`/system.slice/docker.service/docker/${ID}`, null, ID, 'docker-0123456789ab'],
    [`/machine.slice/libpod-${ID}.scope`, null, ID, 'podman-0123456789ab'],
    [`/machine.slice/libpod-${ID}.scope/container`, null, ID, 'podman-0123456789ab'],
    [`/machine.slice/libpod-conmon-${ID}.scope`, null, null, ''],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`, null, ID, 'podman-0123456789ab'],
    // kubernetes
    [
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-${ID}.scope`,
      null,
      ID,
      'containerd-0123456789ab',
    ],
    [`/kubepods.slice/kubepods-pod1.slice/crio-${ID}.scope`, null, ID, 'crio-0123456789ab'],
    [`/kubepods.slice/kubepods-pod1.slice/crio-conmon-${ID}.scope`, null, null, ''],
    [`/kubepods/burstable/pod1/${ID}`, null, ID, 'kubepods-0123456789ab'],
    [`/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:${ID}`, null, ID, 'containerd-0123456789ab'],
    [`/default/${ID}`, null, ID, 'container-0123456789ab'],
    // seen from inside a cgroup namespace
    [`/../../docker-${ID}.scope`, null, ID, 'docker-0123456789ab'],
    // nested
    [`/system.slice/docker-${ID}.scope/system.slice/api.service`, 'api.service', ID, 'api.service'],
    [`/docker/${ID}/docker/${OTHER}`, null, OTHER, 'docker-fedcba987654'],
    // lxc
    ['/lxc/web', null, null, 'lxc-web'],
    ['/lxc.payload.web', null, null, 'lxc-web'],
    ['/lxc.payload/web/system.slice/api.service', 'api.service', null, 'api.service'],
    // not quite an id
    [`/docker/${ID.slice(1)}`, null, null, ''],
    [`/docker/${ID.toUpperCase()}`, null, null, ''],
  ])('%s', (path, unit, container, service) => {
    expect(identifyCgroup(path)).toMatchObject({ unit, container, service });
  });

  it('takes any text without throwing, and invents no id', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 6000 }), (path) => {
        const found = identifyCgroup(path);
        if (found.container !== null) expect(path).toContain(found.container);
      }),
    );
  });
});

describe('nameService', () => {
  const facts = { cgroup: '/system.slice/nginx.service', process: 'nginx', port: 8080 };

  it('prefers a rule, then the unit, then the container, then name and port', () => {
    expect(nameService(facts, [{ name: 'edge', match: { port: 8080 } }])).toBe('edge');
    expect(nameService(facts, [{ name: 'edge', match: { port: 8081 } }])).toBe('nginx.service');
    expect(nameService({ ...facts, cgroup: `/docker/${ID}` })).toBe('docker-0123456789ab');
    expect(nameService({ ...facts, cgroup: '/' })).toBe('nginx:8080');
    expect(nameService({ cgroup: '', process: '', port: 8080 })).toBe('');
  });

  it('needs every condition of a rule, and takes the first that matches', () => {
    const rules = [
      { name: 'a', match: { process: 'python3', port: 8080 } },
      { name: 'b', match: { unit: 'nginx.service' } },
      { name: 'c', match: { cgroup: '/' } },
    ];
    expect(nameService(facts, rules)).toBe('b');
    expect(nameService({ ...facts, process: 'python3' }, rules)).toBe('a');
    expect(nameService({ ...facts, cgroup: '/x' }, rules)).toBe('c');
  });

  it.each([
    ['/a', '/a', true],
    ['/a/', '/a/b/c', true],
    ['/a', '/ab', false],
    ['/a/b', '/a', false],
    ['/', '', true],
  ])('cgroup %s holds %s: %s', (cgroup, actual, matches) => {
    expect(nameService({ cgroup: actual, process: '', port: 0 }, [{ name: 'hit', match: { cgroup } }]) === 'hit').toBe(
      matches,
    );
  });
});
