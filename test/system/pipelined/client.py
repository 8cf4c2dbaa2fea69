"""client.py PORT NAME DEPTH PATH...: connections that send all their requests before they read an answer, or DEPTH ahead (0: all).

A path is METHOD:TARGET:BODY_BYTES. Each request has an id of its own in X-Request-Id and in its target's query; prints, for each answer in the
order of the requests, `id method status body_bytes`.
"""
import random
import socket
import sys
import threading

CONNECTIONS = 5
REQUESTS = 20


def answers(stream, method):
    """One final answer: status, bytes of its body."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if method == "HEAD" or status in (204, 304):
        length = 0
    left = length
    while left:
        got = len(stream.read(min(left, 1 << 16)))
        if not got:
            raise EOFError
        left -= got
    return status, length


def conversation(port, name, plan, depth, out):
    ahead = threading.Semaphore(depth or len(plan))
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rb") as stream:

        def write():
            for i, (method, target, size) in enumerate(plan):
                ahead.acquire()
                since = "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n" if "since" in target else ""
                length = f"Content-Length: {size}\r\n" if method in ("POST", "PUT") else ""
                head = f"{method} {target}?id={name}-{i} HTTP/1.1\r\nHost: x\r\n{length}{since}X-Request-Id: {name}-{i}\r\n\r\n"
                s.sendall(head.encode() + b"x" * size)

        writer = threading.Thread(target=write)
        writer.start()
        for i, (method, _, _) in enumerate(plan):
            status, length = answers(stream, method)
            out.append(f"{name}-{i} {method} {status} {length}")
            ahead.release()
        writer.join()


port, name, depth = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
paths = [(m, t, int(n)) for m, t, n in (word.split(":") for word in sys.argv[4:])]
chance = random.Random(7)
lines = []
for c in range(CONNECTIONS):
    conversation(port, f"{name}-{c}", [chance.choice(paths) for _ in range(REQUESTS)], depth, lines)
print("\n".join(lines))
