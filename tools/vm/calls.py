"""A small HTTP server and client over loopback. usage: calls.py FILE http/1.1|h2 [CERTIFICATE KEY]: writes to FILE, as JSON, what was sent.

Everything is written as bytes by hand, so that what was sent is known and not what a library made of it. With a certificate
they speak TLS, once a line has come on stdin: whoever wants to tap the library has found it by then.
"""
import json
import socket
import ssl
import sys
import threading

import h2_by_hand as h2

H2 = sys.argv[2] == "h2"
TLS = len(sys.argv) > 3
# 20 KB: more than one TLS record and more than the window.
BIG_VALUE = b"".join(b"%05d-" % i for i in range(20 * 1024 // 6))
BIG_BODY = b"".join(b"%09d\n" % i for i in range(20 * 1024))
CHUNKS = [b"a" * 10, b"b" * 3000, b"c" * 70]


def response(path):
    if path == b"/chunked":
        body = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in CHUNKS) + b"0\r\nx-trailer: yes\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body
    if path == b"/missing":
        return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-why: none such\r\n\r\n"
    body = BIG_BODY if path == b"/big" else b"hello " + path
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-echo: %s\r\n\r\n%s" % (len(body), path, body)


def read_head(stream):
    lines = []
    while True:
        line = stream.readline()
        if line in (b"\r\n", b""):
            return lines
        lines.append(line.rstrip())


def contexts():
    """Of the server and of the client; None for both: in clear."""
    if not TLS:
        return None, None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(sys.argv[3], sys.argv[4])
    client = ssl.create_default_context(cafile=sys.argv[3])
    for context in (server, client):
        context.set_alpn_protocols([sys.argv[2]])
    sys.stdin.readline()
    return server, client


def accept(listener, context):
    connection, _ = listener.accept()
    return context.wrap_socket(connection, server_side=True) if context else connection


def serve(listener, context):
    connection = accept(listener, context)
    stream = connection.makefile("rb")
    while True:
        head = read_head(stream)
        if not head:
            break
        length = next((int(h.split(b":")[1]) for h in head if h.startswith(b"content-length:")), 0)
        stream.read(length)
        connection.sendall(response(head[0].split()[1]))
    connection.close()


def serve_h2(listener, context):
    connection = accept(listener, context)
    stream = connection.makefile("rb")
    stream.read(len(h2.PREFACE))
    connection.sendall(h2.GREETING)
    encoder = h2.Encoder()
    while number := h2.read_message(stream, connection):
        path = CALLS[number // 2][1].encode()
        head, _, body = response(path).partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        chunked = path == b"/chunked"
        fields = [tuple(line.split(b": ", 1)) for line in lines if not line.startswith(b"transfer-encoding")]
        out = encoder.headers(number, [(b":status", status.split()[1]), *fields], not body)
        out += h2.data(number, CHUNKS if chunked else [body], not chunked)
        if chunked:
            out += encoder.headers(number, [(b"x-trailer", b"yes")], True)
        connection.sendall(out)
    connection.close()


def read_response(stream):
    head = read_head(stream)
    if any(h.startswith(b"transfer-encoding") for h in head):
        while size := int(stream.readline(), 16):
            stream.read(size + 2)
        read_head(stream)
    else:
        stream.read(next(int(h.split(b":")[1]) for h in head if h.startswith(b"content-length:")))


CALLS = [
    ("GET", "/one", {}, b""),
    ("GET", "/two", {}, b""),
    ("POST", "/three", {"content-length": "5"}, b"12345"),
    ("GET", "/missing", {}, b""),
    ("GET", "/large-head", {"x-big": BIG_VALUE.decode()}, b""),
    ("GET", "/chunked", {}, b""),
    ("GET", "/big", {}, b""),
    ("GET", "/last", {}, b""),
]
# Stands in each request's first field, and tells the runs apart.
NAME = f"{'h2' if H2 else 'h1'}.{'tls' if TLS else 'clear'}.test"


def main():
    server_context, client_context = contexts()
    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve_h2 if H2 else serve, args=(listener, server_context))
    server.start()
    client = socket.create_connection(listener.getsockname())
    if client_context:
        client = client_context.wrap_socket(client, server_hostname="vm.test")
    stream = client.makefile("rb")
    encoder = h2.Encoder()
    if H2:
        client.sendall(h2.PREFACE + h2.GREETING)
    sent = []
    for number, (method, path, more, body) in enumerate(CALLS):
        headers = {"x-run" if H2 else "host": NAME, "x-number": str(number), **more}
        if H2:
            pseudo = {":method": method, ":scheme": "https" if TLS else "http", ":authority": "vm.test", ":path": path}
            fields = [(n.encode(), v.encode()) for n, v in {**pseudo, **headers}.items()]
            one = 2 * number + 1
            client.sendall(encoder.headers(one, fields, not body) + h2.data(one, [body], True))
            if h2.read_message(stream, client) != one:
                raise RuntimeError(f"{path}: no answer")
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            client.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            read_response(stream)
        answer = response(path.encode())
        sent.append({
            "method": method, "path": path, "headers": headers, "request_body": len(body), "status": int(answer.split()[1]),
            "response_body": sum(map(len, CHUNKS)) if path == "/chunked" else len(answer.split(b"\r\n\r\n", 1)[1]),
        })
    stream.close()
    client.close()
    server.join()
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(sent, file)


main()
