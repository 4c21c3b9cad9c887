"""What every scenario gets: a driver, a tag for its own data, two more users.

A scenario is a function of an Env that returns something JSON can hold. The
result may contain only what must be equal directly and through a pooler: no
times, connection ids, element ids, addresses or bookmarks' text. A scenario
that finds something wrong by itself raises.
"""
from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

SCENARIOS: dict[str, Callable[["Env"], Any]] = {}
DRIVER_MAJOR = int(neo4j.__version__.split(".")[0])


def scenario(function: Callable[["Env"], Any]) -> Callable[["Env"], Any]:
    """Registers a scenario under its function's name."""
    SCENARIOS[function.__name__] = function
    return function


@dataclass
class Env:
    """One run: the server's address and everything made for this run only."""

    uri: str
    auth: tuple[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    tag: str = field(default_factory=lambda: "T" + secrets.token_hex(5))

    def __post_init__(self) -> None:
        self.driver = self.open()
        self.alice = ("alice" + self.tag.lower(), "alicepass1")
        self.bob = ("bob" + self.tag.lower(), "bobspass12")
        self.wrong = ("wrong" + self.tag.lower(), "wrongpass1")
        with self.driver.session(database="system") as session:
            for name, password in (self.alice, self.bob, self.wrong):
                session.run(f"CREATE USER {name} SET PASSWORD '{password}' CHANGE NOT REQUIRED").consume()
        self.server_major = int(self.driver.get_server_info().agent.split("/")[1].split(".")[0])

    def open(self, auth: Any = None, uri: str | None = None, **more: Any) -> neo4j.Driver:
        """A new driver; the run's own user unless told otherwise."""
        return neo4j.GraphDatabase.driver(uri or self.uri, auth=auth or self.auth, **{**self.options, **more})

    def session(self, **config: Any) -> neo4j.Session:
        return self.driver.session(**{"database": "neo4j", **config})

    def run(self, query: str, **parameters: Any) -> list[list[Any]]:
        """Auto-commit, all rows."""
        with self.session() as session:
            return [record.values() for record in session.run(query, parameters)]

    def count(self) -> int:
        """How many nodes the running scenario's label has."""
        return self.run(f"MATCH (n:{self.label}) RETURN count(n)")[0][0]

    def with_scheme(self, scheme: str) -> str:
        """The run's address under bolt or neo4j, with the same kind of encryption."""
        old, rest = self.uri.split("://")
        return f"{scheme}{old[old.index('+'):] if '+' in old else ''}://{rest}"

    def error(self, caught: BaseException) -> dict[str, Any]:
        """What an application can tell from an error, less names made for this run."""
        result: dict[str, Any] = {"type": type(caught).__name__}
        if isinstance(caught, Neo4jError):
            result["code"] = caught.code
            result["message"] = self.clean(caught.message or "")
            result["retryable"] = caught.is_retryable()
            if hasattr(caught, "gql_status"):
                result["gql"] = caught.gql_status
                result["description"] = self.clean(caught.gql_status_description)
                result["classification"] = str(caught.gql_classification)
                cause = caught.__cause__
                if isinstance(cause, Neo4jError) or hasattr(cause, "gql_status"):
                    result["cause"] = [cause.gql_status, self.clean(cause.gql_status_description)]
        elif not isinstance(caught, DriverError):
            result["message"] = self.clean(str(caught))
        return result

    def clean(self, text: str) -> str:
        """Masks this run's tag and all numbers (ids) in a message."""
        return re.sub(r"\d+", "#", re.sub(self.tag, "TAG", text, flags=re.IGNORECASE))

    def done(self) -> None:
        with self.driver.session(database="system") as session:
            for name, _ in (self.alice, self.bob, self.wrong):
                session.run(f"DROP USER {name} IF EXISTS").consume()
        self.driver.close()


def check(condition: Any, what: str = "check failed") -> None:
    """assert that stays when Python runs with -O."""
    if not condition:
        raise AssertionError(what)


def raises(env: Env, function: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Any]:
    """The error of a call that must fail."""
    try:
        result = function(*arguments, **named)
    except (Neo4jError, DriverError, ValueError, OverflowError, OSError) as caught:
        return env.error(caught)
    raise AssertionError(f"no error but {result!r}")
