import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disown, own } from './registry.ts';

/** A scratch folder that goes away with its scope. World-readable, because servers drop their rights. */
export class Folder implements Disposable {
  readonly path: string;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'headwater-'));
    chmodSync(this.path, 0o755);
    own(this, () => this.#remove());
  }

  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  /** Writes a file and returns its path. */
  write(name: string, text: string): string {
    const path = this.file(name);
    writeFileSync(path, text);
    return path;
  }

  #remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.#remove();
    disown(this);
  }
}
