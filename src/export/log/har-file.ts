/** The text of a HAR file around its entries, entry by entry: a file of any length in the memory of one. Pure ASCII. */
import { asciiJson } from './json.ts';

export class HarFile {
  readonly #version: string;
  #entries = 0;

  /** `version`: Headwater's own, for `creator`. */
  constructor(version: string) {
    this.#version = version;
  }

  begin(): string {
    return `{"log":{"version":"1.2","creator":{"name":"Headwater","version":"${asciiJson(this.#version)}"},"pages":[],"entries":[\n`;
  }

  entry(entry: object): string {
    const text = JSON.stringify(entry).replace(
      /[\x7f-\uffff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    return `${this.#entries++ === 0 ? '' : ','}${text}\n`;
  }

  end(): string {
    return ']}}\n';
  }
}
