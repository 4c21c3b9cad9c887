#!/usr/bin/env python3
"""50 callers at once on 5 open connections, at most 50: boltpool's library beside HikariCP 7.1 and deadpool 0.13.

usage: spike.py [--rounds 5]

  spike   connecting takes 150 ms, a query 2 ms: the five serve all 50 in 20 ms, before a new connection could be
          there, so each one that is opened is waste
  growth  connecting takes 20 ms, a query 200 ms: best is to open 45 at once, 220 ms in all; the default connects_max
          lets 16 be opened at a time

Before the burst one thread does 50 queries (HikariCP: 2000 turns, for its compiler), so the pools have seen work.
`links_opened` counts every connection whose opening began after the burst began and within a second of its end, whether
anybody got it or not, beyond the five; it is the largest of all rounds. In each round the peers take turns; times are medians, ratios
medians of the rounds' own. The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import peers

CASES = {"spike": (150, 2), "growth": (20, 200)}
IDEAL_GROWTH_MS = 220


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent
    java = peers.build_java("spike-java", here / "acquire/java/StubConn.java", here / "spike/java/Spike.java")
    deadpool = peers.build_deadpool()
    boltpool = peers.build_c("spike-boltpool", here / "spike/boltpool.c")
    peers.fine_timers()
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for case, (connect_ms, query_ms) in CASES.items():
            times = (str(connect_ms), str(query_ms))
            seen.setdefault((case, "boltpool"), []).append(peers.run(boltpool, *times))
            seen.setdefault((case, "hikaricp"), []).append(peers.run(*java, "Spike", *times))
        seen.setdefault(("spike", "deadpool"), []).append(peers.run(deadpool, "spike"))
    print(f"{'case':8} {'peer':10} {'total ms':>9} {'slowest ms':>11} {'opened':>7}", file=sys.stderr)
    for (case, peer), results in sorted(seen.items(), reverse=True):
        print(f"{case:8} {peer:10} {statistics.median(r['total_ms'] for r in results):9.1f} "
              f"{statistics.median(r['slowest_ms'] for r in results):11.1f} {max(r['opened'] for r in results):7.0f}", file=sys.stderr)
    ours, theirs = seen["spike", "boltpool"], seen["spike", "hikaricp"]
    print(json.dumps({
        "hikaricp_time_ratio": round(statistics.median(a["total_ms"] / b["total_ms"] for a, b in zip(ours, theirs)), 3),
        "links_opened": max(r["opened"] for r in ours),
        "growth_over_ideal":
            round(statistics.median(r["total_ms"] for r in seen["growth", "boltpool"]) / IDEAL_GROWTH_MS, 3),
    }))
    return 0


if __name__ == "__main__":
    sys.exit(main())
