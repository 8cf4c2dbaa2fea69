import { spawnSync } from 'node:child_process';
import { must } from './program.ts';
import { disown, own } from './registry.ts';

export interface Host {
  /** Name of the network namespace, for ProgramOptions.netns. */
  readonly netns: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** The veth end inside it. */
  readonly device: string;
}

let made = 0;

/** Two hosts on one cable: two network namespaces and a veth pair, IPv4 and IPv6, loopback up. */
export class NetnsPair implements AsyncDisposable {
  readonly client: Host;
  readonly server: Host;

  private constructor(id: string) {
    // TEST-NET-2 (RFC 5737) and the documentation prefix (RFC 3849): never routed, so never mixed up with a real network.
    const host = (role: string, n: number): Host => ({
      netns: `hw-${id}-${role}`,
      ipv4: `198.51.100.${n}`,
      ipv6: `2001:db8::${n}`,
      device: `hw${role}`,
    });
    this.client = host('c', 1);
    this.server = host('s', 2);
    own(this, () => {
      for (const { netns } of [this.client, this.server]) spawnSync('ip', ['netns', 'del', netns]);
    });
  }

  static async create(): Promise<NetnsPair> {
    const pair = new NetnsPair(`${process.pid}-${++made}`);
    const { client, server } = pair;
    await must(['ip', 'netns', 'add', client.netns]);
    await must(['ip', 'netns', 'add', server.netns]);
    await must([
      'ip',
      '-n',
      client.netns,
      'link',
      'add',
      client.device,
      'type',
      'veth',
      'peer',
      'name',
      server.device,
      'netns',
      server.netns,
    ]);
    for (const host of [client, server]) {
      const ip = (...args: string[]): Promise<string> => must(['ip', '-n', host.netns, ...args]);
      await ip('addr', 'add', `${host.ipv4}/24`, 'dev', host.device);
      // nodad: without it the address is not usable for a second.
      await ip('addr', 'add', `${host.ipv6}/64`, 'dev', host.device, 'nodad');
      await ip('link', 'set', 'lo', 'up');
      await ip('link', 'set', host.device, 'up');
    }
    return pair;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The veth pair goes with the first namespace.
    for (const { netns } of [this.client, this.server]) await must(['ip', 'netns', 'del', netns]);
    disown(this);
  }
}
