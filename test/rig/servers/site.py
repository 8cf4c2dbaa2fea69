"""The test site on Python's http.server; site.ts says what each path does."""
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, log_path = int(sys.argv[1]), sys.argv[2]
log = open(log_path, "a", buffering=1)
lock = threading.Lock()
requests = 0


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for each answer would be more usual; http.server sends head and body apart, which is a case of its own.

    def log_message(self, *args):
        pass

    def note(self, status, sent):
        with lock:
            log.write(f"{self.headers.get('X-Request-Id', '-')}\t{self.command}\t{self.path}\t{status}\t{sent}\n")

    def whole(self, status, body):
        self.send_response(status)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or status in (204, 304):
            body = b""
        self.wfile.write(body)
        self.note(status, len(body))

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            received = 0
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    return received
                received += len(self.rfile.read(size))
                self.rfile.readline()
        return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self):
        global requests
        with lock:
            requests += 1
            mine = requests
        received = self.body()
        _, path, *rest = self.path.split("?")[0].split("/")
        n = int(rest[0]) if rest and rest[0].isdigit() else 0
        if path == "count":
            self.whole(200, b'{"n":%d}\n' % mine)
        elif path == "small":
            self.whole(200, b"small\n")
        elif path == "bytes":
            self.whole(200, b"b" * n)
        elif path == "close":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"d" * n)
            self.close_connection = True
            self.note(200, n)
        elif path == "status":
            self.whole(n, b"")
        elif path == "slow":
            time.sleep(n / 1000)
            self.whole(200, b"slow\n")
        elif path in ("stall", "reset"):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"0123456789")
            self.note(200, 10)
            if path == "reset":
                time.sleep(0.02)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            else:
                time.sleep(3600)
        elif path == "sink":
            self.whole(200, b'{"received":%d}\n' % received)
        else:
            self.whole(404, b"missing\n")

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = answer


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


Server(("::", port), Site).serve_forever()
