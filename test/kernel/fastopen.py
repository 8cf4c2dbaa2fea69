"""In a network namespace of its own: two fast-open connections; the second carries its request in the SYN."""
import ctypes, os, socket, subprocess, sys, threading

CLONE_NEWNET = 0x40000000
TCP_FASTOPEN, MSG_FASTOPEN = 23, 0x20000000
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
    sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as f:
    f.write("3")

server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
server.listen(16)


def serve():
    for _ in range(2):
        connection, _ = server.accept()
        text = b""
        while b"\r\n\r\n" not in text:
            text += connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        connection.close()


thread = threading.Thread(target=serve)
thread.start()
for number in (1, 2):
    client = socket.socket()
    client.sendto(b"GET /fast/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number, MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
    while client.recv(4096):
        pass
    client.close()
thread.join()
