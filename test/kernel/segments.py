"""Segments in an order of the test's own: a TCP client by hand on a TUN device, in a network namespace of its own.

usage: segments.py PORT FILE [racing] [gated]. FILE is JSON: streams (base64), and for each connection the number of its stream and its
segments, [from, to) of the stream, in the order in which they are sent. They are written from one CPU, so they arrive in this order; or,
racing, two by two, from two CPUs at once. Prints for each connection the client's port, once the server has read all and answered; gated, before the first segment too, with the
sequence number of the first byte, and then waits for a line.
"""
import base64, ctypes, fcntl, json, mmap, os, select, socket, struct, subprocess, sys, threading

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x400454CA, 0x0001, 0x1000, 0x4000, 0x0100
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SERVER, CLIENT = bytes([10, 9, 0, 1]), bytes([10, 9, 0, 2])
# virtio_net_hdr: the checksum is still to be made, which is to say that nobody looks at it.
UNCHECKED = struct.pack("<BBHHHH", 1, 0, 0, 0, 20, 16)
# A busy machine drops packets like any network: what is not acknowledged for so long is sent again, so often.
SILENCE_S, SILENCES_MAX = 2, 40


def packet(ports, seq, ack, flags, payload=b""):
    """One IPv4 packet with its virtio header."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0, CLIENT, SERVER)
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 0xFFFF, 0, 0)
    return UNCHECKED + ip + tcp + payload


def queue():
    fd = os.open("/dev/net/tun", os.O_RDWR)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"segments", flags))
    return fd


class Connection:
    """The client's end: what the server has acknowledged, and how far it lets us go."""

    def __init__(self, queues, port, number):
        self.queues, self.ports = queues, (20000 + number, port)
        self.seq, self.ack, self.acked, self.window, self.ended = 0xFFFFF000 + number * 77, 0, 0, 0, False
        self.sent, self.silences = [], 0
        self.send(self.seq, SYN)
        while not self.ack:
            self.hear()

    def send(self, seq, flags, payload=b""):
        os.write(self.queues[0], packet(self.ports, seq, self.ack, flags, payload))

    def send_segment(self, at, payload):
        self.send(self.seq + at, ACK | PSH, payload)

    def send_again(self):
        if not self.ack:
            self.send(self.seq, SYN)
        for at, payload in sorted(self.sent):
            if at + len(payload) > self.acked:
                self.send_segment(at, payload)

    def hear(self):
        """Takes one packet of the server's."""
        ready, _, _ = select.select(self.queues, [], [], SILENCE_S)
        if not ready:
            self.silences += 1
            if self.silences > SILENCES_MAX:
                sys.exit(f"the server says nothing: {self.acked} bytes acknowledged")
            self.send_again()
            return
        got = os.read(ready[0], 65600)[10:]
        if got[9] != 6 or struct.unpack("!HH", got[20:24]) != self.ports[::-1]:
            return
        seq, ack, _, flags, window = struct.unpack("!IIBBH", got[24:36])
        if flags & RST:
            sys.exit("the server resets")
        length = len(got) - 20 - (got[32] >> 4) * 4
        if flags & SYN and not self.ack:
            self.ack, self.seq = (seq + 1) & 0xFFFFFFFF, (self.seq + 1) & 0xFFFFFFFF
        elif seq == self.ack and (length or flags & FIN):
            self.ack = (seq + length + (flags & FIN)) & 0xFFFFFFFF
            self.ended = (flags & FIN) != 0
        self.acked, self.window = (ack - self.seq) & 0xFFFFFFFF, window
        if length or flags & (SYN | FIN):
            self.send(self.seq + self.acked, ACK)

    def end(self, length):
        """Waits for all of the answer, which the server gives once it has read the stream."""
        while not self.ended:
            self.hear()
        self.send(self.seq + length, RST | ACK)


def in_order(connection, segments):
    for offset, payload in segments:
        while offset + len(payload) > connection.acked + connection.window:
            connection.hear()
        connection.sent.append((offset, payload))
        connection.send_segment(offset, payload)


def racing(connection, segments):
    """Two by two from two CPUs: each of two processes waits for the other before each segment."""
    gate = (ctypes.c_uint64 * 16).from_buffer(mmap.mmap(-1, 4096))
    packets = [packet(connection.ports, connection.seq + at, connection.ack, ACK | PSH, payload) for at, payload in segments]
    children = []
    for me in (0, 1):
        pid = os.fork()
        if pid == 0:
            cpus = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cpus[me % len(cpus)]})
            mine, other, fd = 8 * me, 8 * (1 - me), connection.queues[me]
            for i in range(0, len(packets) - 1, 2):
                gate[mine] = i // 2 + 1
                while gate[other] < i // 2 + 1:
                    os.sched_yield()
                os.write(fd, packets[i + me])
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    if len(packets) % 2:
        os.write(connection.queues[0], packets[-1])
    connection.sent = segments


def serve(listener, connections):
    for segments in connections:
        peer, _ = listener.accept()
        left = max(at + len(payload) for at, payload in segments)
        while left:
            left -= len(peer.recv(1 << 20)) or sys.exit("the stream ended early")
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        peer.close()


def main():
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    port = int(sys.argv[1])
    with open(sys.argv[2], encoding="ascii") as file:
        wanted = json.load(file)
    streams = [base64.b64decode(stream) for stream in wanted["streams"]]
    connections = [
        [(start, streams[one["stream"]][start:end]) for start, end in one["segments"]] for one in wanted["connections"]
    ]
    queues = [queue(), queue()]
    subprocess.run(["ip", "address", "add", "10.9.0.1/24", "dev", "segments"], check=True)
    subprocess.run(["ip", "link", "set", "segments", "up"], check=True)
    listener = socket.create_server(("10.9.0.1", port), backlog=8)
    threading.Thread(target=serve, args=(listener, connections), daemon=True).start()
    together = "racing" in sys.argv[3:]
    if not together:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for number, segments in enumerate(connections):
        connection = Connection(queues, port, number)
        if "gated" in sys.argv[3:]:
            print("open", connection.ports[0], connection.seq, flush=True)
            sys.stdin.readline()
        (racing if together else in_order)(connection, segments)
        length = max(at + len(payload) for at, payload in segments)
        connection.end(length)
        print(connection.ports[0], flush=True)


main()
