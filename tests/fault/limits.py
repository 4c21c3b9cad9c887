#!/usr/bin/env python3
"""Every limit of the pooler, and clients that misbehave, byte by byte on a real server.

usage: limits.py [REGEX]     cases whose names match

Deadlines have a second of slack, and nothing asserts speed.
"""
from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

from common import Closed, Connection, Neo4j, Pooler, Report, connect, sockets, watchdog

from bolt import basic, chunked, code, message, slot, wait_until  # noqa: E402

SLACK = 1.0
BEGIN, COMMIT, ROLLBACK, RESET = message("BEGIN", {}), message("COMMIT"), message("ROLLBACK"), message("RESET")
PULL, GOODBYE = message("PULL", {"n": -1}), message("GOODBYE")
LONG = "UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)"
CASES: list[tuple[Callable[[Any], None], dict[str, Any]]] = []


def run(query: str = "RETURN 1 AS n", parameters: dict[str, Any] | None = None, **extra: Any) -> bytes:
    return message("RUN", query, parameters or {}, extra)


def case(**options: Any) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """A case and the pooler's options for it."""
    def register(function: Callable[[Case], None]) -> Callable[[Case], None]:
        CASES.append((function, options))
        return function

    return register


class Case:
    """One pooler for one case, on the shared server."""

    def __init__(self, server: Neo4j, options: dict[str, Any]) -> None:
        self.server = server
        self.pooler = Pooler(server.port, **{"max_links": 1, "queue_timeout": "10s", **options})
        self.began = time.monotonic()

    def client(self, user: str = "neo4j", password: str = "testpass1", **more: Any) -> Connection:
        return connect(self.pooler.port, (5, 4), user, password, **more)

    def holder(self, **more: Any) -> Connection:
        """A client that holds a link in an open transaction."""
        client = self.client(**more)
        succeed(client, BEGIN, run(), PULL)
        return client

    def links(self) -> int:
        return sockets(self.pooler.process.pid, self.server.port)

    def mark(self) -> None:
        self.began = time.monotonic()

    def within(self, least: float, most: float) -> None:
        took = time.monotonic() - self.began
        assert least - 0.1 <= took <= most + SLACK, f"after {took:.2f} s and not between {least} and {most} s"


def succeed(client: Connection, *messages: bytes) -> list[list[Any]]:
    """Sends all in one write; all must succeed. The records of all."""
    records = []
    for rows, name, body in client.call(*messages):
        assert name == "SUCCESS", f"{name} {body}"
        records += rows
    return records


def works(client: Connection) -> None:
    assert client.run("RETURN 1 AS n") == [[1]]


def fails(client: Connection, *messages: bytes, kind: str) -> dict[str, Any]:
    """The first must fail with a code of this kind, the others be ignored."""
    answers = client.call(*messages)
    _, name, body = answers[0]
    assert name == "FAILURE" and code(body).startswith(f"Neo.{kind}"), f"{name} {body}"
    assert all(name == "IGNORED" for _, name, _ in answers[1:]), answers
    return body


def count(case: Case, label: str) -> int:
    with connect(case.server.port, (5, 4)) as direct:
        return direct.run(f"MATCH (n:{label}) RETURN count(n)")[0][0]


@case(max_clients=3)
def the_client_above_max_clients_is_refused_and_may_come_later(case: Case) -> None:
    clients = [case.client() for _ in range(3)]
    with Connection(case.pooler.port) as fourth:
        fourth.handshake(slot(5, 4))
        answers = [answer[1:] for answer in fourth.call(*fourth.hello(basic("neo4j", "testpass1")))]
        name, body = answers[0]
        assert name == "FAILURE" and code(body) == "Neo.TransientError.Request.NoThreadsAvailable", answers
        assert "max_clients = 3" in body["message"], body
        # A log-in that was pipelined gets its answer, and the connection stays open for the client to close.
        assert [name for name, _ in answers[1:]] == ["IGNORED"], answers
        assert not fourth.closes(1)
    for client in clients:
        works(client)
    clients.pop().close()
    wait_until(lambda: _can(case.client), 5, "a free place")


def _can(act: Callable[[], Any]) -> bool:
    try:
        act().close()
    except (Closed, PermissionError, ConnectionError):
        return False
    return True


@case(client_login_timeout="1s", max_links=2)
def who_does_not_log_in_is_closed(case: Case) -> None:
    silent, shaken, greeted, dribbling = (Connection(case.pooler.port) for _ in range(4))
    shaken.handshake(slot(5, 4))
    greeted.handshake(slot(5, 4))
    succeed(greeted, *greeted.hello(None))
    dribbling.handshake(slot(5, 4))
    dribbling.write(b"\x00\x40\xb1\x01")
    for client in (silent, shaken, greeted, dribbling):
        assert client.closes(4), "still open"
    case.within(0.9, 2)
    client = case.client()
    time.sleep(1.5)
    works(client)  # who is logged in may be idle
    succeed(client, message("LOGOFF"))
    case.mark()
    assert client.closes(4), "open after LOGOFF"
    case.within(0.9, 2)


@case(queue_timeout="1s")
def who_waits_longer_than_queue_timeout_gets_a_retryable_refusal(case: Case) -> None:
    holder, waiter, pipelined = case.holder(), case.client(), case.client()
    case.mark()
    pipelined.send(BEGIN, run(), PULL, COMMIT)
    body = fails(waiter, run(), PULL, kind="TransientError")
    case.within(0.9, 2)
    assert "neo4j_code" not in body and body["message"], body
    names = [pipelined.summary()[1] for _ in range(4)]
    assert names == ["FAILURE", "IGNORED", "IGNORED", "IGNORED"], names
    succeed(holder, run(), PULL, COMMIT)  # the holder noticed nothing
    for client in (waiter, pipelined):
        succeed(client, RESET)
        works(client)


@case(idle_transaction_timeout="1s")
def an_idle_transaction_is_rolled_back(case: Case) -> None:
    client = case.client()
    succeed(client, BEGIN, run("CREATE (:Idle)"), PULL)
    case.mark()
    other = case.client()
    works(other)  # waits for the link that the idle one must give up
    case.within(0.9, 2.5)
    assert count(case, "Idle") == 0
    fails(client, run(), PULL, COMMIT, kind="ClientError.Transaction.")
    succeed(client, RESET)
    works(client)


@case(idle_transaction_timeout="1s")
def a_transaction_that_works_is_not_idle(case: Case) -> None:
    client = case.holder()
    for _ in range(6):
        time.sleep(0.4)
        succeed(client, run(), PULL)
    succeed(client, run("CALL dbms.components() YIELD name RETURN name"), PULL, COMMIT)


@case(idle_transaction_timeout="1s")
def a_half_read_result_is_an_idle_transaction(case: Case) -> None:
    client = case.client()
    succeed(client, run("UNWIND range(1, 100) AS x RETURN x"), message("PULL", {"n": 10}))
    works(case.client())
    fails(client, PULL, kind="ClientError.Transaction.")
    succeed(client, RESET)
    works(client)


@case(transaction_timeout="1s")
def a_long_transaction_is_ended(case: Case) -> None:
    client = case.client()
    case.mark()
    client.send(run(LONG), PULL)
    answers = [client.summary() for _ in range(2)]
    case.within(0.9, 3)
    assert "FAILURE" in [name for _, name, _ in answers], answers
    succeed(client, RESET)
    works(client)
    busy = case.client()
    succeed(busy, BEGIN)
    case.mark()
    while time.monotonic() - case.began < 5:
        answers = busy.call(run(), PULL)
        if answers[0][1] != "SUCCESS":
            break
        time.sleep(0.1)
    case.within(0.5, 2)
    succeed(busy, RESET)
    works(busy)


@case(max_links=3, max_user_links=1, queue_timeout="1s")
def one_user_cannot_take_all_links(case: Case) -> None:
    holder, again = case.holder(), case.client()
    fails(again, run(), PULL, kind="TransientError")
    with case.client("other", "otherpass1") as other:
        works(other)
    succeed(holder, COMMIT)
    succeed(again, RESET)
    works(again)


@case(max_links=3, max_database_links=1, queue_timeout="1s")
def one_database_cannot_take_all_links(case: Case) -> None:
    holder = case.client()
    succeed(holder, message("BEGIN", {"db": "neo4j"}), run(), PULL)
    again = case.client()
    fails(again, run(db="neo4j"), PULL, kind="TransientError")
    with case.client() as system:
        succeed(system, run("SHOW DATABASES YIELD name", db="system"), PULL)
    succeed(holder, COMMIT)
    succeed(again, RESET)
    works(again)


@case(max_links=2)
def a_slow_reader_gets_all_and_stops_nobody(case: Case) -> None:
    slow = case.client()
    slow.send(run("UNWIND range(1, 300000) AS x RETURN x, 'abcdefghijklmnopqrstuvwxyz' AS s"), PULL)
    time.sleep(0.5)
    with case.client() as other:
        for _ in range(50):
            works(other)
    assert slow.summary()[1] == "SUCCESS"
    seen = 0
    while True:
        name, body = slow.receive()
        if name != "RECORD":
            break
        seen += 1
        assert body[0] == seen, (body, seen)
        if seen % 60000 == 0:
            time.sleep(0.2)
    assert (seen, name) == (300_000, "SUCCESS"), (seen, name, body)
    works(slow)


@case(idle_transaction_timeout="1s")
def a_client_that_stops_reading_loses_its_link(case: Case) -> None:
    stuck = case.client()
    stuck.send(run("UNWIND range(1, 1000000) AS x RETURN x, 'abcdefghijklmnopqrstuvwxyz' AS s"), PULL)
    works(case.client(timeout=15))
    stuck.close()


@case()
def a_killed_client_leaves_nothing(case: Case) -> None:
    for ending in ("abort", "close", "goodbye"):
        for stage in ("begun", "streaming", "running"):
            client = case.client()
            succeed(client, BEGIN, run("CREATE (:Killed)"), PULL)
            if stage == "streaming":
                succeed(client, run("UNWIND range(1, 1000) AS x RETURN x"), message("PULL", {"n": 5}))
            elif stage == "running":
                client.send(run(LONG), PULL)
                time.sleep(0.1)
            if ending == "goodbye":
                client.send(GOODBYE)
            elif ending == "abort":
                client.abort()
            else:
                client.close()
            with case.client(timeout=6) as other:
                works(other)  # the only link is free again
            assert count(case, "Killed") == 0, (ending, stage)


@case()
def a_client_that_is_killed_behind_its_commit_has_committed(case: Case) -> None:
    """COMMIT is on its way: it must be carried out, whoever is there to hear of it."""
    for n in range(20):
        client = case.client()
        succeed(client, BEGIN, run("CREATE (:Behind {n: $n})", {"n": n}), PULL)
        client.send(COMMIT)
        client.close()
    with case.client() as other:
        works(other)
    assert count(case, "Behind") == 20, count(case, "Behind")


@case()
def a_reset_in_the_queue_is_answered_at_once(case: Case) -> None:
    holder, waiter = case.holder(), case.client()
    for messages in ((BEGIN,), (run(), PULL), (BEGIN, run(), PULL, COMMIT)):
        waiter.send(*messages)
        time.sleep(0.2)
        case.mark()
        waiter.send(RESET)
        names = [waiter.summary()[1] for _ in range(len(messages) + 1)]
        assert names == ["IGNORED"] * len(messages) + ["SUCCESS"], names
        case.within(0, 1)
    succeed(holder, COMMIT)
    works(waiter)


@case()
def who_leaves_the_queue_takes_no_link(case: Case) -> None:
    holder = case.holder()
    for ending in (Connection.close, Connection.abort, lambda client: client.send(GOODBYE)):
        waiter = case.client()
        waiter.send(BEGIN, run("CREATE (:Left)"), PULL)
        time.sleep(0.1)
        ending(waiter)
    time.sleep(0.2)
    succeed(holder, COMMIT)
    for _ in range(3):
        with case.client(timeout=5) as other:
            works(other)
    assert count(case, "Left") == 0


@case()
def whole_transactions_wait_in_the_queue(case: Case) -> None:
    holder = case.holder()
    waiters = [case.client() for _ in range(8)]
    for n, waiter in enumerate(waiters):
        waiter.send(BEGIN, run("CREATE (n:Whole {n: $n}) RETURN n.n", {"n": n}), PULL, COMMIT, run("RETURN $n AS n", {"n": n}), PULL)
    time.sleep(0.3)
    succeed(holder, COMMIT)
    for n, waiter in enumerate(waiters):
        answers = [waiter.summary() for _ in range(6)]
        assert [name for _, name, _ in answers] == ["SUCCESS"] * 6, answers
        assert answers[2][0] == [[n]] == answers[5][0], answers
    assert count(case, "Whole") == 8
    assert case.links() <= 1


@case()
def waiters_are_served_in_their_order(case: Case) -> None:
    holder = case.holder()
    waiters = [case.client() for _ in range(6)]
    for n, waiter in enumerate(waiters):
        waiter.send(run("CREATE (n:Order {n: $n, at: timestamp()}) RETURN n.n", {"n": n}), PULL)
        time.sleep(0.1)
    succeed(holder, COMMIT)
    for waiter in waiters:
        assert [waiter.summary()[1] for _ in range(2)] == ["SUCCESS"] * 2
    with connect(case.server.port, (5, 4)) as direct:
        rows = direct.run("MATCH (n:Order) RETURN n.n ORDER BY id(n)")
    assert rows == [[n] for n in range(6)], rows


@case(max_links=2)
def a_client_that_sends_much_and_reads_nothing_is_bounded(case: Case) -> None:
    """It may fill what is between, and then must not be read from; others go on."""
    flood = case.client(timeout=3)
    data = b"".join(map(chunked, (run("UNWIND range(1, 1000) AS x RETURN x, $s AS s", {"s": "y" * 10_000}), PULL)))
    sent = 0
    try:
        while sent < 20_000:  # 200 MB: far more than the system's own buffers hold
            flood.write(data * 20)
            sent += 20
    except TimeoutError:
        pass
    assert sent < 20_000, "the pooler took all of it"
    with case.client() as other:
        for _ in range(20):
            works(other)
    status = (f"/proc/{case.pooler.process.pid}/status")
    resident = int(re.search(r"VmRSS:\s+(\d+)", open(status).read()).group(1))  # type: ignore[union-attr]
    assert resident < 256 * 1024, f"{resident} kB"
    flood.close()


@case(max_links=1, keep_alive_interval="500ms", queue_timeout="20s")
def a_waiting_client_hears_noops(case: Case) -> None:
    holder, waiter = case.holder(), case.client()
    waiter.send(run(), PULL)
    time.sleep(2.7)
    assert not holder.readable(0), "a NOOP to a client that waits for nothing"
    succeed(holder, COMMIT)
    assert [waiter.summary()[1] for _ in range(2)] == ["SUCCESS"] * 2
    assert waiter.noops >= 3, f"{waiter.noops} NOOPs in 2.7 s"


@case(max_links=3)
def links_are_never_more_than_max_links(case: Case) -> None:
    clients = [case.client() for _ in range(20)]
    most = 0
    for _ in range(20):
        for client in clients:
            client.send(run(), PULL)
        most = max(most, case.links())
        for client in clients:
            assert [client.summary()[1] for _ in range(2)] == ["SUCCESS"] * 2
    assert 1 <= most <= 3, most


@case(max_links=1)
def a_reload_raises_and_lowers_max_links(case: Case) -> None:
    holder, waiter = case.holder(), case.client()
    waiter.send(BEGIN, run(), PULL)
    assert not waiter.readable(0.5)
    case.pooler.reload(max_links=2)
    assert [waiter.summary()[1] for _ in range(3)] == ["SUCCESS"] * 3
    case.pooler.reload(max_links=1)
    succeed(waiter, COMMIT)
    succeed(holder, COMMIT)
    wait_until(lambda: case.links() <= 1, 5, "one link")
    works(waiter)


@case(max_links=2, pool_mode="session")
def in_session_mode_a_client_keeps_its_link(case: Case) -> None:
    one, two, three = case.client(), case.client(), case.client()
    works(one)
    works(two)
    three.send(run(), PULL)
    assert not three.readable(0.5)
    works(one)
    one.close()
    assert [three.summary()[1] for _ in range(2)] == ["SUCCESS"] * 2


@case(max_links=2, extra="[rule heavy]\nquery = .*heavy.*\nclass = analytics\n\n[class analytics]\nmax = 1\n", queue_timeout="1s")
def a_class_has_its_own_most(case: Case) -> None:
    heavy = run("UNWIND range(1, 100) AS heavy RETURN heavy")
    holder, again = case.client(), case.client()
    succeed(holder, heavy, message("PULL", {"n": 1}))
    fails(again, heavy, PULL, kind="TransientError")
    with case.client() as other:
        works(other)
    succeed(holder, message("DISCARD", {"n": -1}))
    succeed(again, RESET)
    succeed(again, heavy, PULL)


@case(max_links=2)
def sigterm_lets_transactions_end(case: Case) -> None:
    holder, idle = case.holder(), case.client()
    case.pooler.process.terminate()
    assert idle.closes(5), "an idle client stays open"
    time.sleep(0.3)
    succeed(holder, run("CREATE (:Drained)"), PULL, COMMIT)
    assert holder.closes(5), "open after its transaction"
    assert case.pooler.process.wait(10) == 0
    assert count(case, "Drained") == 1


@case(extra="", max_links=2)
def a_second_pooler_on_the_port_is_told(case: Case) -> None:
    try:
        Pooler(case.server.port, listen=f"127.0.0.1:{case.pooler.port}")
    except RuntimeError as caught:
        assert "ended with" in str(caught) and "ended with 0" not in str(caught), caught
    else:
        raise AssertionError("it listens, too")
    works(case.client())


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    watchdog(600)
    report = Report()
    server = Neo4j()
    with connect(server.port, (5, 4)) as admin:
        admin.run("CREATE USER other SET PASSWORD 'otherpass1' CHANGE NOT REQUIRED", db="system")
    for function, options in CASES:
        if not re.search(wanted, function.__name__):
            continue
        one: Case | None = None
        with report.case(function.__name__.replace("_", " ")):
            one = Case(server, options)
            function(one)
            if one.pooler.process.poll() is None:
                one.pooler.kill() if "flood" in function.__name__ else one.pooler.stop()
        if one:
            one.pooler.kill()
    server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
