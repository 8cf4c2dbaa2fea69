"""A listener that serves nothing itself: it hands each accepted socket (SCM_RIGHTS) to a process that lives for it alone."""
import os
import signal
import socket
import sys

# The rig starts it in a process group of its own.
signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
taking, giving = socket.socketpair()
if os.fork() == 0:
    listener.close()
    giving.close()
    while True:
        said, handed, _, _ = socket.recv_fds(taking, 1, 1)
        if not said:
            os._exit(0)
        connection = socket.socket(fileno=handed[0])
        if os.fork() == 0:
            lines = connection.makefile("rb")
            while lines.readline():
                while lines.readline().strip():
                    pass
                body = b"%d\n" % os.getpid()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Pid: %s\r\n\r\n%s" % (len(body), body.strip(), body))
            os._exit(0)
        connection.close()
while True:
    connection, _ = listener.accept()
    socket.send_fds(giving, [b"x"], [connection.fileno()])
    connection.close()
