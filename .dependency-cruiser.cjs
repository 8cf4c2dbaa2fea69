/**
 * The layers of docs/architecture.md, as an allow-list: whatever is not named here fails CI.
 * Keys are folders (or files) below src/, values what they may import besides themselves and what `always` names.
 */
const always = ['base', 'model'];
const layers = {
  base: [],
  model: [],
  config: [],
  kernel: [],
  pcap: [],
  tcp: [],
  tls: [],
  http: [],
  redact: [],
  exchange: [],
  stats: ['redact'],
  export: ['stats', 'exchange', 'redact'],
  // Keeps what the header log shows, in its words.
  store: ['stats', 'exchange', 'redact', 'export'],
  query: ['stats', 'store', 'exchange', 'redact', 'export'],
  serve: ['stats', 'query', 'config', 'redact', 'export', 'exchange'],
  // Starts the attacher, and is its child: knows the channel between them.
  agent: ['stats', 'store', 'attacher', 'kernel', 'pcap', 'tcp', 'tls', 'http', 'exchange', 'redact', 'export', 'query', 'serve', 'config'],
  attacher: ['kernel', 'redact'],
  // Reads a data folder through query/, never by itself.
  cli: ['stats', 'agent', 'attacher', 'serve', 'query', 'config', 'export', 'redact', 'kernel'],
};

const rules = Object.entries(layers).map(([layer, may]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${[...(layer === 'base' ? [] : always), ...may].join(', ') || 'nothing'} (docs/architecture.md)`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: {
    path: '^src/',
    pathNot: `^src/(${[layer, ...(layer === 'base' ? [] : layer === 'model' ? ['base'] : always), ...may].join('|')})/`,
  },
}));

module.exports = {
  forbidden: [
    ...rules,
    {
      name: 'known-layer',
      comment: 'A new folder below src/ needs its place among the layers above',
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/(${Object.keys(layers).join('|')})/` },
      to: {},
    },
    {
      name: 'no-cycle',
      comment: 'Two files that need each other to run are one file, or lack a third; types may point back',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'c-is-called-in-four-places',
      comment: 'A wrong signature crashes the process: libbpf is declared in src/kernel/libbpf.ts, libc in src/kernel/posix.ts, probes in src/kernel/uprobes.ts, libcrypto in src/tls/libcrypto.ts, nowhere else',
      severity: 'error',
      from: { path: '^(src|test|bench|tools)/', pathNot: '^src/(kernel/(libbpf|posix|uprobes)|tls/libcrypto)\\.ts$' },
      to: { path: '(^|/)node_modules/(koffi|@koromix)/' },
    },
    {
      name: 'product-without-tests',
      comment: 'What is published imports nothing that is not',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.test\\.ts$' },
      to: { path: ['^(test|bench|tools)/', '\\.test\\.ts$'] },
    },
    {
      name: 'product-without-dev-dependencies',
      comment: 'The package is installed without them',
      severity: 'error',
      from: { path: '^src/', pathNot: ['\\.test\\.ts$', '^src/cli/demo/'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
};
