"""Loads headers.bpf.o, attaches it to a cgroup and prints what comes: run.py OBJECT CGROUP_FOLDER. Needs root, libbpf1."""
import ctypes, os, sys

bpf = ctypes.CDLL("libbpf.so.1")
for name in ("bpf_object__open_file", "bpf_object__find_program_by_name", "bpf_object__find_map_by_name",
             "bpf_program__attach_cgroup", "ring_buffer__new"):
    getattr(bpf, name).restype = ctypes.c_void_p
pointer = ctypes.c_void_p

@ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, ctypes.c_size_t)
def show(_context, data, _size):
    length = ctypes.cast(data, ctypes.POINTER(ctypes.c_uint32))[0]
    head = ctypes.string_at(data + 4, length).split(b"\r\n\r\n")[0]
    print(head.decode("latin1"), end="\n\n", flush=True)
    return 0

object_file, cgroup = sys.argv[1:]
object_ = pointer(bpf.bpf_object__open_file(object_file.encode(), None))
if not object_ or bpf.bpf_object__load(object_) != 0: sys.exit("the kernel refused the program (see above)")
program = pointer(bpf.bpf_object__find_program_by_name(object_, b"incoming"))
link = bpf.bpf_program__attach_cgroup(program, os.open(cgroup, os.O_RDONLY))
if not link: sys.exit(f"cannot attach to {cgroup}")
ring_map = pointer(bpf.bpf_object__find_map_by_name(object_, b"ring"))
ring = pointer(bpf.ring_buffer__new(bpf.bpf_map__fd(ring_map), show, None, None))
print("attached", flush=True)
while bpf.ring_buffer__poll(ring, 100) >= 0: pass
