/** Checks of libraries and programs: what running needs, then what building and learning need. */
import { blocks, everywhere, type Finding, ok, packages, warn } from './finding.ts';
import type { Machine } from './machine.ts';

const ffi = ({ library }: Machine): Finding =>
  library.ffi !== null
    ? ok('FFI', `${library.ffi} loads`)
    : blocks(
        'FFI',
        'koffi does not load',
        `Calls into libbpf go through it (${library.problem}).`,
        everywhere('npm ci   # in the folder of headwater'),
      );

const libbpf = ({ library }: Machine): Finding => {
  if (library.ffi === null)
    return warn('libbpf', 'unknown: koffi does not load', 'It is looked for through koffi.', null);
  if (library.libbpf === null) {
    return blocks(
      'libbpf',
      'libbpf.so.1 is missing',
      'It loads the kernel programs.',
      packages('libbpf1', 'libbpf', 'libbpf'),
    );
  }
  const version = library.libbpf.replace(/^v/, '');
  return version.startsWith('0.')
    ? blocks('libbpf', version, 'Version 1.0 or newer is needed.', packages('libbpf1', 'libbpf', 'libbpf'))
    : ok('libbpf', version);
};

const programs = ({ object }: Machine): Finding =>
  object.exists
    ? ok('kernel programs', 'built')
    : blocks(
        'kernel programs',
        'not built',
        `${object.path === '' ? 'They are' : `${object.path} is`} missing. The published package brings them; a checkout builds them.`,
        everywhere('bash tools/setup run'),
      );

/** Programs for building and learning: name, what for, packages. */
const BUILD_PROGRAMS: readonly (readonly [name: string, what: string, fix: ReturnType<typeof packages>])[] = [
  ['clang', 'builds the kernel programs', packages('clang', 'clang', 'clang')],
  ['llvm-objdump', 'LLVM: shows what was built', packages('llvm', 'llvm', 'llvm')],
  [
    'bpftool',
    'shows what is loaded and attached',
    packages('bpftool || apt-get install -y linux-tools-generic', 'bpftool', 'bpftool'),
  ],
  ['bpftrace', 'asks the kernel questions in one line', packages('bpftrace', 'bpftrace', 'bpftrace')],
];

const buildProgram =
  (name: string, what: string, fix: ReturnType<typeof packages>) =>
  ({ findProgram }: Machine): Finding => {
    const path = findProgram(name);
    return path === null ? warn(name, 'not installed', `Only for development: it ${what}.`, fix) : ok(name, path);
  };

/** Headers and libraries: name, any of these files, what for, packages. */
const BUILD_FILES: readonly (readonly [
  name: string,
  paths: readonly string[],
  what: string,
  fix: ReturnType<typeof packages>,
])[] = [
  [
    'libbpf headers',
    ['/usr/include/bpf/bpf_helpers.h'],
    'kernel programs include them',
    packages('libbpf-dev', 'libbpf-devel', 'libbpf-dev'),
  ],
  [
    'kernel headers',
    ['/usr/include/linux/bpf.h'],
    'kernel programs include them',
    packages('linux-libc-dev', 'kernel-headers', 'linux-headers'),
  ],
  [
    'libelf headers',
    ['/usr/include/libelf.h', '/usr/include/gelf.h'],
    'programs that link libbpf statically include them',
    packages('libelf-dev', 'elfutils-libelf-devel', 'elfutils-dev'),
  ],
  [
    'bcc',
    ['/usr/lib/python3/dist-packages/bcc', '/usr/share/bcc/tools', '/usr/sbin/tcplife-bpfcc', '/usr/share/bcc'],
    'its tools (tcplife, execsnoop, ...) are good company',
    packages('bpfcc-tools', 'bcc-tools', 'bcc-tools'),
  ],
];

const buildFile =
  (name: string, paths: readonly string[], what: string, fix: ReturnType<typeof packages>) =>
  ({ host }: Machine): Finding => {
    const path = paths.find((candidate) => host.exists(candidate));
    return path === undefined ? warn(name, 'not installed', `Only for development: ${what}.`, fix) : ok(name, path);
  };

export const RUN_CHECKS: readonly ((machine: Machine) => Finding)[] = [ffi, libbpf, programs];

export const BUILD_CHECKS: readonly ((machine: Machine) => Finding)[] = [
  ...BUILD_PROGRAMS.map((entry) => buildProgram(...entry)),
  ...BUILD_FILES.map((entry) => buildFile(...entry)),
];
