"""A talk with a server or the pooler, written down in a form that can be compared.

What differs from one connection to the next (times, ids, bookmarks, numbers in
messages) is masked. Everything else must be the same.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bolt import Closed, Connection, Struct, Version, basic, chunked, message, slot

USER, PASSWORD = "neo4j", "testpass1"
ADDRESS = "my.host:1234"  # what scripts name as their own address in a routing context

# The text of these failures names the server's classes or states; drivers show it to people and no more.
OWN_WORDS = ("Request.Invalid", "Request.InvalidFormat")


@dataclass(frozen=True)
class Script:
    """One conversation: what is sent, in order; a talk writes down what comes back."""

    name: str
    act: Callable[[Talk], None]
    since: Version = (0, 0)
    until: Version = (99, 0)
    times: int = 1  # racing scripts are repeated
    # Answers that are right though no server was seen to give them, each with its reason.
    allowed: tuple[tuple[str, str], ...] = ()
    login: bool = True
    own_server: bool = False  # changes settings or users, so it must not run beside others


SCRIPTS: list[Script] = []


def script(name: str, **more: Any) -> Callable[[Callable[[Talk], None]], Callable[[Talk], None]]:
    def register(act: Callable[[Talk], None]) -> Callable[[Talk], None]:
        SCRIPTS.append(Script(name, act, **more))
        return act

    return register


MASKED = {"t_first": "T", "t_last": "T", "bookmark": "B", "connection_id": "C", "advertised_address": "A"}


def mask(value: Any) -> Any:
    if isinstance(value, dict):
        found = {}
        for key in sorted(value):
            found[key] = MASKED[key] if key in MASKED else mask(value[key])
        return found
    if isinstance(value, (list, tuple)):
        if len(value) > 20:
            return f"{len(value)} items, first {mask(value[0])}, last {mask(value[-1])}"
        return [mask(item) for item in value]
    if isinstance(value, Struct):
        return [f"struct {value.tag:02X}", *map(mask, value.fields)]
    if isinstance(value, (str, bytes)) and len(value) > 300:
        return f"{type(value).__name__} of {len(value)}"
    return value


def failure(body: dict[str, Any]) -> Any:
    found = mask(body)
    name = body.get("neo4j_code") or body.get("code") or ""
    if name.endswith(OWN_WORDS):
        return {"code": name, "keys": sorted(body.keys() - {"cause", "diagnostic_record"})}
    return mask_numbers(found)


def mask_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key in ("code", "neo4j_code", "gql_status", "diagnostic_record") else mask_numbers(item)
                for key, item in value.items()}
    if isinstance(value, list):
        return [mask_numbers(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\d+", "#", re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", value))
    return value


@dataclass
class Talk:
    """A connection of one version with its record."""

    port: int
    version: Version
    seen: list[str] = field(default_factory=list)
    connection: Connection = None  # type: ignore[assignment]

    def open(self, login: bool = True) -> None:
        self.connection = Connection(self.port)
        self.connection.handshake(slot(*self.version))
        if login:
            self.connection.login(USER, PASSWORD)

    def note(self, what: str) -> None:
        self.seen.append(what)

    def send(self, *messages: bytes, chunk: int = 65535) -> None:
        self.write(b"".join(chunked(one, chunk) for one in messages))

    def write(self, data: bytes) -> None:
        try:
            self.connection.write(data)
        except Closed:
            self.note("closed while writing")

    def answers(self, count: int = 1) -> bool:
        """Notes what comes until `count` summaries have come; False if the other side closed."""
        for _ in range(count):
            try:
                records, name, body = self.connection.summary()
            except Closed:
                self.note("closed")
                return False
            except TimeoutError:
                self.note("silence")
                return False
            if self.version < (4, 3) and isinstance(body, dict):
                body.pop("hints", None)  # newer servers send it to all; its meaning begins with 4.3
            if records:
                self.note(f"{len(records)} records {mask(records)}")
            self.note(name if body is None else f"{name} {failure(body) if name == 'FAILURE' else mask(body)}")
        return True

    def call(self, *messages: bytes, chunk: int = 65535) -> bool:
        """Sends all in one write and notes an answer for each."""
        self.send(*messages, chunk=chunk)
        return self.answers(len(messages))

    def each(self, *messages: bytes) -> bool:
        """One after the other."""
        return all(self.call(one) for one in messages)

    def quietly(self, *messages: bytes) -> None:
        """Like call, for what leads to the state under test: must succeed, is not noted."""
        for _, name, body in self.connection.call(*messages):
            if name not in ("SUCCESS",):
                raise AssertionError(f"preparation: {name} {body}")

    def gone(self, seconds: float = 5.0) -> None:
        """Notes whether the other side closes; an answer that was under way may come before."""
        self.connection.socket.settimeout(seconds)
        try:
            while True:
                self.connection.read(1)
        except Closed:
            self.note("closed")
        except TimeoutError:
            self.note("still open")

    def alive(self) -> None:
        """Notes whether work goes on: RESET, and then a query."""
        if self.call(RESET):
            self.call(RUN1, PULL)


def run(query: str = "RETURN 1 AS n", parameters: dict[str, Any] | None = None, **extra: Any) -> bytes:
    return message("RUN", query, parameters or {}, extra)


def pull(n: int = -1, **extra: Any) -> bytes:
    return message("PULL", {"n": n, **extra})


def discard(n: int = -1, **extra: Any) -> bytes:
    return message("DISCARD", {"n": n, **extra})


def begin(**extra: Any) -> bytes:
    return message("BEGIN", extra)


def route(version: Version, database: str | None = None) -> bytes:
    last: Any = ({"db": database} if database else {}) if version >= (4, 4) else database
    return message("ROUTE", {"address": ADDRESS}, [], last)


RUN1, PULL, DISCARD = run(), pull(), discard()
BEGIN, COMMIT, ROLLBACK, RESET = begin(), message("COMMIT"), message("ROLLBACK"), message("RESET")
LOGOFF, GOODBYE = message("LOGOFF"), message("GOODBYE")
LOGON = message("LOGON", basic(USER, PASSWORD))
RUN10 = run("UNWIND range(1, 10) AS x RETURN x")
BAD = run("RETURN x")
