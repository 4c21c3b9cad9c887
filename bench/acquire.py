#!/usr/bin/env python3
"""Taking a connection and giving it back: boltpool's library beside HikariCP 7.1, deadpool 0.13 and a bare mutex pool.

usage: acquire.py [--rounds 5] [--seconds 1] [--waiting-seconds 10]

Connections do nothing, so that only the pool is measured; boltpool is in its default configuration (five classes,
statistics, leak report, the real clock) but for the number of connections. In each round the peers take turns in each case; a
figure is the median over the rounds, a ratio the median of the rounds' own ratios, because the machine may be
shared. All run with a timer slack of 1 us.

  uncontended  one thread, 10 connections; other threads exist, so no lock is left out
  contended    8 threads, 4 connections, nothing held
  waiting      64 threads, 8 connections held 100 us (by a sleep, which takes longer: the hold is measured)
  loop         64 tasks of one event loop, 8 connections held 100 us by a timer; deadpool with two workers and with one thread
  loops        two event loops that hand one connection to and fro

Hand-over is what pool and wake-up add to each turn of a connection: connections x seconds / turns - hold. `loops` counts all CPU
of the process for each hand-over, that of the loops and timers too. The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import peers

CASES = {
    "uncontended": ("boltpool", "mutex", "hikaricp"),
    "contended": ("boltpool", "mutex", "hikaricp", "deadpool"),
    "waiting": ("boltpool", "mutex", "hikaricp"),
    "loop": ("boltpool", "deadpool", "deadpool_1_thread"),
    "loops": ("boltpool",),
}
LINKS = 8
Round = dict[tuple[str, str], dict[str, float]]


def cycle_ns(result: dict[str, float]) -> float:
    return result["seconds"] * 1e9 / result["ops"]


def handoff_us(result: dict[str, float]) -> float:
    return (LINKS * cycle_ns(result) - result["hold_ns"]) / 1e3


def figures_of(seen: Round) -> dict[str, float]:
    """The figures of one round."""
    def of(case: str, peer: str) -> dict[str, float]:
        return seen[case, peer]

    ours, theirs = of("waiting", "boltpool"), of("waiting", "hikaricp")
    deadpool_us = min(handoff_us(of("loop", "deadpool")), handoff_us(of("loop", "deadpool_1_thread")))
    loops = of("loops", "boltpool")
    contended_ns = cycle_ns(of("contended", "boltpool"))
    return {
        "hikaricp_ratio_uncontended":
            cycle_ns(of("uncontended", "boltpool")) / cycle_ns(of("uncontended", "hikaricp")),
        "bare_mutex_ratio_contended": contended_ns / cycle_ns(of("contended", "mutex")),
        "deadpool_ratio_contended": contended_ns / cycle_ns(of("contended", "deadpool")),
        "handoff_over_hikaricp": handoff_us(ours) / handoff_us(theirs),
        "p999_wait_over_hikaricp": ours["wait_p999_ns"] / theirs["wait_p999_ns"],
        "busiest_over_idlest": ours["fairness"],
        "async_handoff_over_deadpool": handoff_us(of("loop", "boltpool")) / deadpool_us,
        "two_loop_handoff_us": loops["cpu_ns"] / loops["handed"] / 1e3,
    }


def print_table(rounds: list[Round]) -> None:
    print(f"{'case':12} {'peer':18} {'ns/cycle':>9} {'cpu ns':>8} {'hold us':>8} {'hand-over us':>13} {'p50 us':>9} {'p99 us':>9} "
          f"{'p99.9 us':>9} {'busiest/idlest':>15}", file=sys.stderr)
    for case, names in CASES.items():
        for peer in names:
            results = [seen[case, peer] for seen in rounds]

            def median(value) -> float:
                return statistics.median(value(result) for result in results)

            if case == "loops":
                print(f"{case:12} {peer:18} {'':9} {median(lambda r: r['cpu_ns'] / r['handed']):8.0f}   CPU for each hand-over; "
                      f"{median(lambda r: r['handed_ratio']) * 100:.1f} % of the turns were one", file=sys.stderr)
                continue
            line = f"{case:12} {peer:18} {median(cycle_ns):9.1f} {median(lambda r: r['cpu_ns'] / r['ops']):8.0f}"
            if case in ("waiting", "loop"):
                line += (f" {median(lambda r: r['hold_ns'] / 1e3):8.1f} {median(handoff_us):13.2f} "
                         f"{median(lambda r: r['wait_p50_ns'] / 1e3):9.1f} {median(lambda r: r['wait_p99_ns'] / 1e3):9.0f} "
                         f"{median(lambda r: r['wait_p999_ns'] / 1e3):9.0f}")
            else:
                line += " " * 61
            print(f"{line} {median(lambda r: r['fairness']):15.2f}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--waiting-seconds", type=float, default=10)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parent / "acquire"
    java = peers.build_java("acquire-java", here / "java/StubConn.java", here / "java/Acquire.java")
    deadpool = peers.build_deadpool()
    programs: dict[str, list[str | Path]] = {
        "boltpool": [peers.build_c("acquire-boltpool", here / "boltpool.c")],
        "mutex": [peers.build_c("acquire-mutex", here / "mutex.c")],
        "hikaricp": [*java, "Acquire"],
        "deadpool": [deadpool],
        "deadpool_1_thread": [deadpool],
    }
    peers.fine_timers()
    rounds: list[Round] = []
    for number in range(arguments.rounds):
        seen: Round = {}
        for case, names in CASES.items():
            seconds = arguments.waiting_seconds if case == "waiting" else arguments.seconds
            for peer in names:
                name = "loop1" if peer == "deadpool_1_thread" else case
                seen[case, peer] = peers.run(*programs[peer], name, "0.5", str(seconds))
        rounds.append(seen)
        print(f"acquire: round {number + 1} of {arguments.rounds}", file=sys.stderr)
    print_table(rounds)
    each = [figures_of(seen) for seen in rounds]
    print(json.dumps({key: round(statistics.median(one[key] for one in each), 3) for key in each[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
