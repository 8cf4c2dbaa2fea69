/**
 * Facts in, findings out: what Headwater sees, what not and the reason, and what to do. Pure. Every sentence follows from
 * a fact; what is not known is said to be unknown.
 */
import { unreachable } from '../../base/assert.ts';
import type { WhyGroup, WhyState } from '../../model/why.ts';
import { aboutConnections } from './connections.ts';
import type { Facts, ProcessReport, SocketFacts, Subject } from './facts.ts';
import { finding, list, plural, type WhyFinding } from './finding.ts';
import { aboutLibraries, aboutSecrets, librariesOf } from './tls.ts';

export const explain = (facts: Facts): WhyFinding[] => [...aboutAgent(facts), ...aboutSubject(facts)];

const aboutAgent = ({ agent }: Facts): WhyFinding[] => {
  switch (agent.state) {
    case 'running':
      return agent.live.ready
        ? []
        : [finding('agent_starting', 'unknown', 'The agent is still starting.', 'Ask again in a moment.')];
    case 'absent':
      return [
        finding(
          'no_agent',
          'unseen',
          `No agent answers at ${agent.socket}: nothing is captured.`,
          'Start it: sudo headwater run (or name its socket: --socket PATH).',
        ),
      ];
    case 'denied':
      return [
        finding(
          'agent_denied',
          'unknown',
          `The agent's socket ${agent.socket} may not be opened by this user.`,
          'Ask as the user that runs it: sudo headwater why ...',
        ),
      ];
    case 'broken':
      return [
        finding(
          'agent_broken',
          'unknown',
          `The agent does not answer: ${agent.message}.`,
          'Look at its own messages, and at headwater status.',
        ),
      ];
    default:
      return unreachable(agent);
  }
};

const aboutSubject = (facts: Facts): WhyFinding[] => {
  const { subject } = facts;
  if (subject.kind === 'pid') {
    if (subject.process !== null) return aboutProcess(subject.process, facts, null);
    if (facts.hidden) {
      return [
        finding(
          'process_hidden',
          'unknown',
          `No process ${subject.pid} is in sight: /proc hides those of other users from this one (hidepid).`,
          'Ask as root: sudo headwater why ...',
        ),
      ];
    }
    return [
      finding(
        'no_process',
        'unseen',
        `There is no process ${subject.pid}.`,
        'Find it: pgrep -a NAME, or ask for its port: headwater why port:PORT.',
      ),
      ...aboutConnections(
        liveGroups(facts, (group) => group.pid === subject.pid),
        null,
        '',
      ),
    ];
  }
  return aboutPort(subject, facts);
};

const aboutPort = (subject: Extract<Subject, { kind: 'port' }>, facts: Facts): WhyFinding[] => {
  const { port, servers, clients, url } = subject;
  const found: WhyFinding[] = [];
  if (url !== null && url.addresses.length === 0) {
    return [
      finding(
        'unresolved',
        'unknown',
        `${url.host} cannot be resolved here.`,
        'Ask with its address, or with the port: headwater why port:PORT.',
      ),
    ];
  }
  const where = url === null ? `TCP port ${port}` : `${url.host} (${list(url.addresses, 3)}) port ${port}`;
  if (servers.length === 0 && !subject.hiddenListener && (url === null || url.local)) {
    found.push(
      subject.udp
        ? finding(
            'udp_only',
            'unseen',
            `Nothing listens on ${where}, but a UDP socket is bound to that number: HTTP/3 (QUIC) is not read by this version.`,
            'Turn HTTP/3 off at the server or the client; the calls then come by TCP.',
          )
        : finding(
            'no_listener',
            'unseen',
            `Nothing listens on ${where} on this host.`,
            'Check the address and port: ss -ltnp.',
          ),
    );
  }
  if (subject.hiddenListener) {
    found.push(
      finding(
        'hidden_listener',
        'unknown',
        `A socket listens on ${where}, but not whose it is${facts.root ? ' (no process in sight holds it)' : ''}.`,
        facts.root ? 'Ask on the host itself, outside any container.' : 'Ask as root: sudo headwater why ...',
      ),
    );
  }
  if (url?.local === false && clients.length === 0) {
    found.push(
      finding(
        'no_client',
        'unknown',
        `No process${facts.root ? '' : ' that this user may look at'} has a connection to ${where} right now.`,
        facts.root ? 'Ask while it is being called.' : 'Ask as root, while it is being called: sudo headwater why ...',
      ),
    );
  }
  for (const process of servers) found.push(...aboutProcess(process, facts, { port, side: 'server' }));
  for (const process of clients) found.push(...aboutProcess(process, facts, { port, side: 'client' }));
  // Of workers, and of processes that have ended.
  const reported = new Set([...servers, ...clients].map(({ pid }) => pid));
  const asked = (group: WhyGroup): boolean =>
    group.server_port === port &&
    (url === null || group.server_addresses.some((address) => url.addresses.includes(address)));
  found.push(
    ...aboutConnections(
      liveGroups(facts, (group) => asked(group) && !reported.has(group.pid)),
      null,
      '',
    ),
  );
  if (url?.scheme === 'https') found.push(...aboutSecrets(facts));
  return found;
};

interface Leg {
  readonly port: number;
  readonly side: 'server' | 'client';
}

const liveGroups = (facts: Facts, match: (group: WhyGroup) => boolean): readonly WhyGroup[] =>
  facts.agent.state === 'running' ? facts.agent.live.groups.filter(match) : [];

const aboutProcess = (process: ProcessReport, facts: Facts, leg: Leg | null): WhyFinding[] => {
  const who = `${process.name} (pid ${process.pid})`;
  const outside = facts.agent.state === 'running' ? outOfScope(process, facts.agent.live, who) : null;
  const sockets = process.sockets === null ? [] : aboutSockets(process.sockets, who, leg);
  if (outside !== null) return [outside, ...sockets];
  const groups = liveGroups(
    facts,
    (group) =>
      group.pid === process.pid &&
      (leg === null || (group.server_port === leg.port && (group.side === leg.side || group.side === 'unknown'))),
  );
  const known = aboutConnections(groups, librariesOf(process, facts), who);
  const found = [...known, ...aboutLibraries(process, facts, who), ...sockets];
  if (process.sockets === null) {
    found.push(
      finding(
        'sockets_hidden',
        'unknown',
        `The sockets of ${who} may not be read by this user.`,
        'Ask as root: sudo headwater why ...',
      ),
    );
  }
  if (facts.agent.state !== 'running') found.push(...aboutWithoutAgent(process, who));
  if (facts.agent.state === 'running' && groups.every((group) => group.open === 0) && process.sockets !== null)
    found.push(...aboutSilence(process.sockets, who, leg, known.length > 0, workersOf(process, facts)));
  return found;
};

/** What the machine alone tells, while no agent can say more. */
const aboutWithoutAgent = ({ sockets, cgroup }: ProcessReport, who: string): WhyFinding[] =>
  sockets === null || sockets.listening.length + sockets.connections.length === 0
    ? []
    : [
        finding(
          'not_asked',
          'unknown',
          `${who}, cgroup ${cgroup || 'not known'}, ${sockets.listening.length === 0 ? 'listens on no TCP port' : `listens on ${list(sockets.listening)}`}, has ${plural(sockets.connections.length, 'TCP connection')}: only an agent knows what they carry.`,
        ),
      ];

const isInside = (path: string, scope: string): boolean =>
  scope === '/' || path === scope || path.startsWith(`${scope}/`);

const outOfScope = (process: ProcessReport, live: WhyState, who: string): WhyFinding | null => {
  if (process.cgroup === '')
    return finding(
      'cgroup_unknown',
      'unknown',
      `The cgroup of ${who} is not known.`,
      'Ask as root: sudo headwater why ...',
    );
  const attached = live.cgroups.filter((cgroup) => cgroup.attached);
  if (attached.some((cgroup) => isInside(process.cgroup, cgroup.path))) return null;
  return finding(
    'out_of_scope',
    'unseen',
    `${who} is in cgroup ${process.cgroup}; the agent observes ${attached.length === 0 ? 'none' : list(attached.map((cgroup) => cgroup.path))}.`,
    `Start the agent without --cgroup, or with --cgroup ${live.mount}${process.cgroup === '/' ? '' : process.cgroup} too.`,
  );
};

const aboutSockets = (sockets: SocketFacts, who: string, leg: Leg | null): WhyFinding[] => {
  const found: WhyFinding[] = [];
  const noTcp = sockets.listening.length === 0 && sockets.connections.length === 0;
  const unix = sockets.unixListening.length + sockets.unixConnected;
  if (noTcp && unix > 0) {
    const named = sockets.unixListening.filter((path) => path !== '');
    found.push(
      finding(
        'unix_only',
        'unseen',
        `${who} has UNIX sockets only${named.length === 0 ? '' : ` (listens on ${list(named, 3)})`}: nothing of them is a packet.`,
        'Observe the other leg of the proxy before it, or let it listen on 127.0.0.1.',
      ),
    );
  } else if (noTcp && sockets.udpPorts.length === 0) {
    found.push(
      finding(
        'no_sockets',
        'unseen',
        `${who} has no TCP socket right now.`,
        'Ask while it works, or ask for the process that holds the connection (a parent or a worker).',
      ),
    );
  }
  // A server of HTTP/3 has it on the port on which it also listens; a client's are of no use here, but for 443.
  const quic = sockets.udpPorts.filter((port) =>
    leg === null ? port === 443 || sockets.listening.includes(port) : port === leg.port,
  );
  if (quic.length > 0 && !noTcp) {
    found.push(
      finding(
        'quic',
        'partly',
        `${who} also uses UDP port ${list(quic)}: HTTP/3 (QUIC) is not read by this version.`,
        'Turn HTTP/3 off at the server or the client; the calls then come by TCP.',
      ),
    );
  } else if (noTcp && sockets.udpPorts.length > 0) {
    found.push(
      finding(
        'udp_only',
        'unseen',
        `${who} has UDP sockets only (ports ${list(sockets.udpPorts)}): HTTP/3 (QUIC) is not read by this version.`,
        'Turn HTTP/3 off at the server or the client; the calls then come by TCP.',
      ),
    );
  }
  return found;
};

/** /proc says in which cgroup a process is, not to which one its sockets belong (cgroup_sk_alloc, cgroup_sk_clone). */
const NOT_THEN =
  'If it is not there then, the socket belongs to a cgroup that is not observed: that of the process that made it or its listener (socket activation, a process that was moved). `ss -tan --cgroup` names it; observe that one too.';

/** What other processes served on the ports that this one listens on. */
const workersOf = (process: ProcessReport, facts: Facts): readonly WhyGroup[] =>
  liveGroups(facts, ({ pid, side, server_port, exchanges }) => {
    const listens = process.sockets?.listening.includes(server_port) === true;
    return listens && pid !== process.pid && side !== 'client' && exchanges > 0;
  });

/** In scope, and the agent has no open connection of it; `before`: it had some. */
const aboutSilence = (
  sockets: SocketFacts,
  who: string,
  leg: Leg | null,
  before: boolean,
  workers: readonly WhyGroup[],
): WhyFinding[] => {
  const open = sockets.connections.filter(
    (one) => leg === null || (leg.side === 'server' ? one.localPort : one.remotePort) === leg.port,
  );
  if (open.length > 0) {
    return [
      finding(
        'idle',
        'unknown',
        `${who} has ${plural(open.length, 'open connection')} that carried nothing since the agent started, or whose owner the agent does not know.`,
        `They are read from the next message on: send a call, then ask again. ${NOT_THEN}`,
      ),
    ];
  }
  const ports = leg === null ? sockets.listening : sockets.listening.filter((port) => port === leg.port);
  if (ports.length === 0 || before) return [];
  const served = workers.filter((group) => ports.includes(group.server_port));
  if (served.length > 0) {
    const names = [...new Set(served.map(({ name, pid }) => (pid === 0 ? 'others' : `${name} (pid ${pid})`)))];
    return [
      finding(
        'served_by_others',
        'seen',
        `${who} listens on ${list(ports)}; calls there were served by ${list(names, 3)}.`,
      ),
    ];
  }
  return [
    finding(
      'no_connection',
      'unknown',
      `${who} listens on ${list(ports)} in an observed cgroup; no connection is open.`,
      `Send a call, then ask again. ${NOT_THEN}`,
    ),
  ];
};
