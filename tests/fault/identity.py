#!/usr/bin/env python3
"""Links change their user all the time, and nobody ever works as another.

usage: identity.py [TRANSACTIONS [SEED]]     5,000 by default

Two users share four links with large and small parameters. Then passwords change
and users go: whoever is out at the server is out at the pooler within auth_cache_ttl
and link_auth_ttl, which are short here.
"""
from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable

from common import CACHE, HERE, Closed, Connection, Neo4j, Pooler, Report, connect, prepare_drivers, sockets, watchdog

from bolt import basic, code, message, slot  # noqa: E402

USERS = {"anna": "annapass12", "boris": "borispass1"}
TTL = 2.0
WHO = "SHOW CURRENT USER YIELD user"


def admin(server: Neo4j, *queries: str) -> None:
    with connect(server.port, (5, 4)) as direct:
        for query in queries:
            direct.run(query, db="system")


def try_login(port: int, name: str, password: str) -> str:
    """"in", or the code of the refusal."""
    with Connection(port) as connection:
        connection.handshake(slot(5, 4))
        try:
            for one in connection.hello(basic(name, password)):
                _, answer, body = connection.call(one)[0]
                if answer != "SUCCESS":
                    return code(body)
        except Closed:
            return "closed"
    return "in"


def try_work(connection: Connection) -> str:
    """What a session that has been logged in for long gets: its name, or the code of a failure."""
    try:
        (_, first, body), (records, second, _) = connection.call(message("RUN", WHO, {}, {"db": "system"}), message("PULL", {"n": -1}))
    except Closed:
        return "closed"
    if first == second == "SUCCESS":
        return records[0][0]
    connection.call(message("RESET"))
    return code(body)


def within(seconds: float, wanted: Callable[[str], bool], act: Callable[[], str]) -> tuple[bool, str]:
    """Repeats an act until it answers as wanted; at the end it must stay so."""
    deadline = time.monotonic() + seconds
    while True:
        seen = act()
        if wanted(seen):
            return True, seen
        if time.monotonic() > deadline:
            return False, seen
        time.sleep(0.1)


def refused(seen: str) -> bool:
    return seen.startswith("Neo.ClientError.Security.") or seen == "closed"


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    seed = sys.argv[2] if len(sys.argv) > 2 else str(secrets.randbelow(10**6))
    print(f"seed {seed}")
    watchdog(600)
    prepare_drivers("py6")
    report = Report()
    server = Neo4j()
    admin(server, *(f"CREATE USER {name} SET PASSWORD '{password}' CHANGE NOT REQUIRED" for name, password in USERS.items()))

    pooler = Pooler(server.port, max_links=4)
    with report.case(f"{count} transactions of two users over 4 links, each under its own name"):
        done = subprocess.run([CACHE / "py6/bin/python", HERE / "identity_load.py", f"bolt://127.0.0.1:{pooler.port}", str(count), seed,
                               *(f"{name}:{password}" for name, password in USERS.items())], stdout=subprocess.PIPE, timeout=400)
        assert done.returncode == 0
        found = json.loads(done.stdout)
        print(f"      sizes of parameters: {found['sizes']}")
        assert not found["wrong"], f"{len(found['wrong'])} wrong, first {found['wrong'][0]}"
        assert found["right"] == count
    report.check("at most 4 connections to the server", sockets(pooler.process.pid, server.port) <= 4)
    with report.case("the pooler ends well"):
        pooler.stop()

    pooler = Pooler(server.port, max_links=2, auth_cache_ttl="1s", link_auth_ttl="1s", log_level="debug")
    limit = TTL + 1.0  # both times, and a second of slack
    old = connect(pooler.port, (5, 4), "anna", USERS["anna"])
    report.check("anna works", try_work(old) == "anna")
    report.check("a wrong password is refused", refused(try_login(pooler.port, "anna", "wrongpass1")))
    report.check("and has done anna no harm", try_work(old) == "anna" and try_login(pooler.port, "anna", USERS["anna"]) == "in")

    admin(server, "ALTER USER anna SET PASSWORD 'annapass34' CHANGE NOT REQUIRED")
    report.check("the new password is taken at once", try_login(pooler.port, "anna", "annapass34") == "in")
    ok, seen = within(limit, refused, lambda: try_login(pooler.port, "anna", USERS["anna"]))
    report.check(f"the old password is out within {limit:.0f} s", ok, seen)
    ok, seen = within(limit, refused, lambda: try_work(old))
    report.check("who logged on with the old password is out, too", ok, seen)
    report.check("and stays out", refused(try_login(pooler.port, "anna", USERS["anna"])))
    with connect(pooler.port, (5, 4), "anna", "annapass34") as new:
        report.check("the new password goes on working", try_work(new) == "anna")

    boris = connect(pooler.port, (5, 4), "boris", USERS["boris"])
    report.check("boris works", try_work(boris) == "boris")
    admin(server, "DROP USER boris")
    ok, seen = within(limit, refused, lambda: try_login(pooler.port, "boris", USERS["boris"]))
    report.check(f"a dropped user is out within {limit:.0f} s", ok, seen)
    ok, seen = within(limit, refused, lambda: try_work(boris))
    report.check("also where it was logged on", ok, seen)

    with connect(pooler.port, (5, 4)) as last:
        report.check("others are untouched", try_work(last) == "neo4j")
    with report.case("the pooler ends well at last"):
        pooler.stop()
    server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
