"""
UDP both ways between two sockets of one process, for one kind and family after the other, and behind IPv6 extension headers: prints as JSON how many datagrams and
payload bytes each kind sent, and how many datagrams arrived.

`quic` begins with a handshake packet that has a long header of version 1 or 2 (RFC 9000 17.2, RFC 9369) and goes on with short headers,
part of it in one call that the kernel cuts (UDP_SEGMENT). `other` has DNS's looks, a long header of no known version, and short headers without
a handshake.
"""
import json
import os
import socket

UDP_SEGMENT = 103
INITIAL_BYTES = 1200
# An option that everybody skips (PadN, RFC 8200 4.2), behind the header's own two bytes.
OPTIONS = bytes([0, 0, 1, 4, 0, 0, 0, 0])
totals = {kind: {"sent": 0, "bytes": 0, "arrived": 0} for kind in ("quic", "other")}


def long_header(version):
    return bytes([0xC3]) + version.to_bytes(4, "big") + bytes([8]) + bytes(8) + bytes(INITIAL_BYTES - 14)


def pair(family, address, extensions=()):
    ends = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
    for end in ends:
        for extension in extensions:
            end.setsockopt(socket.IPPROTO_IPV6, extension, OPTIONS)
        end.bind((address, 0))
        end.settimeout(20)
    for one, other in (ends, ends[::-1]):
        one.connect(other.getsockname())
    return ends


def carry(kind, sender, receiver, payload, cut=0):
    """One send, and everything that arrives of it."""
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, cut)
    sender.send(payload)
    total = totals[kind]
    number = -(-len(payload) // cut) if cut else 1
    total["sent"] += number
    total["bytes"] += len(payload)
    for _ in range(number):
        receiver.recv(65536)
        total["arrived"] += 1


for family, address, version, extensions in (
    (socket.AF_INET, "127.0.0.1", 1, ()),
    (socket.AF_INET6, "::1", 0x6B3343CF, ()),
    (socket.AF_INET6, "::1", 1, (socket.IPV6_HOPOPTS, socket.IPV6_DSTOPTS)),
):
    client, server = pair(family, address, extensions)
    carry("quic", client, server, long_header(version))
    carry("quic", server, client, long_header(version))
    for n in range(20):
        carry("quic", client, server, b"\x40" + os.urandom(40 + n))
        carry("quic", server, client, b"\x40" + os.urandom(1100))
    if not extensions:
        carry("quic", server, client, b"\x40" + os.urandom(9_999), 1_000)
    client, server = pair(family, address, extensions)
    carry("other", client, server, os.urandom(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x00\x00\x01\x00\x01")
    carry("other", server, client, long_header(0x1A2A3A4A))
    carry("other", client, server, b"\x40" + os.urandom(40))
    carry("other", client, server, b"")
print(json.dumps(totals))
