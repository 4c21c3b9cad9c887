#!/usr/bin/env python3
"""Cuts, hangs and slows each of three links at the wire, and stops the server's process, in the middle of a load.

usage: wire.py

Two drivers, each call with a single attempt, work through the pooler on three links to a simulated server; between
the two stands a forwarder that breaks one connection at a time. Shown for each fault: no call takes longer than its
deadlines (the wait for a link, the transaction, a silent server) and a second of slack; no link but the broken one is
closed, by the numbers of the connections; and all three links work again within two seconds after the end.
"""
from __future__ import annotations

import signal
import sys
import time
from typing import Any

from common import Load, Pooler, Report, Sim, Wire, connect, prepare_drivers, watchdog

from bolt import wait_until  # noqa: E402

LINKS = 3
QUEUE, TRANSACTION, SILENCE, DEAD, SLACK = 2.0, 2.0, 2.0, 1.0, 1.0
RECOVERY = 2.0
# How long each lasts, and what it is told. A hung link is found by its transaction's end or the server's missing
# keep-alives; a slow one is none to be closed.
FAULTS = {"cut": (0.7, ()), "hang": (2.5, ()), "slow": (0.7, ("0.05",))}


def links(wire: Wire) -> dict[int, dict[str, Any]]:
    """The connections that are open, and not broken."""
    return {number: one for number, one in wire.tell("list").items() if one["open"] and not one["fault"]}


def all_work(wire: Wire, seconds: float, what: str) -> set[int]:
    """Waits until as many links as there may be carry work; their numbers."""
    before: dict[int, int] = {}

    def work() -> bool:
        now = links(wire)
        grown = [number for number, one in now.items() if one["bytes"] > before.setdefault(number, one["bytes"])]
        return len(grown) >= LINKS and len(now) == LINKS

    try:
        wait_until(work, seconds, what)
    except AssertionError as late:
        raise AssertionError(f"{late}: {links(wire)}") from None
    return set(links(wire))


def answers(pooler: Pooler, seconds: float) -> None:
    """A client that comes now is served."""
    began = time.monotonic()
    with connect(pooler.port, (5, 4)) as client:
        assert client.run("RETURN 1 AS n") == [[1]]
    took = time.monotonic() - began
    assert took < seconds, f"a new client took {took:.2f} s"


def break_one(wire: Wire, pooler: Pooler, fault: str, index: int) -> None:
    """One fault on one of three links."""
    healthy = all_work(wire, 5, f"{LINKS} links that work before the fault")
    victim = sorted(healthy)[index]
    seconds, more = FAULTS[fault]
    wire.tell(fault, victim, *more)
    time.sleep(seconds)
    wire.tell("heal", victim)
    kept = all_work(wire, RECOVERY, f"{LINKS} links that work after the fault")
    closed = healthy - kept
    allowed = set() if fault == "slow" else {victim}
    assert closed <= allowed, f"closed {closed}, and only {allowed} was broken"
    if fault == "cut":
        assert victim in closed, "the link that was cut is still there"
    answers(pooler, RECOVERY)


def main() -> int:
    watchdog(120)
    prepare_drivers("py6", "go5")
    report = Report()
    server = Sim("--service", "exp:3ms", "--keep-alive", f"{SILENCE / 2:.0f}s")
    wire = Wire(server.port)
    # One version for both drivers: else links of one make room for those of the other.
    pooler = Pooler(wire.port, max_links=LINKS, max_bolt_version="5.4", queue_timeout=f"{QUEUE:.0f}s", transaction_timeout=f"{TRANSACTION:.0f}s",
                    dead_server_timeout=f"{DEAD:.0f}s", link_check_timeout="500ms", reset_timeout="1s", connect_timeout="1s")
    loads = [Load(driver, pooler.port, "Wire", i * 10_000_000, 0, 6, retry=0) for i, driver in enumerate(("py6", "go5"))]
    with report.case("the load is under way"):
        all_work(wire, 15, f"{LINKS} links that work")
    for fault in FAULTS:
        for index in range(LINKS):
            with report.case(f"{fault} of link {index + 1}: its neighbours stay, all work again within {RECOVERY:.0f} s"):
                break_one(wire, pooler, fault, index)
    with report.case(f"all cut, and no connection for a while: all work again within {RECOVERY:.0f} s"):
        wire.tell("cut", "*")
        time.sleep(1)
        wire.tell("heal", "*")
        all_work(wire, RECOVERY, f"{LINKS} links that work")
    with report.case("a stopped server is found, and serves again when it goes on"):
        before = pooler.log.read_text().count("is dead")
        server.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: pooler.log.read_text().count("is dead") > before, 2.5 * DEAD + SLACK, "a dead server in the log")
        wait_until(lambda: not [one for one in links(wire).values() if one["bytes"] > 1000], SLACK, "the end of its links")
        time.sleep(0.5)
        server.process.send_signal(signal.SIGCONT)
        all_work(wire, RECOVERY, f"{LINKS} links that work")
        answers(pooler, RECOVERY)
    with report.case("SIGUSR1 lets work end and holds new work, SIGUSR2 lets it go on"):
        pooler.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: "paused: no connection" in pooler.log.read_text(), 5, "the end of the pause's wait")
        assert not links(wire), "links are left"
        time.sleep(0.3)
        pooler.process.send_signal(signal.SIGUSR2)
        all_work(wire, RECOVERY, f"{LINKS} links that work")
    for load in loads:
        limit = QUEUE + TRANSACTION + SILENCE + SLACK
        with report.case(f"{load.driver}: no call takes longer than its deadlines and {SLACK:.0f} s"):
            result = load.result(20)
            print(f"      {len(result['ok'])} ok, {len(result['failed'])} failed, the longest call took {result['longest']:.2f} s")
            assert len(result["ok"]) > 500, result["failed"][:5]
            assert result["longest"] < limit, f"{result['longest']:.2f} s and not {limit} s"
            # Each fault costs those who work on a broken link, those who wait meanwhile, and nobody else.
            assert len(result["failed"]) < 150, f"{len(result['failed'])} failed: {result['failed'][:5]}"
    with report.case("the pooler ends well"):
        pooler.stop()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
