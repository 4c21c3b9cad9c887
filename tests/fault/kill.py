#!/usr/bin/env python3
"""kill -9 of the server in mid-load, and a restart: drivers repeat by themselves, and nothing goes wrong twice.

usage: kill.py [TRANSACTIONS [KILLS]]     of each driver; 1,500 and 2 by default

Four drivers write unique ids in managed transactions with 120 s for repeating. Each
must succeed, except for those whose COMMIT was under way when the server died: no
one can know how these ended, so the driver says so, or repeats and writes again
with another attempt's number. What was acknowledged is there, and nothing is there
twice with the same attempt's number.
"""
from __future__ import annotations

import re
import sys
import time
from collections import Counter

from common import Load, Neo4j, Pooler, Report, connect, prepare_drivers, spread, watchdog, written

WORKERS = 12
DRIVERS = ("py6", "js6", "go5", "java5")
# The words of each driver for "the connection was lost while COMMIT was not answered".
UNKNOWN_OUTCOME = {
    "py6": r"IncompleteCommit",
    "js6": r"ServiceUnavailable|SessionExpired",
    "go5": r"(?i)connection .*(lost|closed).*commit|commit.*(lost|fail|dead)|ConnectivityError|TransactionExecutionLimit",
    "java5": r"(?i)ServiceUnavailable|commit",
}


def progress(port: int) -> int:
    with connect(port, (4, 4)) as server:
        return server.run("MATCH (n:Kill) RETURN count(n)")[0][0]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_500
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    watchdog(600)
    prepare_drivers(*DRIVERS)
    report = Report()
    server = Neo4j(heap="384m")
    pooler = Pooler(server.port, max_links=8)
    total = count * len(DRIVERS)
    loads = [Load(driver, pooler.port, "Kill", i * count, count, WORKERS) for i, driver in enumerate(DRIVERS)]
    for kill in range(kills):
        wanted = total * (kill + 1) // (kills + 2)
        deadline = time.monotonic() + 120
        while progress(server.port) < wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        done = progress(server.port)
        running = sum(load.process.poll() is None for load in loads)
        report.check(f"kill {kill + 1} comes in mid-load", running > 0 and wanted <= done < total, f"{done} of {total}, {running} loads run")
        server.kill()
        time.sleep(1.0)
        server.start()
    unknown: set[int] = set()
    acknowledged: set[int] = set()
    for load in loads:
        with report.case(f"{load.driver}: all succeed, but for COMMITs that nobody answered"):
            result = load.result(300)
            acknowledged.update(result["ok"])
            strange = [one for one in result["failed"] if not re.search(UNKNOWN_OUTCOME[load.driver], f"{one[1]} {one[2]}")]
            unknown.update(one[0] for one in result["failed"])
            print(f"      {load.driver}: {len(result['ok'])} ok, {len(result['failed'])} of unknown outcome")
            for one in result["failed"][:2]:
                print(f"        {one}")
            assert not strange, spread("\n".join(map(str, strange)))
            # At most one COMMIT of each worker, and of each link, can be under way at a kill.
            assert len(result["failed"]) <= min(WORKERS, 8) * kills, f"{len(result['failed'])} of unknown outcome"
            assert len(result["ok"]) + len(result["failed"]) == load.count
    rows = written(server.port, "Kill")
    times = Counter(rows)
    ids = Counter(number for number, _ in rows)
    missing = acknowledged - ids.keys()
    report.check("nothing acknowledged is missing", not missing, f"{sorted(missing)[:10]}")
    report.check("only what was asked for is there", ids.keys() <= acknowledged | unknown, f"{sorted(ids.keys() - acknowledged - unknown)[:10]}")
    report.check("no attempt is there twice", max(times.values()) == 1, f"{[one for one, t in times.items() if t > 1][:10]}")
    again = [number for number, n in ids.items() if n > 1]
    report.check("few were repeated by their driver after an unanswered COMMIT", len(again) <= 8 * kills, f"{again[:20]}")
    with report.case("the pooler ends well"):
        pooler.stop()
    server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
