"""One small HTTP server and client over loopback. usage: calls.py FILE [CERTIFICATE KEY]: writes to FILE, as JSON, what was sent.

Everything is written as bytes by hand, so that what was sent is known and not what a library made of it. With a certificate
they speak TLS, once a line has come on stdin: whoever wants to tap the library has found it by then.
"""
import json
import socket
import ssl
import sys
import threading

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
    if len(sys.argv) < 4:
        return None, None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(sys.argv[2], sys.argv[3])
    client = ssl.create_default_context(cafile=sys.argv[2])
    sys.stdin.readline()
    return server, client


def serve(listener, context):
    connection, _ = listener.accept()
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    stream = connection.makefile("rb")
    while True:
        head = read_head(stream)
        if not head:
            break
        length = next((int(h.split(b":")[1]) for h in head if h.startswith(b"content-length:")), 0)
        stream.read(length)
        connection.sendall(response(head[0].split()[1]))
    connection.close()


def read_response(stream):
    head = read_head(stream)
    if any(h.startswith(b"transfer-encoding") for h in head):
        while size := int(stream.readline(), 16):
            stream.read(size + 2)
        read_head(stream)
    else:
        stream.read(next(int(h.split(b":")[1]) for h in head if h.startswith(b"content-length:")))
    return int(head[0].split()[1])


def main():
    server_context, client_context = contexts()
    listener = socket.create_server(("127.0.0.1", 0))
    server = threading.Thread(target=serve, args=(listener, server_context))
    server.start()
    client = socket.create_connection(listener.getsockname())
    if client_context:
        client = client_context.wrap_socket(client, server_hostname="vm.test")
    stream = client.makefile("rb")
    calls = [
        ("GET", "/one", {}, b""),
        ("GET", "/two", {}, b""),
        ("POST", "/three", {"content-length": "5"}, b"12345"),
        ("GET", "/missing", {}, b""),
        ("GET", "/large-head", {"x-big": BIG_VALUE.decode()}, b""),
        ("GET", "/chunked", {}, b""),
        ("GET", "/big", {}, b""),
        ("GET", "/last", {}, b""),
    ]
    sent = []
    for number, (method, path, more, body) in enumerate(calls):
        headers = {"host": "vm.test" if client_context else "clear.test", "x-number": str(number), **more}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        status = read_response(stream)
        answer = response(path.encode())
        sent.append({
            "method": method, "path": path, "headers": headers, "request_body": len(body), "status": status,
            "response_body": sum(map(len, CHUNKS)) if path == "/chunked" else len(answer.split(b"\r\n\r\n", 1)[1]),
        })
    stream.close()
    client.close()
    server.join()
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(sent, file)


main()
