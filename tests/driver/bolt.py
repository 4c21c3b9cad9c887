"""A raw Bolt client: every byte is the test's own, and nothing is hidden.

It speaks all versions, because it leaves the differences to the caller. It is
meant for wrong and unusual traffic as much as for right one.
"""
from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, Iterable

MAGIC = b"\x60\x60\xb0\x17"
MANIFEST = b"\x00\x00\x01\xff"
REQUESTS = {"HELLO": 0x01, "GOODBYE": 0x02, "RESET": 0x0F, "RUN": 0x10, "BEGIN": 0x11, "COMMIT": 0x12, "ROLLBACK": 0x13, "DISCARD": 0x2F,
            "PULL": 0x3F, "TELEMETRY": 0x54, "ROUTE": 0x66, "LOGON": 0x6A, "LOGOFF": 0x6B}
ANSWERS = {0x70: "SUCCESS", 0x71: "RECORD", 0x7E: "IGNORED", 0x7F: "FAILURE"}
Version = tuple[int, int]


@dataclass(frozen=True)
class Struct:
    """A PackStream structure."""

    tag: int
    fields: tuple[Any, ...]


@dataclass(frozen=True)
class Raw:
    """Bytes that are already packed; stands wherever a value may stand."""

    data: bytes


def _head(size: int, tiny: int | None, markers: tuple[int, int, int]) -> bytes:
    if tiny is not None and size < 16:
        return bytes([tiny + size])
    for marker, form, limit in zip(markers, (">B", ">H", ">I"), (1 << 8, 1 << 16, 1 << 32)):
        if size < limit:
            return bytes([marker]) + struct.pack(form, size)
    raise ValueError(size)


def pack(value: Any) -> bytes:
    """The smallest encoding of a value."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if -16 <= value < 128:
            return struct.pack(">b", value)
        for marker, form, bits in ((0xC8, ">b", 7), (0xC9, ">h", 15), (0xCA, ">i", 31), (0xCB, ">q", 63)):
            if -(1 << bits) <= value < 1 << bits:
                return bytes([marker]) + struct.pack(form, value)
        raise ValueError(value)
    if isinstance(value, float):
        return b"\xc1" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), 0x80, (0xD0, 0xD1, 0xD2)) + data
    if isinstance(value, (bytes, bytearray)):
        return _head(len(value), None, (0xCC, 0xCD, 0xCE)) + value
    if isinstance(value, (list, tuple)):
        return _head(len(value), 0x90, (0xD4, 0xD5, 0xD6)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return _head(len(value), 0xA0, (0xD8, 0xD9, 0xDA)) + b"".join(pack(key) + pack(item) for key, item in value.items())
    if isinstance(value, Struct):
        return bytes([0xB0 + len(value.fields), value.tag]) + b"".join(map(pack, value.fields))
    if isinstance(value, Raw):
        return value.data
    raise TypeError(value)


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")  # a server may send back what it was sent


def unpack(data: bytes, at: int = 0) -> tuple[Any, int]:
    """A value and the place behind it."""
    marker = data[at]
    at += 1

    def size(width: int) -> tuple[int, int]:
        return int.from_bytes(data[at:at + width], "big"), at + width

    def items(count: int, at: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(count):
            value, at = unpack(data, at)
            found.append(value)
        return found, at

    def entries(count: int, at: int) -> tuple[dict[str, Any], int]:
        flat, at = items(2 * count, at)
        return dict(zip(flat[::2], flat[1::2])), at

    if marker < 0x80:
        return marker, at
    if marker >= 0xF0:
        return marker - 256, at
    if marker < 0x90:
        return _text(data[at:at + marker - 0x80]), at + marker - 0x80
    if marker < 0xA0:
        return items(marker - 0x90, at)
    if marker < 0xB0:
        return entries(marker - 0xA0, at)
    if marker < 0xC0:
        fields, end = items(marker - 0xB0, at + 1)
        return Struct(data[at], tuple(fields)), end
    if marker in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[marker], at
    if marker == 0xC1:
        return struct.unpack(">d", data[at:at + 8])[0], at + 8
    if marker == 0xE0:
        return Struct(0xE0, (data[at:at + 16],)), at + 16
    for first, form in ((0xC8, ">bhiq"),):
        if first <= marker < first + 4:
            width = 1 << (marker - first)
            return struct.unpack(">" + form[1 + marker - first], data[at:at + width])[0], at + width
    width = {0: 1, 1: 2, 2: 4}
    for first, kind in ((0xCC, "bytes"), (0xD0, "string"), (0xD4, "list"), (0xD8, "map")):
        if first <= marker < first + 3:
            count, at = size(width[marker - first])
            if kind == "bytes":
                return data[at:at + count], at + count
            if kind == "string":
                return _text(data[at:at + count]), at + count
            return items(count, at) if kind == "list" else entries(count, at)
    raise ValueError(hex(marker))


def message(name: str | int, *fields: Any) -> bytes:
    return pack(Struct(REQUESTS[name] if isinstance(name, str) else name, fields))


def chunked(data: bytes, chunk: int = 65535) -> bytes:
    parts = [data[i:i + chunk] for i in range(0, len(data), chunk)]
    return b"".join(struct.pack(">H", len(part)) + part for part in parts) + b"\x00\x00"


def slot(major: int, minor: int, span: int = 0) -> bytes:
    return bytes([0, span, minor, major])


class Closed(Exception):
    """The other side closed the connection."""


class Connection:
    """One TCP connection and what came over it."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.version: Version = (0, 0)
        self.noops = 0
        self._have = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def abort(self) -> None:
        """Closes with RST, as a killed process on a broken machine would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def write(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def read(self, count: int) -> bytes:
        while len(self._have) < count:
            try:
                data = self.socket.recv(max(65536, count - len(self._have)))
            except ConnectionResetError:
                raise Closed from None
            if not data:
                raise Closed
            self._have += data
        data, self._have = self._have[:count], self._have[count:]
        return data

    def readable(self, seconds: float) -> bool:
        """Does a byte, or the end, come within this time?"""
        return bool(self._have) or bool(select.select([self.socket], [], [], seconds)[0])

    def closes(self, seconds: float) -> bool:
        """Does the other side close within this time, saying nothing?"""
        self.socket.settimeout(seconds)
        try:
            self.read(1)
        except Closed:
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self.timeout)
        return False

    def handshake(self, *slots: bytes) -> bytes:
        self.write(MAGIC + b"".join((*slots, *[b"\0\0\0\0"] * 4)[:4]))
        answer = self.read(4)
        self.version = (answer[3], answer[2])
        return answer

    def manifest(self, choice: Version) -> list[str]:
        """The manifest handshake; the ranges that were offered."""
        if self.handshake(MANIFEST) != MANIFEST:
            raise ValueError("no manifest")
        ranges = [self.read(4).hex() for _ in range(self.read(1)[0])]
        mask = self.read(1)[0]
        self.write(slot(*choice) + b"\x00")
        self.version = choice
        return [*ranges, f"{mask:02x}"]

    def send(self, *messages: bytes, chunk: int = 65535) -> None:
        """All in one write."""
        self.write(b"".join(chunked(one, chunk) for one in messages))

    def receive(self) -> tuple[str, Any]:
        """The next message, NOOPs counted and skipped."""
        data = b""
        while True:
            size = struct.unpack(">H", self.read(2))[0]
            if size:
                data += self.read(size)
            elif data:
                break
            else:
                self.noops += 1
        value, _ = unpack(data)
        return ANSWERS.get(value.tag, hex(value.tag)), value.fields[0] if value.fields else None

    def summary(self) -> tuple[list[list[Any]], str, Any]:
        """Records and the summary behind them."""
        records = []
        while True:
            name, body = self.receive()
            if name != "RECORD":
                return records, name, body
            records.append(body)

    def call(self, *messages: bytes) -> list[tuple[list[list[Any]], str, Any]]:
        """Sends all in one write and reads one summary for each."""
        self.send(*messages)
        return [self.summary() for _ in messages]

    def hello(self, auth: dict[str, Any] | None, **extra: Any) -> list[bytes]:
        """The messages that log in, by version; without `auth`, HELLO alone from 5.1 on."""
        fields = {"user_agent": "conformance/1", **extra}
        if self.version >= (5, 3):
            fields.setdefault("bolt_agent", {"product": "conformance/1"})
        if self.version < (5, 1):
            return [message("HELLO", {**(auth or {}), **fields})]
        return [message("HELLO", fields), *([message("LOGON", auth)] if auth is not None else [])]

    def login(self, user: str, password: str, **extra: Any) -> dict[str, Any]:
        """Logs in and returns HELLO's answer."""
        answers = self.call(*self.hello(basic(user, password), **extra))
        for _, name, body in answers:
            if name != "SUCCESS":
                raise PermissionError(f"{name} {body}")
        return answers[0][2]

    def run(self, query: str, parameters: dict[str, Any] | None = None, **extra: Any) -> list[list[Any]]:
        """An auto-commit query with all rows."""
        answers = self.call(message("RUN", query, parameters or {}, extra), message("PULL", {"n": -1}))
        for _, name, body in answers:
            if name != "SUCCESS":
                raise RuntimeError(f"{name} {body}")
        return answers[1][0]


def basic(user: str, password: str) -> dict[str, str]:
    return {"scheme": "basic", "principal": user, "credentials": password}


def connect(port: int, version: Version, user: str = "neo4j", password: str = "testpass1", timeout: float = 20.0, **extra: Any) -> Connection:
    """A connection that is logged in."""
    connection = Connection(port, timeout)
    connection.handshake(slot(*version))
    if connection.version != version:
        raise ValueError(f"asked for {version}, got {connection.version}")
    connection.login(user, password, **extra)
    return connection


def code(body: Any) -> str:
    """The code of a FAILURE in every version."""
    return body.get("neo4j_code") or body.get("code") if isinstance(body, dict) else ""


def wait_until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} not within {seconds} s")
        time.sleep(0.02)


def repeat(items: Iterable[Any], times: int) -> list[Any]:
    return [item for item in items for _ in range(times)]
