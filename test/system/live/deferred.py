"""
A server that its clients overrun: it accepts nobody for a while, and its accept queue is full. The requests of most clients reach the
listening socket (TCP_DEFER_ACCEPT), are thrown away there, and come again until somebody accepts.

Both ends in one process, so that their order is the test's own: connects clients, waits for a line, has each send its request,
waits for a line and until every request that nobody took was sent twice more, says how many these are, then accepts and answers every one,
and prints how many answers arrived.
"""
import contextlib
import selectors
import socket
import struct
import sys
import time

TCP_RTO_MAX_MS = 44  # linux/tcp.h

clients_number = int(sys.argv[1])
pad = "x" * int(sys.argv[2])

listener = socket.socket()
# Longer than any machine takes to get to the requests: after this a client without one is accepted, too.
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 120)
listener.bind(("127.0.0.1", 0))
listener.listen(4096)
clients = [socket.create_connection(listener.getsockname()) for _ in range(clients_number)]
for client in clients:
    # Linux 6.15: else the time between copies doubles with each, to a minute where they are made slowly.
    with contextlib.suppress(OSError):
        client.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1000)
# They wait for their first byte. A queue shorter than before takes two of them.
listener.listen(1)
print("connected", flush=True)

sys.stdin.readline()
for number, client in enumerate(clients):
    client.sendall(
        f"GET /call/{number} HTTP/1.1\r\nHost: x\r\nX-Request-Id: c-{number}\r\nX-Pad: {pad}\r\n\r\n".encode()
    )
print("sent", flush=True)

sys.stdin.readline()


def waiting_and_retransmissions(client):
    """tcpi_unacked and tcpi_total_retrans of struct tcp_info (linux/tcp.h)."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("I", info, 24)[0], struct.unpack_from("I", info, 100)[0]


while True:
    states = [waiting_and_retransmissions(client) for client in clients]
    if all(not waiting or again >= 2 for waiting, again in states):
        break
    time.sleep(0.01)
print("again", sum(again >= 2 for _, again in states), flush=True)
listener.listen(4096)
listener.setblocking(False)
watch = selectors.DefaultSelector()
watch.register(listener, selectors.EVENT_READ, "listener")
for client in clients:
    client.setblocking(False)
    watch.register(client, selectors.EVENT_READ, "client")
answered = 0
received = {}
while answered < clients_number:
    for key, _ in watch.select():
        peer = key.fileobj
        if key.data == "listener":
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            watch.register(accepted, selectors.EVENT_READ, "server")
            continue
        data = peer.recv(65536)
        if key.data == "client":
            if not data.startswith(b"HTTP/1.1 200"):
                sys.exit(f"not an answer: {data!r}")
            answered += 1
            watch.unregister(peer)
            continue
        received[peer] = received.get(peer, b"") + data
        if received[peer].endswith(b"\r\n\r\n"):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            watch.unregister(peer)
print("answered", answered, flush=True)
sys.stdin.readline()
