"""A server that answers nobody, and a client that is gone before it could: both end at once. Says the server's port."""
import socket
import struct

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.sendall(b"GET /hasty HTTP/1.1\r\nHost: x\r\n\r\n")
server.recv(4096)
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
print(listener.getsockname()[1])
