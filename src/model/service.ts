/**
 * What a cgroup path says of the process in it: the systemd unit, the container, and from these the name of the service.
 * Pure: the paths come from /proc/PID/cgroup (Linux, Documentation/admin-guide/cgroup-v2.rst) and are not trusted.
 */

/** What the deepest telling component of a cgroup path names. */
export interface CgroupIdentity {
  /** systemd unit as `systemctl` prints it ("nginx.service"), or null. Login sessions and init.scope are no services. */
  readonly unit: string | null;
  /** 64 hex digits, or null. */
  readonly container: string | null;
  /** "docker", "podman", "containerd", "crio", "kubepods", "lxc", or "container" when only the id is there; null without one. */
  readonly runtime: string | null;
  /** What to call the service when no rule names it; "" when the path tells nothing. */
  readonly service: string;
}

/** Names services before anything else does (`services` of the configuration). The first rule that matches wins. */
export interface ServiceRule {
  readonly name: string;
  /** Every condition that is given must hold. */
  readonly match: {
    /** The server's port, on both sides of the call. */
    readonly port?: number | undefined;
    /** Process name as in /proc/PID/comm. */
    readonly process?: string | undefined;
    /** systemd unit. */
    readonly unit?: string | undefined;
    /** Cgroup path below the unified mount; its descendants match too. */
    readonly cgroup?: string | undefined;
  };
}

/** What is known of one end of a connection when its service is named. */
export interface ServiceFacts {
  /** Path below the unified mount; "" when not known. */
  readonly cgroup: string;
  /** Process name; "" when not known. */
  readonly process: string;
  /** Port of the connection's server end: a client's own port would make every call a service. */
  readonly port: number;
}

/** Paths longer than this are cut: PATH_MAX bounds what the kernel prints. */
export const CGROUP_PATH_LENGTH_MAX = 4096;

const NOTHING: CgroupIdentity = { unit: null, container: null, runtime: null, service: '' };

const HEX64 = /^[0-9a-f]{64}$/;
/** Scopes and cgroupfs names of the runtimes: prefix, id. The monitors beside a container (conmon) are not the container. */
const CONTAINER_SCOPE =
  /^(docker|libpod|libpod-payload|cri-containerd|nerdctl|containerd|crio|buildkit)-([0-9a-f]{64})(?:\.scope)?$/;
/** runc with the cgroupfs driver below a systemd slice: "kubepods-pod1.slice:cri-containerd:<id>". */
const COLON_FORM = /:(docker|libpod|cri-containerd|containerd|nerdctl|crio):([0-9a-f]{64})$/;
const MONITOR_SCOPE = /^(libpod-conmon|crio-conmon)-[0-9a-f]{64}(?:\.scope)?$/;
const LXC = /^lxc(?:\.payload)?[./](.+)$/;

const RUNTIMES: Readonly<Record<string, string>> = {
  docker: 'docker',
  buildkit: 'docker',
  libpod: 'podman',
  'libpod-payload': 'podman',
  libpod_parent: 'podman',
  'cri-containerd': 'containerd',
  containerd: 'containerd',
  nerdctl: 'containerd',
  crio: 'crio',
};

const containerOf = (component: string, above: readonly string[]): { id: string; runtime: string } | null => {
  const scoped = CONTAINER_SCOPE.exec(component) ?? COLON_FORM.exec(component);
  if (scoped !== null) return { id: scoped[2]!, runtime: RUNTIMES[scoped[1]!] ?? 'container' };
  if (!HEX64.test(component)) return null;
  const parent = above.at(-1) ?? '';
  const known = RUNTIMES[parent];
  if (known !== undefined) return { id: component, runtime: known };
  return { id: component, runtime: above.some((part) => part.startsWith('kubepods')) ? 'kubepods' : 'container' };
};

/** systemd puts "_" before names that would collide with the kernel's own files (cg_escape in its basic/cgroup-util.c). */
const unescapeUnit = (component: string): string => (component.startsWith('_') ? component.slice(1) : component);

const unitOf = (component: string): string | null => {
  const name = unescapeUnit(component);
  if (name.endsWith('.service') && name.length > '.service'.length) return name;
  if (!name.endsWith('.scope') || name.length === '.scope'.length) return null;
  // A login session or pid 1 says nothing of what the process does; a monitor is not what it watches.
  if (name === 'init.scope' || /^session-[^/]+\.scope$/.test(name) || MONITOR_SCOPE.test(name)) return null;
  return name;
};

/**
 * Reads a cgroup path. The deepest component that names a unit or a container wins: nginx.service inside a container is
 * nginx.service, a container that docker.service holds is the container.
 *
 * @param path as in the "0::" line of /proc/PID/cgroup; "/.." components (seen from inside a cgroup namespace) and the
 *   "/user.slice/.../user@1000.service" manager above an application are passed over.
 */
export const identifyCgroup = (path: string): CgroupIdentity => {
  const parts = path
    .slice(0, CGROUP_PATH_LENGTH_MAX)
    .split('/')
    .filter((part) => part !== '' && part !== '..');
  for (let i = parts.length - 1; i >= 0; i--) {
    const part = parts[i]!;
    const above = parts.slice(0, i);
    const container = containerOf(part, above);
    if (container !== null) {
      return {
        unit: null,
        container: container.id,
        runtime: container.runtime,
        service: `${container.runtime}-${container.id.slice(0, 12)}`,
      };
    }
    const unit = unitOf(part);
    if (unit !== null) {
      // A unit inside a container: the id is still worth knowing.
      for (let j = i - 1; j >= 0; j--) {
        const outer = containerOf(parts[j]!, parts.slice(0, j));
        if (outer !== null) return { unit, container: outer.id, runtime: outer.runtime, service: unit };
      }
      return { unit, container: null, runtime: null, service: unit };
    }
    const lxc =
      part === 'lxc' || part === 'lxc.payload'
        ? null
        : (LXC.exec(part)?.[1] ?? (['lxc', 'lxc.payload'].includes(above.at(-1) ?? '') ? part : null));
    if (lxc !== null) return { unit: null, container: null, runtime: 'lxc', service: `lxc-${lxc}` };
  }
  return NOTHING;
};

const ruleMatches = ({ match }: ServiceRule, facts: ServiceFacts): boolean => {
  const inside = match.cgroup === undefined || match.cgroup === '/' ? null : match.cgroup.replace(/\/+$/, '');
  return (
    (match.port === undefined || match.port === facts.port) &&
    (match.process === undefined || match.process === facts.process) &&
    (inside === null || facts.cgroup === inside || facts.cgroup.startsWith(`${inside}/`)) &&
    (match.unit === undefined || match.unit === identifyCgroup(facts.cgroup).unit)
  );
};

/** The service's name: a rule's, else the systemd unit, else the container, else "name:port", else "". */
export const nameService = (facts: ServiceFacts, rules: readonly ServiceRule[] = []): string => {
  const rule = rules.find((candidate) => ruleMatches(candidate, facts));
  if (rule !== undefined) return rule.name;
  const { service } = identifyCgroup(facts.cgroup);
  if (service !== '') return service;
  return facts.process === '' ? '' : `${facts.process}:${facts.port}`;
};
