#!/usr/bin/env python3
"""Three real servers behind one address: one is stopped, goes on, is killed and starts again, and nobody notices.

usage: balance.py [STRATEGY]     adaptive by default

First as equal servers, each of which says its number in every read: the drivers' managed reads all succeed, the sick server is
left out in about a second, and gets reads again once it is well, by the numbers that the clients saw. How long reads at the
other two take meanwhile is printed next to how long they took before, with a wide limit, for it is a machine's figure.

Then as a list of servers of their own: what was written is read by its bookmark, which only the server that issued it
understands, so whoever asks another one misses it.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common import CACHE, HERE, PASSWORD, ROOT, Neo4j, Pooler, Report, connect, ended, prepare_drivers, running, spread, watchdog, work

SERVERS = 3
# Reads a second and workers of each driver: under half of two cores, with all that takes part.
RATE, WORKERS = 70, 8
QUIET, STOPPED, KILLED = 7.0, 6.0, 3.0
# How soon a sick server is left out, and a well one gets reads again.
LEFT_OUT, SLACK, BACK = 2.0, 1.0, 15.0
PAIRS = 1_000


@dataclass
class Read:
    """A managed read that succeeded."""

    begin: float  # wall clock, as the pooler's log
    seconds: float
    server: int


class Clients:
    """A running program of one driver; see balance_load.py."""

    def __init__(self, driver: str, scheme: str, port: int, *words: object) -> None:
        self.driver = driver
        self.log = work() / f"balance-{driver}-{words[0]}.log"
        program = {"py6": [CACHE / "py6/bin/python", HERE / "balance_load.py"], "go5": [work() / "balance-go"]}[driver]
        command = [*map(str, program), f"{scheme}://127.0.0.1:{port}", "neo4j", PASSWORD, *map(str, words)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        running(self.process.kill)

    def result(self, timeout: float) -> dict[str, Any]:
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.driver}: hangs\n{self.log.read_text()[-2000:]}") from None
        finally:
            ended(self.process.kill)
        if self.process.returncode != 0:
            raise AssertionError(f"{self.driver}: ended with {self.process.returncode}\n{self.log.read_text()[-2000:]}")
        return json.loads(out)


def start_servers() -> list[Neo4j]:
    with ThreadPoolExecutor(SERVERS) as pool:
        servers = list(pool.map(lambda _: Neo4j(heap="192m"), range(SERVERS)))
    for number, server in enumerate(servers):
        with connect(server.port, (5, 4)) as direct:
            direct.run("CREATE (:Server {n: $n})", {"n": number})
            direct.run("UNWIND range(0, 99) AS id CREATE (:Item {id: id})")
            for _ in range(200):  # what is compared later isn't how a server warms up
                direct.run("MATCH (s:Server), (i:Item {id: $id}) RETURN s.n", {"id": 1})
    return servers


def pid(server: Neo4j) -> int:
    return int((server.home / "pid").read_text())


def events(pooler: Pooler, server: Neo4j, since: float) -> list[tuple[float, str]]:
    """What the log says about a server under `route`: when, and what."""
    found = []
    for line in pooler.log.read_text(errors="replace").splitlines():
        when, _, text = line.partition(" ")
        if " route: " in line and f"127.0.0.1:{server.port}: " in text:
            at = datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()
            if at >= since - 0.001:
                found.append((at, text.partition(f"127.0.0.1:{server.port}: ")[2]))
    return found


def first(pooler: Pooler, server: Neo4j, what: str, since: float) -> float | None:
    return next((at for at, text in events(pooler, server, since) if text.startswith(what)), None)


def await_event(pooler: Pooler, server: Neo4j, what: str, since: float, seconds: float) -> None:
    """Waits, and leaves it to the check that follows to say that it didn't come."""
    while first(pooler, server, what, since) is None and time.time() < since + seconds:
        time.sleep(0.05)


def percentile(reads: list[Read], share: float) -> float:
    times = sorted(read.seconds for read in reads)
    return times[min(len(times) - 1, int(share * len(times)))] * 1000


def figures(reads: list[Read]) -> str:
    return f"{len(reads)} reads, p50 {percentile(reads, 0.5):.1f} ms, p99 {percentile(reads, 0.99):.1f} ms"


def within(reads: list[Read], begin: float, end: float) -> list[Read]:
    return [read for read in reads if begin <= read.begin < end]


def tenth(reads: list[Read], server: int, since: float) -> float:
    """When a server had answered ten reads: one may be a question whether it is well."""
    ends = sorted(read.begin + read.seconds for read in reads if read.server == server and read.begin >= since)
    return ends[9] if len(ends) > 9 else float("inf")


def one_is_sick(report: Report, servers: list[Neo4j], strategy: str) -> None:
    """Equal servers; the last one is stopped and killed."""
    pooler = Pooler(0, endpoints=", ".join(f"bolt://127.0.0.1:{server.port}" for server in servers), topology="equal", strategy=strategy,
                    max_links=24, max_bolt_version="5.4", dead_server_timeout="1s", link_check_timeout="500ms", connect_timeout="1s",
                    reset_timeout="1s")
    victim = servers[-1]
    # One driver takes the pooler for a server, the other one for a cluster.
    clients = [Clients("py6", "bolt", pooler.port, "reads", WORKERS, RATE), Clients("go5", "neo4j", pooler.port, "reads", WORKERS, RATE)]
    time.sleep(2)
    quiet = time.time()
    time.sleep(QUIET)

    stopped = time.time()
    os.kill(pid(victim), signal.SIGSTOP)
    time.sleep(STOPPED)
    went_on = time.time()
    os.kill(pid(victim), signal.SIGCONT)
    await_event(pooler, victim, "returned", went_on, BACK)
    time.sleep(3)

    killed = time.time()
    victim.kill()
    time.sleep(KILLED)
    victim.start()
    started = time.time()
    await_event(pooler, victim, "returned", started, BACK)
    time.sleep(3)
    end = time.time()

    reads: list[Read] = []
    for one in clients:
        with report.case(f"{one.driver}: every managed read succeeds"):
            one.process.stdin.close()
            one.process.stdin = None
            result = one.result(20)
            mine = [Read(*read) for read in result["reads"]]
            reads += mine
            slow = ", ".join(f"{read.seconds:.2f} s at {read.begin - stopped:+.1f} s" for read in sorted(mine, key=lambda read: -read.seconds)[:3])
            print(f"      {one.driver}: {len(mine)} ok, {len(result['failed'])} failed; the longest, and when they began after SIGSTOP: {slow}")
            assert not result["failed"], spread("\n".join(map(str, result["failed"])))
            assert len(mine) > RATE * (end - quiet) / 2, "far fewer reads than were asked for"

    sick = SERVERS - 1
    before = within(reads, quiet, stopped)
    served = Counter(read.server for read in before)
    # Not equal parts: a server that is warm is quicker, and the default strategy goes by that. Each is kept warm.
    report.check("in quiet all servers get reads", min(served[i] for i in range(SERVERS)) > len(before) / 100, f"{dict(served)}")

    def left_out(what: str, since: float, until: float) -> None:
        at = first(pooler, victim, "ejected", since)
        log = "\n".join(f"{at - since:+.3f} s {text}" for at, text in events(pooler, victim, since - 3))
        name = f"{what}: left out within {LEFT_OUT:.0f} s and {SLACK:.0f} s of slack"
        if at is None or at > since + LEFT_OUT + SLACK:
            report.fail(name, log)
            return
        report.ok(name, f"({at - since:.2f} s: {next(text for when, text in events(pooler, victim, since) if when == at)})")
        # A tick of the loop, and what was on its way.
        late = [read for read in within(reads, at + 0.3, until) if read.server == sick or read.seconds > 1]
        report.check(f"{what}: no read that begins after that is sent there", not late, spread("\n".join(map(str, late))) + "\n" + log)

    def back(what: str, since: float) -> None:
        after = tenth(reads, sick, since) - since
        name = f"{what}: it answers reads again within {BACK:.0f} s"
        log = "\n".join(f"{at - since:+.3f} s {text}" for at, text in events(pooler, victim, since))
        if after > BACK:
            report.fail(name, f"after {after:.1f} s\n{log}")
        else:
            report.ok(name, f"(10 of them after {after:.2f} s)")

    left_out("SIGSTOP", stopped, went_on)
    # What the stopped one held until it was left out, and a driver then repeated elsewhere, says nothing of the others.
    noticed = first(pooler, victim, "ejected", stopped) or went_on
    held = [read for read in within(reads, stopped, min(noticed, went_on)) if read.server == sick or read.seconds > 0.5]
    others = [read for read in within(reads, stopped, went_on) if read.server != sick and read not in held]
    quiet_p99, stop_p99 = percentile(before, 0.99), percentile(others, 0.99)
    print(f"      quiet: {figures(before)}, by server {dict(sorted(served.items()))}\n      one stopped, the other two: {figures(others)}")
    print(f"      held up by the stopped one: {len(held)}, for up to {max((read.seconds for read in held), default=0):.2f} s")
    report.check("the other two serve as quickly as before, within a wide limit", stop_p99 <= 1.5 * quiet_p99 + 50, f"p99 {stop_p99:.1f} ms")
    back("SIGCONT", went_on)
    left_out("kill -9", killed, started - 1)
    print(f"      one killed, the other two: {figures([read for read in within(reads, killed, killed + KILLED) if read.server != sick])}")
    back("start", started)
    with report.case("the pooler ends well"):
        pooler.stop()


def list_reads_its_writes(report: Report, servers: list[Neo4j], strategy: str) -> None:
    endpoints = [f"bolt://127.0.0.1:{server.port} {'ro' if i else 'rw'}" for i, server in enumerate(servers)]
    pooler = Pooler(0, endpoints=", ".join(endpoints), strategy=strategy, max_links=24, max_bolt_version="5.4")
    share = PAIRS // 2
    clients = [Clients("py6", "bolt", pooler.port, "pairs", 4, 0, share), Clients("go5", "neo4j", pooler.port, "pairs", 4, share, share)]
    plain: Counter[str] = Counter()
    for one in clients:
        with report.case(f"{one.driver}: {share} times, what was written is read by its bookmark"):
            result = one.result(40)
            plain.update(result["plain"])
            assert not result["failed"], spread("\n".join(result["failed"]))
            assert not result["missed"], f"{len(result['missed'])} missed: [id, server, rows]\n" + spread("\n".join(map(str, result["missed"])))
            assert not result["elsewhere"], f"{len(result['elsewhere'])} reads by a read's bookmark went elsewhere: {result['elsewhere'][:10]}"
            assert result["done"] == share, result["done"]
    print(f"      reads without a bookmark, by server: {dict(sorted(plain.items()))}")
    report.check("reads without a bookmark reach all servers", min(plain[str(i)] for i in range(SERVERS)) > PAIRS / 100, f"{dict(plain)}")
    counts = []
    for server in servers:
        with connect(server.port, (5, 4)) as direct:
            counts.append(direct.run("MATCH (p:Pair) RETURN count(p), count(DISTINCT p.id)")[0])
    report.check("all writes are at the writer, and none at the others", counts == [[PAIRS, PAIRS], [0, 0], [0, 0]], f"{counts}")
    with report.case("the pooler ends well"):
        pooler.stop()


def main() -> int:
    strategy = sys.argv[1] if len(sys.argv) > 1 else "adaptive"
    watchdog(150)
    prepare_drivers("py6", "go5")
    subprocess.run(["go", "build", "-o", work() / "balance-go", "./balance"], check=True, cwd=ROOT / "tests/driver/go")
    report = Report()
    servers = start_servers()
    one_is_sick(report, servers, strategy)
    list_reads_its_writes(report, servers, strategy)
    for server in servers:
        server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
