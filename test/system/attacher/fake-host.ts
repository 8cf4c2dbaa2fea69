import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { HostFiles } from '../../../src/attacher/host.ts';
import { Folder } from '../../rig/folder.ts';

/** Another machine, below a folder: texts are files, `{ link }` symbolic links, null empty folders. */
export class FakeHost implements Disposable {
  readonly #folder = new Folder();
  readonly files = new HostFiles(this.#folder.path);

  constructor(entries: Readonly<Record<string, string | { readonly link: string } | null>>) {
    this.add(entries);
  }

  add(entries: Readonly<Record<string, string | { readonly link: string } | null>>): this {
    for (const [path, content] of Object.entries(entries)) {
      const real = this.#folder.file(path);
      mkdirSync(content === null ? real : dirname(real), { recursive: true });
      if (typeof content === 'string') writeFileSync(real, content);
      else if (content !== null) symlinkSync(content.link, real);
    }
    return this;
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
