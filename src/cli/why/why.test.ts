import { describe, expect, it } from 'vitest';
import type { TlsProcess, WhyGroup, WhyState } from '../../model/why.ts';
import { explain } from './explain.ts';
import type { AgentFacts, Facts, ProcessReport, SocketFacts, Subject } from './facts.ts';
import type { Verdict } from './finding.ts';

const NO_SOCKETS: SocketFacts = { listening: [], connections: [], unixListening: [], unixConnected: 0, udpPorts: [] };
const connection = (localPort: number, remotePort: number) => ({
  localAddress: '127.0.0.1',
  localPort,
  remoteAddress: '127.0.0.1',
  remotePort,
});
const SERVER: SocketFacts = { ...NO_SOCKETS, listening: [8080], connections: [connection(8080, 50_000)] };

const process = (changes: Partial<ProcessReport> = {}): ProcessReport => ({
  pid: 7,
  name: 'api',
  cgroup: '/a/b',
  sockets: SERVER,
  tls: [],
  ...changes,
});
const group = (changes: Partial<WhyGroup> = {}): WhyGroup => ({
  pid: 7,
  name: 'api',
  service: 'api.service',
  side: 'server',
  server_port: 8080,
  server_addresses: ['127.0.0.1'],
  guess: 'http',
  open: 1,
  closed: 0,
  closed_s_ago: null,
  joined: 0,
  decrypted: 0,
  unread: [],
  alerts: [],
  exchanges: 12,
  losses: [],
  ...changes,
});
const library = (changes: Partial<TlsProcess> = {}): TlsProcess => ({
  path: '/usr/lib/libcrypto.so.3',
  kind: 'openssl',
  version: 'OpenSSL 3.0.19',
  tapped: true,
  gap: '',
  ...changes,
});
const running = (groups: readonly WhyGroup[] = [group()], state: Partial<WhyState> = {}): AgentFacts => ({
  state: 'running',
  live: {
    started: '2026-11-22T10:00:00Z',
    ready: true,
    mount: '/sys/fs/cgroup',
    cgroups: [{ path: '/a', attached: true }],
    groups,
    taps_absent: '',
    tls: [],
    more_groups: 0,
    ...state,
  },
});
const pid = (report: ProcessReport | null): Subject => ({ kind: 'pid', pid: 7, process: report });
const port = (changes: Partial<Extract<Subject, { kind: 'port' }>> = {}): Subject => ({
  kind: 'port',
  port: 8080,
  servers: [],
  clients: [],
  hiddenListener: false,
  udp: false,
  url: null,
  ...changes,
});
const url = (scheme: 'http' | 'https', addresses: readonly string[], local: boolean) => ({
  scheme,
  host: 'api.example',
  addresses,
  local,
});

const answer = (agent: AgentFacts, subject: Subject, root = true, hidden = false) =>
  explain({ agent, subject, root, hidden } satisfies Facts);

describe('explain', () => {
  it.each<[what: string, agent: AgentFacts, subject: Subject, expected: readonly (readonly [id: string, Verdict])[]]>([
    ['calls are seen', running(), pid(process()), [['http', 'seen']]],
    [
      'no agent',
      { state: 'absent', socket: '/s' },
      pid(process()),
      [
        ['no_agent', 'unseen'],
        ['not_asked', 'unknown'],
      ],
    ],
    [
      'no rights on the socket',
      { state: 'denied', socket: '/s' },
      pid(process({ sockets: NO_SOCKETS })),
      [
        ['agent_denied', 'unknown'],
        ['no_sockets', 'unseen'],
      ],
    ],
    [
      'an agent that hangs',
      { state: 'broken', message: 'no answer for 10 s' },
      pid(null),
      [
        ['agent_broken', 'unknown'],
        ['no_process', 'unseen'],
      ],
    ],
    [
      'an agent that starts',
      running([group()], { ready: false }),
      pid(process()),
      [
        ['agent_starting', 'unknown'],
        ['http', 'seen'],
      ],
    ],
    ['no such process', running([]), pid(null), [['no_process', 'unseen']]],
    [
      'a process that has ended, and its calls',
      running([group({ open: 0, closed: 3, closed_s_ago: 9 })]),
      pid(null),
      [
        ['no_process', 'unseen'],
        ['http', 'seen'],
      ],
    ],
    [
      'a server whose connections have all closed',
      running([group({ open: 0, closed: 3, closed_s_ago: 9 })]),
      port({ servers: [process({ sockets: { ...NO_SOCKETS, listening: [8080] } })] }),
      [['http', 'seen']],
    ],
    [
      'a listener whose workers have served',
      running([group({ pid: 78, name: 'worker', open: 0, closed: 3, closed_s_ago: 9 })]),
      port({ servers: [process({ sockets: { ...NO_SOCKETS, listening: [8080] } })] }),
      [
        ['served_by_others', 'seen'],
        ['http', 'seen'],
      ],
    ],
    [
      'a port that nobody serves any more',
      running([group({ open: 0, closed: 3, closed_s_ago: 9 })]),
      port(),
      [
        ['no_listener', 'unseen'],
        ['http', 'seen'],
      ],
    ],
    [
      'closed connections that said nothing are none',
      running([group({ guess: 'unknown', open: 0, closed: 3, closed_s_ago: 9, exchanges: 0 })]),
      pid(process({ sockets: { ...NO_SOCKETS, listening: [8080] } })),
      [['no_connection', 'unknown']],
    ],
    [
      'a silent connection beside closed ones that spoke',
      running([group({ open: 0, closed: 3, closed_s_ago: 9 })]),
      pid(process()),
      [
        ['http', 'seen'],
        ['idle', 'unknown'],
      ],
    ],
    ['another cgroup', running([]), pid(process({ cgroup: '/ab' })), [['out_of_scope', 'unseen']]],
    [
      'a cgroup that is not attached',
      running([], { cgroups: [{ path: '/a', attached: false }] }),
      pid(process()),
      [['out_of_scope', 'unseen']],
    ],
    [
      'the whole hierarchy',
      running([group()], { cgroups: [{ path: '/', attached: true }] }),
      pid(process({ cgroup: '/x' })),
      [['http', 'seen']],
    ],
    ['a cgroup that is not known', running(), pid(process({ cgroup: '' })), [['cgroup_unknown', 'unknown']]],
    ['TLS', running([group({ guess: 'tls', exchanges: 0 })]), pid(process()), [['tls', 'unseen']]],
    ['HTTP/2', running([group({ guess: 'h2', exchanges: 0 })]), pid(process()), [['h2', 'seen']]],
    ['not HTTP', running([group({ guess: 'other', exchanges: 0 })]), pid(process()), [['other', 'unseen']]],
    ['not decided', running([group({ guess: 'unknown', exchanges: 0 })]), pid(process()), [['undecided', 'unknown']]],
    [
      'older than the agent',
      running([group({ joined: 1 })]),
      pid(process()),
      [
        ['http', 'seen'],
        ['joined', 'partly'],
      ],
    ],
    [
      'losses',
      running([group({ losses: [{ reason: 'ring_full', count: 3, bytes: 99 }] })]),
      pid(process()),
      [
        ['http', 'seen'],
        ['losses', 'partly'],
      ],
    ],
    ['a silent connection', running([]), pid(process()), [['idle', 'unknown']]],
    [
      'only listening',
      running([]),
      pid(process({ sockets: { ...NO_SOCKETS, listening: [8080] } })),
      [['no_connection', 'unknown']],
    ],
    [
      'UNIX sockets only',
      running([]),
      pid(process({ sockets: { ...NO_SOCKETS, unixListening: ['/run/api.sock'] } })),
      [['unix_only', 'unseen']],
    ],
    ['UDP only', running([]), pid(process({ sockets: { ...NO_SOCKETS, udpPorts: [443] } })), [['udp_only', 'unseen']]],
    [
      'HTTP/3 beside TCP',
      running(),
      pid(process({ sockets: { ...SERVER, udpPorts: [443] } })),
      [
        ['http', 'seen'],
        ['quic', 'partly'],
      ],
    ],
    ['sockets that may not be read', running([]), pid(process({ sockets: null })), [['sockets_hidden', 'unknown']]],
    ['a port nobody serves', running([]), port(), [['no_listener', 'unseen']]],
    [
      'HTTP/3 beside TCP on another port than 443, and UDP that is none',
      running(),
      pid(process({ sockets: { ...SERVER, udpPorts: [8080, 40_000] } })),
      [
        ['http', 'seen'],
        ['quic', 'partly'],
      ],
    ],
    [
      'UDP of a port of its own',
      running(),
      pid(process({ sockets: { ...SERVER, udpPorts: [40_000] } })),
      [['http', 'seen']],
    ],
    ['a port of UDP only', running([]), port({ udp: true }), [['udp_only', 'unseen']]],
    ['a listener out of sight', running([]), port({ hiddenListener: true }), [['hidden_listener', 'unknown']]],
    ['a port and its server', running(), port({ servers: [process()] }), [['http', 'seen']]],
    [
      'both legs of a port',
      running([group(), group({ pid: 8, side: 'client' })]),
      port({
        servers: [process()],
        clients: [process({ pid: 8, sockets: { ...NO_SOCKETS, connections: [connection(50_000, 8080)] } })],
      }),
      [
        ['http', 'seen'],
        ['http', 'seen'],
      ],
    ],
    [
      "another port's calls are not this port's",
      running([group({ server_port: 9 })]),
      port({ servers: [process()] }),
      [['idle', 'unknown']],
    ],
    [
      'a port that only the agent knows of',
      running([group({ side: 'client', pid: 0, name: '' })]),
      port({ hiddenListener: true }),
      [
        ['hidden_listener', 'unknown'],
        ['http', 'seen'],
      ],
    ],
    [
      'a port whose server has ended, and to which another process is connected',
      running([group({ open: 0, closed: 3, closed_s_ago: 9 })]),
      port({ clients: [process({ pid: 8, sockets: { ...NO_SOCKETS, connections: [connection(50_000, 8080)] } })] }),
      [
        ['no_listener', 'unseen'],
        ['idle', 'unknown'],
        ['http', 'seen'],
      ],
    ],
    [
      'the same port of another address is another server',
      running([group({ pid: 0, server_addresses: ['192.0.2.2'] })]),
      port({ url: url('http', ['192.0.2.1'], false) }),
      [['no_client', 'unknown']],
    ],
    ['a host that cannot be resolved', running([]), port({ url: url('http', [], false) }), [['unresolved', 'unknown']]],
    [
      'a server elsewhere, nobody connected',
      running([]),
      port({ url: url('http', ['192.0.2.1'], false) }),
      [['no_client', 'unknown']],
    ],
    ['https elsewhere', running([]), port({ url: url('https', ['192.0.2.1'], false) }), [['no_client', 'unknown']]],
    [
      'https, and nothing is tapped',
      running([], { taps_absent: 'switched off (tls.secrets)' }),
      port({ url: url('https', ['192.0.2.1'], false) }),
      [
        ['no_client', 'unknown'],
        ['taps_absent', 'unseen'],
      ],
    ],
    [
      'TLS that is read, by a library that is tapped',
      running([group({ guess: 'h2', decrypted: 1 })], { tls: [{ pid: 7, implementations: [library()] }] }),
      pid(process()),
      [
        ['h2', 'seen'],
        ['tls_tapped', 'seen'],
      ],
    ],
    [
      'TLS that is not read, by a library without a tap',
      running([group({ guess: 'tls', exchanges: 0, unread: [{ cause: 'no_secret', connections: 1 }] })], {
        tls: [{ pid: 7, implementations: [library({ kind: 'java', version: '', tapped: false, gap: 'in Java' })] }],
      }),
      pid(process()),
      [
        ['tls', 'unseen'],
        ['tls_untapped', 'partly'],
      ],
    ],
  ])('%s', (_, agent, subject, expected) => {
    expect(answer(agent, subject).map(({ id, verdict }) => [id, verdict])).toEqual(expected);
  });

  it('says what to do wherever something is not seen, but for what is no HTTP', () => {
    const findings = [
      ...answer({ state: 'absent', socket: '/s' }, pid(process())),
      ...answer(running([]), pid(process({ cgroup: '/z' }))),
      ...answer(running([group({ guess: 'tls' })]), pid(process({ tls: [{ name: 'OpenSSL 3', path: '/x' }] }))),
    ];
    for (const { verdict, todo } of findings) if (verdict === 'unseen') expect(todo).not.toBe('');
    expect(findings.map(({ text }) => text).join('\n')).toContain('by OpenSSL 3');
    expect(findings.map(({ todo }) => todo).join('\n')).toContain('--cgroup /sys/fs/cgroup/z');
  });

  it('does not say that a process is not there when /proc hides it', () => {
    const [found] = answer(running(), pid(null), false, true);
    expect(found).toMatchObject({ id: 'process_hidden', verdict: 'unknown' });
    expect(found!.text).toContain('hidepid');
  });

  it('says which library is tapped, and why another one is not', () => {
    const text = (one: TlsProcess): string =>
      answer(
        running([group({ guess: 'tls', unread: [{ cause: 'handshake_unseen', connections: 3 }] })], {
          tls: [{ pid: 7, implementations: [one] }],
        }),
        pid(process()),
      )
        .map((finding) => finding.text)
        .join('\n');
    expect(text(library())).toContain(
      'api (pid 7) runs OpenSSL 3.0.19 (/usr/lib/libcrypto.so.3): its secrets are taken',
    );
    expect(text(library({ kind: 'gnutls', version: '', tapped: false, gap: 'it exports nothing' }))).toContain(
      'runs GnuTLS (/usr/lib/libcrypto.so.3), whose secrets are not taken: it exports nothing.',
    );
    expect(text(library())).toContain('the handshake was not seen: the connection is older than the agent');
  });

  it('counts open and closed connections apart, and says when the last one closed', () => {
    const text = (...groups: WhyGroup[]): string => answer(running(groups), pid(process()))[0]!.text;
    expect(text(group({ open: 0, closed: 3, closed_s_ago: 75, decrypted: 3 }))).toBe(
      'HTTP/1: 12 calls on 3 connections of api (pid 7), served on port 8080, over TLS. None is open now; the last one closed 1 min 15 s ago.',
    );
    expect(text(group({ open: 2, closed: 1, closed_s_ago: 75, decrypted: 1 }))).toBe(
      'HTTP/1: 12 calls on 2 open connections and 1 that has closed, of api (pid 7), served on port 8080, 1 of them over TLS.',
    );
    expect(
      text(
        group({ open: 0, closed: 1, closed_s_ago: 75 }),
        group({ side: 'client', open: 0, closed: 9, closed_s_ago: 5 }),
      ),
    ).toContain(
      '24 calls on 10 connections of api (pid 7), served on port 8080, to port 8080. None is open now; the last one closed 5 s ago.',
    );
  });

  it('does not name a TLS library that it did not see', () => {
    const text = (tls: ProcessReport['tls']): string =>
      answer(running([group({ guess: 'tls' })]), pid(process({ tls })))[0]!.text;
    expect(text(null)).toContain('not known');
    expect(text([])).toContain('linked in');
  });
});
