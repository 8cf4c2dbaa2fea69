/** Attaches to the cgroup it is given and waits to be killed. */
import { Capture } from './rig.ts';

const capture = new Capture(process.argv[2]!);
process.stdout.write(`attached ${capture.loaded.variant}\n`);
setInterval(() => capture.drain(), 1000);
