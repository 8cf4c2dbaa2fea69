"""late.py PLAIN AGAIN: a client that waits for each of PLAIN answers and then asks for the next one amid each answer, ten times; all of that AGAIN times
on one connection, and its server. A head is sent alone, as nginx sends files, and while the client pipelines with the end of the body before it.
Prints `id` of each call in the order of the requests.
"""
import socket
import sys
import threading

BODY = b"x" * 30_000
AMID = 10

plain, again = int(sys.argv[1]), int(sys.argv[2])
# For each call: does the client ask for the next one amid its answer?
amid = ([False] * (plain - 1) + [True] * AMID + [False]) * again
listener = socket.create_server(("127.0.0.1", 0))


def requests(stream):
    while line := stream.readline():
        while stream.readline() not in (b"\r\n", b""):
            pass
        yield line.split()[1].decode().partition("id=")[2]


def serve():
    s, _ = listener.accept()
    with s, s.makefile("rb") as stream:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = requests(stream)
        before = b""
        for ahead in amid:
            next_id = next(asked) if not before else following
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(BODY)}\r\nX-Request-Id: {next_id}\r\n\r\n"
            s.sendall(before + head.encode())
            before = b""
            if ahead:
                following = next(asked)
                before = BODY
            else:
                s.sendall(BODY)


threading.Thread(target=serve).start()
with socket.create_connection(listener.getsockname()) as s, s.makefile("rb") as stream:
    ids = [f"late-{i}" for i in range(len(amid))]

    def ask(i):
        s.sendall(f"GET /?id={ids[i]} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {ids[i]}\r\n\r\n".encode())

    ask(0)
    for i, ahead in enumerate(amid):
        while stream.readline() != b"\r\n":
            pass
        if ahead:
            ask(i + 1)
        if len(stream.read(len(BODY))) != len(BODY):
            raise EOFError
        if not ahead and i + 1 < len(amid):
            ask(i + 1)
print("\n".join(ids))
