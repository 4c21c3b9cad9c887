"""Chunks of every size, NOOPs, large values, values that do not belong."""
from __future__ import annotations

import time

from bolt import Raw, Struct, chunked, message, pack
from scripts.talk import BEGIN, COMMIT, PULL, RESET, RUN1, SCRIPTS, Script, Talk, pull, run, script


@script("every byte in its own write")
def dribble(talk: Talk) -> None:
    for byte in b"".join(map(chunked, (BEGIN, RUN1, PULL, COMMIT))):
        talk.write(bytes([byte]))
    talk.answers(4)


@script("every byte in its own chunk")
def tiny_chunks(talk: Talk) -> None:
    talk.call(BEGIN, RUN1, PULL, COMMIT, chunk=1)


@script("a login in chunks of one byte", login=False)
def tiny_login(talk: Talk) -> None:
    talk.call(*talk.connection.hello({"scheme": "basic", "principal": "neo4j", "credentials": "testpass1"}), chunk=1)
    talk.call(RUN1, PULL)


@script("chunks of every size")
def chunk_sizes(talk: Talk) -> None:
    for size in (2, 3, 100, 1400, 8192, 16383, 65534, 65535):
        talk.call(run("RETURN size($s) AS n", {"s": "x" * 200_000}), PULL, chunk=size)


@script("strings around the size of a chunk")
def chunk_borders(talk: Talk) -> None:
    base = 65535 - len(run("RETURN $s AS s", {"s": "x" * 65000})) + 65000
    for length in range(base - 4, base + 5):
        talk.call(run("RETURN $s AS s", {"s": "x" * length}), PULL)


@script("parameters and values of 10 KB, 300 KB and 4 MB")
def large(talk: Talk) -> None:
    for size in (10_000, 300_000, 4_000_000):
        talk.call(run("RETURN $s AS s, size($s) AS n", {"s": "x" * size}), PULL)
        talk.call(BEGIN, run("RETURN $s AS s", {"s": "x" * size}), PULL, COMMIT)


@script("many rows")
def many_rows(talk: Talk) -> None:
    talk.call(run("UNWIND range(1, 20000) AS x RETURN x, 'abcdefghij' AS s"), PULL)
    talk.call(run("UNWIND range(1, 20) AS x RETURN $s AS s", {"s": "y" * 100_000}), pull(7))
    talk.call(pull(7))
    talk.call(PULL)


@script("NOOPs between messages", since=(5, 0))
def noops(talk: Talk) -> None:
    noop = b"\x00\x00"
    talk.write(noop * 3 + chunked(RUN1) + noop + chunked(PULL) + noop * 2)
    talk.answers(2)
    talk.write(noop + chunked(RESET))
    talk.answers(1)
    talk.write(chunked(BEGIN) + noop + chunked(RUN1) + noop * 100 + chunked(PULL) + chunked(COMMIT))
    talk.answers(4)


@script("a pause in the middle of a message")
def pause(talk: Talk) -> None:
    data = chunked(BEGIN) + chunked(RUN1) + chunked(PULL) + chunked(COMMIT)
    for cut in (1, 2, 3, 7, len(data) - 1):
        talk.write(data[:cut])
        time.sleep(0.05)
        talk.write(data[cut:])
        talk.answers(4)


VALUES: dict[str, bytes] = {
    **{f"marker {marker:02X}": bytes([marker]) for marker in (0xC4, 0xC5, 0xC6, 0xC7, 0xCF, 0xD3, 0xD7, 0xDB, 0xDE, 0xDF, 0xE1, 0xEF)},
    "an integer in 8 bytes": b"\xcb" + bytes(7) + b"\x01",
    "a string with a long head": b"\xd2\x00\x00\x00\x01a",
    "a list with a long head": b"\xd6\x00\x00\x00\x01\x01",
    "a map with a long head": b"\xda\x00\x00\x00\x01\x81a\x01",
    "a list of 4 billion": b"\xd6\xff\xff\xff\xff",
    "a string of 4 billion": b"\xd2\xff\xff\xff\xff",
    "bytes of 2 billion": b"\xce\x7f\xff\xff\xff",
    "a string that is not UTF-8": b"\x82\xff\xfe",
    "a map with a number as key": b"\xa1\x01\x01",
    "a map with null as key": b"\xa1\xc0\x01",
    "a node": pack(Struct(0x4E, (1, ["A"], {}, "4:x:1"))),
    "a path": pack(Struct(0x50, ([], [], []))),
    "an unknown structure": pack(Struct(0x7F, (1,))),
    "a date with two fields": pack(Struct(0x44, (1, 2))),
    "a date": pack(Struct(0x44, (19000,))),
    "a date whose field is a string": pack(Struct(0x44, ("x",))),
    "a legacy date-time": pack(Struct(0x46, (8100, 42, 3600))),
    "a date-time in UTC": pack(Struct(0x49, (4500, 42, 3600))),
    "a date-time with an unknown zone": pack(Struct(0x69, (4500, 42, "Mars/Olympus"))),
    "a time out of range": pack(Struct(0x54, (10**15, 0))),
    "a point with an unknown system": pack(Struct(0x58, (1, 1.0, 2.0))),
    "a point": pack(Struct(0x58, (7203, 1.0, 2.0))),
    "a duration": pack(Struct(0x45, (1, 2, 3, 4))),
    "a vector": pack(Struct(0x56, (b"\xc8", b"\x01\x02\x03"))),
    "a vector with a wrong mark": pack(Struct(0x56, (b"\x01", b"\x01\x02\x03"))),
    "a UUID": b"\xe0" + bytes(range(16)),
    "lists 100 deep": b"\x91" * 100 + b"\x01",
}


def value(data: bytes) -> object:
    def act(talk: Talk) -> None:
        talk.send(message("RUN", "RETURN $v AS v", Raw(b"\xa1" + pack("v") + data), {}), PULL)
        if talk.answers(2):
            talk.alive()

    return act


# Sent as a parameter, where a pooler passes bytes on that it need not understand.
SCRIPTS.extend(Script(f"a parameter that is {name}", value(data)) for name, data in VALUES.items())  # type: ignore[arg-type]
