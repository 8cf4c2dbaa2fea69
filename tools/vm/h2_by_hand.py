"""HTTP/2 (RFC 9113) as bytes by hand, as much of it as calls.py needs: one call after another on one connection."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_MAX = 16384
WINDOW = 1 << 30
# What the peer may send before it is told more: of a stream, and of the connection beyond the 64 KiB that it begins with.
GREETING_SETTINGS = b"\x00\x04" + WINDOW.to_bytes(4, "big")


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


GREETING = frame(SETTINGS, 0, 0, GREETING_SETTINGS) + frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))


def integer(value, bits, first):
    """RFC 7541 5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = [first | limit], value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class Encoder:
    """Fields as literals that enter the table, and as their place in it when they come again (RFC 7541 6)."""

    LITERAL_MAX = 1000  # what is longer would empty the table: it does not enter

    def __init__(self):
        self.table = []

    def field(self, name, value):
        if (name, value) in self.table:
            return integer(62 + self.table.index((name, value)), 7, 0x80)
        literal = b"".join(integer(len(text), 7, 0) + text for text in (name, value))
        if len(value) > self.LITERAL_MAX:
            return b"\x00" + literal
        self.table.insert(0, (name, value))
        while sum(len(n) + len(v) + 32 for n, v in self.table) > 4096:
            self.table.pop()
        return b"\x40" + literal

    def headers(self, stream, fields, end):
        """HEADERS, and CONTINUATION for what one frame does not hold."""
        block = b"".join(self.field(name, value) for name, value in fields)
        parts = [block[at : at + FRAME_MAX] for at in range(0, len(block), FRAME_MAX)]
        return b"".join(
            frame(
                CONTINUATION if i else HEADERS,
                (END_STREAM if end and not i else 0) | (END_HEADERS if part is parts[-1] else 0),
                stream,
                part,
            )
            for i, part in enumerate(parts)
        )


def data(stream, pieces, end):
    """One DATA frame for each piece, or as many as it takes."""
    parts = [p[at : at + FRAME_MAX] for p in pieces for at in range(0, len(p), FRAME_MAX)]
    return b"".join(frame(DATA, END_STREAM if end and part is parts[-1] else 0, stream, part) for part in parts)


def read_message(stream, connection):
    """Reads frames up to a message's end; the number of its stream, or None where the connection ends before it."""
    open_streams = set()
    while True:
        head = stream.read(9)
        if len(head) < 9:
            return None
        kind, flags, number = head[3], head[4], int.from_bytes(head[5:9], "big")
        stream.read(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0, b""))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            open_streams.add(number)
        # A message that ends with its header block ends with that block's last frame.
        if number in open_streams and (kind == DATA or flags & END_HEADERS):
            return number
