/** What this kernel can do, asked by trying: version numbers lie on distribution kernels. */
import type { Libbpf } from './libbpf.ts';

/** enum bpf_prog_type, bpf_map_type and bpf_func_id of linux/bpf.h. */
const PROG_CGROUP_SKB = 8;
const HELPER_CURRENT_PID_TGID = 14;
const HELPER_CURRENT_COMM = 16;
const HELPER_CURRENT_CGROUP_ID = 80;

const YES = 1;

/** May a cgroup_skb program ask which process is running (Linux >= 6.10)? */
export const writerIsKnown = (lib: Libbpf): boolean =>
  [HELPER_CURRENT_PID_TGID, HELPER_CURRENT_COMM, HELPER_CURRENT_CGROUP_ID].every(
    (helper) => lib.probeHelper(PROG_CGROUP_SKB, helper, null) === YES,
  );
