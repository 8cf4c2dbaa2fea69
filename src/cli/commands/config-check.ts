import { EXIT } from '../../base/failure.ts';
import { checkedFile } from './settings.ts';

/** `headwater config check FILE`. */
export function configCheck(file: string): number {
  checkedFile(file);
  process.stdout.write(`${file}: ok\n`);
  return EXIT.DONE;
}
