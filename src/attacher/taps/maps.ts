/** Which files a process runs code from: /proc/PID/maps (proc(5)). */

export interface MappedFile {
  /** Device and inode as the kernel prints them: one file, whatever it is called where. */
  readonly key: string;
  readonly inode: number;
  /** As the process sees it; " (deleted)" is cut off. */
  readonly path: string;
  /** Name below /proc/PID/map_files: opens the very file, also when its path leads to another one by now. */
  readonly range: string;
}

const LINE = /^([0-9a-f]+-[0-9a-f]+) (\S{4}) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) +(\/.*)$/;
const FILES_MAX = 1_024;
const LIKELY = /(?:crypto|ssl|tls|ld-linux|ld-musl|\/node)[^/]*$/;

/** Files with an executable mapping, each once; what is likely to carry TLS comes first, because a handshake does not wait. */
export const executableFiles = (maps: string): MappedFile[] => {
  const files = new Map<string, MappedFile>();
  for (const line of maps.split('\n')) {
    const match = LINE.exec(line);
    if (match === null || match[2]![2] !== 'x' || match[4] === '0') continue;
    const key = `${match[3]}:${match[4]}`;
    if (!files.has(key))
      files.set(key, {
        key,
        inode: Number(match[4]),
        path: match[5]!.replace(/ \(deleted\)$/, ''),
        // The names there have no leading zeros, and with one they are refused (dname_to_vma_addr, fs/proc/base.c): programs at fixed addresses.
        range: match[1]!.replaceAll(/\b0+(?=[0-9a-f])/g, ''),
      });
    if (files.size === FILES_MAX) break;
  }
  return [...files.values()].sort((a, b) => Number(LIKELY.test(b.path)) - Number(LIKELY.test(a.path)));
};
