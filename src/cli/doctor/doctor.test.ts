import { describe, expect, it } from 'vitest';
import { FakeHost } from '../../../test/system/attacher/fake-host.ts';
import { distributionOf, type Finding, type Level } from './finding.ts';
import type { Machine } from './machine.ts';
import { examine } from './main.ts';
import { renderPage, verdict } from './render.ts';

type Entries = ConstructorParameters<typeof FakeHost>[0];

const MOUNTS = '1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n2 1 0:2 / /proc rw - proc proc rw\n';
/** A machine on which nothing is missing. */
const GOOD: Entries = {
  '/proc/self/mountinfo': MOUNTS,
  '/proc/2/comm': 'kthreadd\n',
  '/proc/self/status': 'Seccomp:\t0\n',
  '/proc/self/limits': 'Max locked memory         8388608              8388608              bytes\n',
  '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n',
  '/proc/sys/net/core/bpf_jit_enable': '1\n',
  '/sys/kernel/btf/vmlinux': '',
  '/sys/kernel/security/lockdown': '[none] integrity confidentiality\n',
  '/sys/kernel/tracing/available_events': '',
  '/sys/bus/event_source/devices/uprobe/type': '8\n',
  '/usr/include/bpf/bpf_helpers.h': '',
  '/usr/include/linux/bpf.h': '',
  '/usr/include/libelf.h': '',
  '/usr/share/bcc/tools/x': '',
};
const FOR_PACKETS = (1n << 39n) | (1n << 38n) | (1n << 12n);
const FOR_TLS = 1n << 19n;

const findings = (
  entries: Entries = {},
  machine: Partial<Machine> = {},
  without: readonly string[] = [],
): Finding[] => {
  using host = new FakeHost(
    Object.fromEntries(Object.entries({ ...GOOD, ...entries }).filter(([path]) => !without.includes(path))),
  );
  return examine({
    host: host.files,
    release: '6.12.1-generic',
    arch: 'x64',
    nodeVersion: '24.21.0',
    uid: 0,
    capabilities: FOR_PACKETS | FOR_TLS,
    library: { ffi: 'koffi', libbpf: 'v1.1', problem: '' },
    object: { path: '/x/headwater.x86.bpf.o', exists: true },
    findProgram: (name) => `/usr/bin/${name}`,
    ...machine,
  }).flatMap((section) => section.findings);
};
const one = (check: string, ...args: Parameters<typeof findings>): Finding =>
  findings(...args).find((finding) => finding.check === check)!;

describe('checks', () => {
  it('find nothing wrong with a good machine', () => {
    expect(findings().filter((finding) => finding.level !== 'ok')).toEqual([]);
  });

  it.each<[check: string, level: Level, found: RegExp, ...Parameters<typeof findings>]>([
    ['kernel', 'warn', /5\.8/, {}, { release: '5.8.0' }],
    ['kernel', 'blocks', /4\.19/, {}, { release: '4.19.0-21-amd64' }],
    ['kernel', 'blocks', /odd/, {}, { release: 'odd' }],
    ['architecture', 'blocks', /riscv64/, {}, { arch: 'riscv64' }],
    ['cgroup v2', 'blocks', /not mounted/, { '/proc/self/mountinfo': '' }],
    [
      'cgroup v2',
      'ok',
      /hybrid/,
      {
        '/proc/self/mountinfo':
          '1 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n1 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
      },
    ],
    ['BTF', 'warn', /missing/, {}, {}, ['/sys/kernel/btf/vmlinux']],
    ['JIT', 'warn', /off/, { '/proc/sys/net/core/bpf_jit_enable': '0\n' }],
    ['JIT', 'warn', /unknown/, {}, {}, ['/proc/sys/net/core/bpf_jit_enable']],
    ['unprivileged BPF', 'warn', /=0/, { '/proc/sys/kernel/unprivileged_bpf_disabled': '0\n' }],
    ['unprivileged BPF', 'warn', /unknown/, {}, {}, ['/proc/sys/kernel/unprivileged_bpf_disabled']],
    ['lockdown', 'ok', /integrity/, { '/sys/kernel/security/lockdown': 'none [integrity] confidentiality\n' }],
    ['lockdown', 'warn', /confidentiality/, { '/sys/kernel/security/lockdown': 'none integrity [confidentiality]\n' }],
    ['lockdown', 'ok', /no sign/, {}, {}, ['/sys/kernel/security/lockdown']],
    ['memlock', 'blocks', /8388608/, {}, { release: '5.10.0' }],
    ['memlock', 'ok', /raised/, {}, { release: '5.10.0', capabilities: FOR_PACKETS | (1n << 24n) }],
    [
      'memlock',
      'ok',
      /unlimited/,
      { '/proc/self/limits': 'Max locked memory  unlimited unlimited bytes\n' },
      { release: '5.10.0' },
    ],
    ['tracefs', 'warn', /not mounted/, {}, {}, ['/sys/kernel/tracing/available_events']],
    ['uprobes', 'warn', /not available/, {}, {}, ['/sys/bus/event_source/devices/uprobe/type']],
    [
      'permissions',
      'blocks',
      /uid 1000, without cap_bpf, cap_perfmon, cap_net_admin/,
      {},
      { uid: 1000, capabilities: 0n },
    ],
    ['permissions', 'blocks', /root, without cap_perfmon, cap_net_admin/, {}, { capabilities: 1n << 39n }],
    ['permissions', 'ok', /uid 1000/, {}, { uid: 1000 }],
    ['TLS', 'ok', /by uprobe_multi/, {}, { uid: 1000 }],
    ['TLS', 'warn', /without cap_sys_ptrace/, {}, { uid: 1000, capabilities: FOR_PACKETS }],
    ['TLS', 'warn', /without cap_sys_ptrace/, {}, { uid: 0, capabilities: FOR_PACKETS }],
    ['TLS', 'warn', /without cap_sys_admin/, {}, { release: '6.1.0' }],
    ['TLS', 'ok', /by perf events/, {}, { release: '6.1.0', capabilities: (1n << 21n) | (1n << 12n) | (1n << 19n) }],
    // Before 5.8 there was only CAP_SYS_ADMIN, and it still implies CAP_BPF.
    ['permissions', 'ok', /root/, {}, { capabilities: (1n << 21n) | (1n << 12n) }],
    [
      'container',
      'warn',
      /docker, with a seccomp filter/,
      { '/.dockerenv': '', '/proc/self/status': 'Seccomp:\t2\n' },
      {},
      ['/proc/2/comm'],
    ],
    ['container', 'warn', /^podman$/, { '/run/.containerenv': '' }, {}, ['/proc/2/comm']],
    ['container', 'warn', /lxc/, { '/proc/1/environ': 'PATH=/bin\0container=lxc\0' }, {}, ['/proc/2/comm']],
    ['container', 'ok', /none/, { '/.dockerenv': '' }],
    ['container', 'ok', /none/, { '/proc/self/ns/pid': { link: 'pid:[4026531836]' } }],
    ['container', 'warn', /pid namespace of its own/, { '/proc/self/ns/pid': { link: 'pid:[4026532190]' } }],
    [
      '/proc',
      'warn',
      /hides/,
      { '/proc/self/mountinfo': `${MOUNTS.replace('proc proc rw', 'proc proc rw,hidepid=invisible')}` },
      { uid: 1000 },
    ],
    [
      '/proc',
      'ok',
      /not from root/,
      { '/proc/self/mountinfo': `${MOUNTS.replace('proc proc rw', 'proc proc rw,hidepid=2')}` },
    ],
    ['Node', 'blocks', /20/, {}, { nodeVersion: '20.20.2' }],
    ['FFI', 'blocks', /does not load/, {}, { library: { ffi: null, libbpf: null, problem: 'Cannot find module' } }],
    ['libbpf', 'warn', /unknown/, {}, { library: { ffi: null, libbpf: null, problem: 'Cannot find module' } }],
    ['libbpf', 'blocks', /missing/, {}, { library: { ffi: 'koffi', libbpf: null, problem: '' } }],
    ['libbpf', 'blocks', /0\.8/, {}, { library: { ffi: 'koffi', libbpf: 'v0.8', problem: '' } }],
    ['kernel programs', 'blocks', /not built/, {}, { object: { path: '/x.o', exists: false } }],
    ['clang', 'warn', /not installed/, {}, { findProgram: () => null }],
    ['bpftrace', 'warn', /not installed/, {}, { findProgram: () => null }],
    ['libelf headers', 'warn', /not installed/, {}, {}, ['/usr/include/libelf.h']],
    ['bcc', 'warn', /not installed/, {}, {}, ['/usr/share/bcc/tools/x']],
  ])('%s: %s, %s', (check, level, found, ...machine) => {
    const finding = one(check, ...machine);
    expect(finding.level).toBe(level);
    expect(finding.found).toMatch(found);
  });

  it('say what to do: a command for each distribution, or in words why there is none', () => {
    const all = [
      ...findings(
        { '/proc/self/mountinfo': '', '/proc/sys/net/core/bpf_jit_enable': '0' },
        {
          release: '4.4',
          uid: 9,
          capabilities: 0n,
          findProgram: () => null,
          library: { ffi: 'koffi', libbpf: null, problem: '' },
          object: { path: '/x', exists: false },
          nodeVersion: '18.0.0',
        },
        Object.keys(GOOD).filter((path) => path.startsWith('/usr') || path.startsWith('/sys')),
      ),
    ].filter((finding) => finding.level !== 'ok');
    expect(all.length).toBeGreaterThan(12);
    for (const finding of all) {
      expect(finding.meaning.length).toBeGreaterThan(10);
      for (const command of Object.values(finding.fix ?? {})) expect(command).toMatch(/^[a-z-]+ \S/);
    }
    expect(all.find((finding) => finding.check === 'libbpf')!.fix).toEqual({
      debian: 'apt-get install -y libbpf1',
      fedora: 'dnf install -y libbpf',
      alpine: 'apk add libbpf',
    });
  });
});

describe('distributionOf', () => {
  it.each([
    ['ID=debian\nVERSION_ID="12"', 'debian'],
    ['NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian', 'debian'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"', 'debian'],
    ['ID=fedora', 'fedora'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"', 'fedora'],
    ['ID=alpine', 'alpine'],
    ['ID=arch', null],
    ['', null],
  ])('%j', (text, family) => expect(distributionOf(text)).toBe(family));
});

describe('renderPage', () => {
  const bad = findings({ '/proc/self/mountinfo': '' }, { uid: 1000, capabilities: 0n, findProgram: () => null });
  const page = (distribution: Parameters<typeof renderPage>[1], width = 80): string =>
    renderPage([{ title: 'All', findings: bad }], distribution, { width, colour: false });

  it('fits 80 columns but for commands, which stay whole to be copied', () => {
    for (const line of page('debian').split('\n'))
      if (!line.includes('fix')) expect(line.length).toBeLessThanOrEqual(80);
    for (const finding of bad) if (finding.fix !== null) expect(page('debian')).toContain(finding.fix.debian);
  });

  it("shows the machine's own commands, or all when it is not known", () => {
    expect(page('fedora')).toContain('dnf install');
    expect(page('fedora')).not.toContain('apt-get');
    expect(page(null)).toMatch(/apt-get[\s\S]*dnf[\s\S]*apk/);
  });

  it('says every level in words', () => {
    expect(page('alpine')).toMatch(/^blocks {2}cgroup v2 /m);
    expect(page('alpine')).toMatch(/^warn {4}clang /m);
    expect(verdict(bad)).toMatch(/^Headwater cannot run here: 2 checks block\. \d+ warnings\.$/);
    expect(verdict([])).toBe('Headwater can run here.');
  });
});
