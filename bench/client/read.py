"""Reads rows with the official Python driver, as boltpool.c does; with its Rust extension where that is installed.

usage: read.py URI USER PASSWORD QUERY ROWS REPEATS
"""
from __future__ import annotations

import json
import resource
import sys
import time

import neo4j


def cpu() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def read(session: neo4j.Session, query: str, rows: int) -> tuple[int, int, float, int, int, int]:
    count = ints = truths = lengths = ends = 0
    floats = 0.0
    for n, f, s, b, k in session.run(query, rows=rows):
        count += 1
        ints += n
        floats += f
        truths += b
        lengths += len(s) + len(k)
        ends += ord(s[-1]) + ord(k[-1])
    return count, ints, floats, truths, lengths, ends


def main() -> None:
    uri, user, password, query, rows, repeats = sys.argv[1:]
    with neo4j.GraphDatabase.driver(uri, auth=(user, password)) as driver:
        with driver.session(database="neo4j", default_access_mode=neo4j.READ_ACCESS) as session:
            read(session, query, int(rows))
            user_before, system_before = cpu()
            began = time.monotonic()
            sums = [read(session, query, int(rows)) for _ in range(int(repeats))]
            seconds = time.monotonic() - began
            user_after, system_after = cpu()
    total = [sum(column) for column in zip(*sums)]
    print(json.dumps({"rows": total[0], "seconds": seconds, "user_s": user_after - user_before, "system_s": system_after - system_before,
                      "ints": total[1], "floats": round(total[2], 3), "truths": total[3], "lengths": total[4], "ends": total[5]}))


main()
