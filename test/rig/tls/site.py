"""Small HTTPS servers whose TLS is driven in unusual ways: SITE PORT fork|memory|asyncio, in a folder with cert.pem and key.pem."""
import asyncio
import os
import socket
import ssl
import sys
from urllib.parse import parse_qs, urlsplit

port, mode = int(sys.argv[1]), sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
context.num_tickets = 0


def answer(head):
    target = head.split(b"\r\n", 1)[0].split(b" ")[1].decode()
    identity = parse_qs(urlsplit(target).query).get("id", [""])[0]
    body = b"hello\n"
    return b"HTTP/1.1 200 OK\r\nx-id: %s\r\nContent-Length: %d\r\n\r\n%s" % (identity.encode(), len(body), body)


def talk(read, write):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = read()
            if not more:
                return
            data += more
        head, data = data.split(b"\r\n\r\n", 1)
        write(answer(head))


def forked(connection):
    """The parent does the handshake, a child has the rest."""
    tls = context.wrap_socket(connection, server_side=True)
    if os.fork() == 0:
        talk(lambda: tls.recv(4096), tls.sendall)
        os._exit(0)
    # Without close_notify: the child goes on.
    os.close(tls.detach())


def in_memory(connection):
    """The library never sees the socket."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)

    def pump(call):
        while True:
            try:
                result = call()
                if outgoing.pending:
                    connection.sendall(outgoing.read())
                return result
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    connection.sendall(outgoing.read())
                more = connection.recv(4096)
                if not more:
                    return b""
                incoming.write(more)
            except ssl.SSLZeroReturnError:
                return b""

    pump(tls.do_handshake)
    talk(lambda: pump(lambda: tls.read(4096)), lambda data: pump(lambda: tls.write(data)))
    connection.close()


def blocking(serve):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        connection, _ = listener.accept()
        serve(connection)


async def main():
    async def serve(reader, writer):
        try:
            while True:
                writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if mode == "asyncio":
    asyncio.run(main())
else:
    blocking(forked if mode == "fork" else in_memory)
