"""TCP whose packets have IPv6 extension headers, both ways: one call."""
import socket
import sys

# An option that everybody skips (PadN, RFC 8200 4.2), behind the header's own two bytes.
OPTIONS = bytes([0, 0, 1, 4, 0, 0, 0, 0])

ends = [socket.socket(socket.AF_INET6) for _ in range(2)]
for end in ends:
    for extension in (socket.IPV6_HOPOPTS, socket.IPV6_DSTOPTS):
        end.setsockopt(socket.IPPROTO_IPV6, extension, OPTIONS)
listener, client = ends
listener.bind(("::1", 0))
listener.listen(1)
client.connect(listener.getsockname())
server, _ = listener.accept()
for extension in (socket.IPV6_HOPOPTS, socket.IPV6_DSTOPTS):
    server.setsockopt(socket.IPPROTO_IPV6, extension, OPTIONS)
client.sendall(b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n")
if server.recv(4096)[:4] != b"GET ":
    sys.exit("no request")
server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
if client.recv(4096)[:4] != b"HTTP":
    sys.exit("no response")
