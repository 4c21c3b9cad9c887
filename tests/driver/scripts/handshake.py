"""Handshakes: the first bytes of a connection, classic slots and the manifest."""
from __future__ import annotations

from bolt import MAGIC, MANIFEST, Closed, Connection, slot
from scripts.talk import PASSWORD, USER, Talk

# Named bytes that a client begins with. They need no version: each runs once per server.
CLASSIC: dict[str, bytes] = {
    "nothing proposed": MAGIC + bytes(16),
    "only unsupported": MAGIC + slot(9, 9) + slot(7, 0) + slot(2, 0) + slot(1, 0),
    "wrong magic": b"\x60\x60\xb0\x18" + slot(5, 4) + bytes(12),
    "5.5 alone": MAGIC + slot(5, 5) + bytes(12),
    "5.9 alone": MAGIC + slot(5, 9) + bytes(12),
    "5.20 with range 20": MAGIC + slot(5, 20, 20) + bytes(12),
    "5.8 with range 8": MAGIC + slot(5, 8, 8) + bytes(12),
    "5.5 with range 1": MAGIC + slot(5, 5, 1) + bytes(12),
    "6.1 with range 1": MAGIC + slot(6, 1, 1) + bytes(12),
    "6.0": MAGIC + slot(6, 0) + bytes(12),
    "6.9 with range 9": MAGIC + slot(6, 9, 9) + bytes(12),
    "4.4 before 5.8": MAGIC + slot(4, 4) + slot(5, 8, 8) + bytes(8),
    "unsupported, then 4.4": MAGIC + slot(9, 0) + slot(4, 4) + bytes(8),
    "4.4 in the last slot": MAGIC + bytes(12) + slot(4, 4),
    "4.4 with range 2": MAGIC + slot(4, 4, 2) + bytes(12),
    "4.3 with range 1": MAGIC + slot(4, 3, 1) + bytes(12),
    "range above the minor": MAGIC + slot(5, 4, 5) + bytes(12),
    "reserved byte set": MAGIC + b"\x01\x00\x04\x04" + bytes(12),
    "manifest 2, then 4.4": MAGIC + b"\x00\x00\x02\xff" + slot(4, 4) + bytes(8),
    "drivers of 5.x and 6.x": MAGIC + MANIFEST + slot(5, 8, 8) + slot(4, 4, 2) + slot(3, 0),
    "manifest last": MAGIC + slot(9, 0) + slot(4, 4) + MANIFEST + bytes(4),
    "zeros": bytes(20),
    "TLS hello without TLS": bytes.fromhex("16030100a5010000a10303") + bytes(20),
    "text": b"hello, is this the database?\r\n",
    "POST": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
}
for major, minor in [(5, m) for m in range(9)] + [(4, m) for m in range(5)] + [(3, 0), (6, 1), (6, 2)]:
    CLASSIC.setdefault(f"{major}.{minor}", MAGIC + slot(major, minor) + bytes(12))

# What a client answers to a manifest; None is the newest offered version of a major.
CHOICES: dict[str, bytes] = {
    "5.8": slot(5, 8) + b"\x00",
    "5.7": slot(5, 7) + b"\x00",
    "5.0": slot(5, 0) + b"\x00",
    "4.4": slot(4, 4) + b"\x00",
    "4.2": slot(4, 2) + b"\x00",
    "5.5, which nobody offers": slot(5, 5) + b"\x00",
    "9.9, which nobody offers": slot(9, 9) + b"\x00",
    "3.0, which is not in the manifest": slot(3, 0) + b"\x00",
    "with a range": slot(5, 8, 2) + b"\x00",
    "with a capability that was not offered": slot(5, 8) + b"\x01",
    "none": bytes(4) + b"\x00",
    "with a long mask": slot(5, 8) + b"\x80" * 3 + b"\x00",
}


def first_bytes(port: int, data: bytes, dribble: bool) -> str:
    """What comes back for the first bytes, and whether the connection stays."""
    with Connection(port, timeout=3) as connection:
        try:
            for part in ([data[i:i + 1] for i in range(len(data))] if dribble else [data]):
                connection.write(part)
        except Closed:
            pass  # the other side had seen enough
        got = b""
        try:
            while True:
                if got and not connection.readable(0.3):
                    return f"{got.hex()}, open"
                got += connection.read(1)
        except Closed:
            return f"{got.hex()}, closed"
        except TimeoutError:
            return f"{got.hex()}, open"


def choice(port: int, answer: bytes) -> list[str]:
    """The manifest, a choice, HELLO in the same write, and what comes of it."""
    talk = Talk(port, (answer[3], answer[2]))
    talk.connection = Connection(port, timeout=3)
    with talk.connection as connection:
        if connection.handshake(MANIFEST, slot(4, 4)) != MANIFEST:
            return ["no manifest"]
        talk.note(" ".join(connection.read(4).hex() for _ in range(connection.read(1)[0])) + f" {connection.read(1).hex()}")
        connection.version = talk.version
        login = connection.hello({"scheme": "basic", "principal": USER, "credentials": PASSWORD})
        from bolt import chunked

        talk.write(answer + b"".join(map(chunked, login)))
        talk.answers(len(login))
    return talk.seen
