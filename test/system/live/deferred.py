"""
A server that its clients overrun: it accepts nobody for a while, and its accept queue is full. The requests of most clients reach the
listening socket (TCP_DEFER_ACCEPT), are thrown away there, and come again until somebody accepts.

Both ends in one process, so that their order is the test's own: connects clients, waits for a line, has each send its request,
waits for a line and until every request but those in the queue was sent twice more, then accepts and answers every one, and prints how
many answers arrived.
"""
import selectors
import socket
import struct
import sys
import time

clients_number = int(sys.argv[1])
pad = "x" * int(sys.argv[2])

listener = socket.socket()
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
listener.bind(("127.0.0.1", 0))
listener.listen(4096)
clients = [socket.create_connection(listener.getsockname()) for _ in range(clients_number)]
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


def retransmissions(client):
    """tcpi_total_retrans of struct tcp_info (linux/tcp.h)."""
    return struct.unpack_from("I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


while sum(retransmissions(client) >= 2 for client in clients) < clients_number - 2:
    time.sleep(0.01)
print("again", flush=True)
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
