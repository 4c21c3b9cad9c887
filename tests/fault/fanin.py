#!/usr/bin/env python3
"""300 sessions of two drivers over 8 links: nothing lost, nothing doubled, never a ninth connection.

usage: fanin.py [TRANSACTIONS]     20,000 by default, half in each language
"""
from __future__ import annotations

import sys
import threading
from collections import Counter

from common import Load, Neo4j, Pooler, Report, connect, connections, prepare_drivers, sockets, watchdog, written

LINKS, WORKERS = 8, 150


class Observer(threading.Thread):
    """Counts the pooler's connections as the server and the kernel see them, all the time."""

    def __init__(self, server: Neo4j, pooler: Pooler) -> None:
        super().__init__(daemon=True)
        self.server, self.pooler = server, pooler
        self.most = {"server": 0, "kernel": 0, "clients": 0}
        self.looks = 0
        self.stop = threading.Event()
        self.problem = ""

    def run(self) -> None:
        try:
            with connect(self.server.port, (4, 4)) as direct:
                while not self.stop.wait(0.05):
                    self.most["server"] = max(self.most["server"], connections(direct))
                    self.most["kernel"] = max(self.most["kernel"], sockets(self.pooler.process.pid, self.server.port))
                    self.looks += 1
        except Exception as caught:  # noqa: BLE001 - told at the end
            self.problem = f"{type(caught).__name__}: {caught}"


def main() -> int:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    watchdog(600)
    prepare_drivers("py6", "go5")
    report = Report()
    server = Neo4j()
    pooler = Pooler(server.port, max_links=LINKS, queue_timeout="60s")
    observer = Observer(server, pooler)
    observer.start()
    half = total // 2
    loads = [Load("py6", pooler.port, "Fan", 0, half, WORKERS), Load("go5", pooler.port, "Fan", half, total - half, WORKERS)]
    for load in loads:
        with report.case(f"{load.driver}: {WORKERS} sessions, {load.count} transactions all succeed"):
            result = load.result(500)
            assert not result["failed"], f"{len(result['failed'])} failed, first {result['failed'][0]}"
            assert len(result["ok"]) == load.count
    observer.stop.set()
    observer.join(10)
    rows = written(server.port, "Fan")
    times = Counter(number for number, _ in rows)
    report.check("no id is lost", set(times) == set(range(total)), f"{total - len(times)} are missing")
    report.check("no id is doubled", max(times.values()) == 1, f"{[n for n, t in times.items() if t > 1][:10]}")
    report.check("the look from beside worked", observer.looks > 10 and not observer.problem, f"{observer.looks} looks; {observer.problem}")
    for who in ("server", "kernel"):
        report.check(f"never more than {LINKS} connections, as the {who} counts", 0 < observer.most[who] <= LINKS, f"saw {observer.most[who]}")
    with report.case("the pooler ends well"):
        pooler.stop()
    server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
