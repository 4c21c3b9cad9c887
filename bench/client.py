#!/usr/bin/env python3
"""Reading 100,000 rows of five columns from a real Neo4j 5.26: boltpool's client beside the official Go and Python drivers.

usage: client.py [--rounds 5] [--rows 100000] [--repeats 5]

Columns: an integer, a float, two strings, a boolean. Each program opens one connection with its defaults (1,000 rows are asked for at
a time), reads the query once to warm up, and then --repeats times, summing every value of every row; the sums are compared, so
that nobody skips work. Python is the 6.x driver with its extension in Rust (neo4j-rust-ext). Rows of boltpool are views of what was
received; "each row copied" makes a copy of every row, as a program does that keeps them.

What is measured, inside the program: the clock, and the CPU (user and system) of its process alone, all its
threads, from after the warm-up to the last row. Server and client share the machine, so rows a second are also the
server's; CPU a row is the client's own. In each round they take turns; a figure is the median over the rounds, a ratio the
median of the rounds' own ratios. The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import peers
import stage

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "bench/client"
PASSWORD = "benchpass1"
QUERY = ("UNWIND range(1, $rows) AS i "
         "RETURN i AS n, i * 0.5 AS f, 'name ' + toString(i) AS s, i % 3 = 0 AS b, 'k' + toString(i % 100) AS k")
NAMES = {"boltpool": "boltpool", "boltpool_copied": "boltpool, each row copied", "go": "Go 5.28", "python": "Python 6.4, Rust extension"}
SUMS = ("rows", "ints", "floats", "truths", "lengths", "ends")
Result = dict[str, float]


def cpu_s(result: Result) -> float:
    return result["user_s"] + result["system_s"]


def rows_per_cpu_second(result: Result) -> float:
    return result["rows"] / cpu_s(result)


def build() -> dict[str, list[str | Path]]:
    """The programs, as commands."""
    peers.need(ROOT / "scripts/drivers.sh", "py6rust")
    peers.OUT.mkdir(parents=True, exist_ok=True)
    go = peers.OUT / "client-go"
    peers.need("go", "build", "-o", go, ".", cwd=HERE / "go")
    ours = peers.build_c("client-boltpool", HERE / "boltpool.c")
    driver_cache = Path(os.environ.get("BOLTPOOL_CACHE") or Path.home() / ".cache" / "boltpool")
    return {
        "boltpool": [ours],
        "boltpool_copied": [ours],
        "go": [go],
        "python": [driver_cache / "py6rust/bin/python", HERE / "read.py"],
    }


class Server:
    """A Neo4j with authentication; `with` ends it."""

    def __init__(self) -> None:
        self.port = stage.free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="boltpool-bench-"))

    def __enter__(self) -> Server:
        environment = dict(os.environ, NEO4J_PASSWORD=PASSWORD, NEO4J_HEAP="512m")
        subprocess.run([ROOT / "scripts/neo4j.sh", "start", str(self.port), self.folder / "neo4j"], check=True, env=environment,
                       stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([ROOT / "scripts/neo4j.sh", "stop", self.folder / "neo4j"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def expected(rows: int, repeats: int) -> dict[str, float]:
    """What the sums must be."""
    texts = [text for i in range(1, rows + 1) for text in (f"name {i}", f"k{i % 100}")]
    each = {"rows": rows, "ints": rows * (rows + 1) // 2, "floats": rows * (rows + 1) / 4, "truths": rows // 3,
            "lengths": sum(map(len, texts)), "ends": sum(ord(text[-1]) for text in texts)}
    return {name: value * repeats for name, value in each.items()}


def print_table(rounds: list[dict[str, Result]]) -> None:
    print(f"{'client':28} {'rows/s':>10} {'cpu ns/row':>11} {'user':>7} {'system':>7} {'rows per CPU second':>20} {'boltpool over it':>17}",
          file=sys.stderr)
    for name, title in NAMES.items():
        def median(value) -> float:
            return statistics.median(value(seen[name]) for seen in rounds)

        ratio = statistics.median(rows_per_cpu_second(seen["boltpool"]) / rows_per_cpu_second(seen[name]) for seen in rounds)
        print(f"{title:28} {median(lambda r: r['rows'] / r['seconds']):10,.0f} {median(lambda r: cpu_s(r) * 1e9 / r['rows']):11,.0f} "
              f"{median(lambda r: r['user_s'] * 1e9 / r['rows']):7,.0f} {median(lambda r: r['system_s'] * 1e9 / r['rows']):7,.0f} "
              f"{median(rows_per_cpu_second):20,.0f} {ratio:17.2f}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    programs = build()
    sums = expected(options.rows, options.repeats)
    rounds: list[dict[str, Result]] = []
    with Server() as server:
        target = (f"bolt://127.0.0.1:{server.port}", "neo4j", PASSWORD, QUERY, str(options.rows), str(options.repeats))
        peers.run(*programs["boltpool"], *target)  # the server's own warm-up
        for number in range(options.rounds):
            seen = {}
            for name, program in programs.items():
                more = ("copy",) if name == "boltpool_copied" else ()
                seen[name] = peers.run(*program, *target, *more)
                wrong = [key for key in SUMS if seen[name][key] != sums[key]]
                if wrong:
                    sys.exit(f"{name} has other sums: {', '.join(f'{key} {seen[name][key]} for {sums[key]}' for key in wrong)}")
            rounds.append(seen)
            print(f"client: round {number + 1} of {options.rounds}", file=sys.stderr)
    print(stage.machine(), file=sys.stderr)
    print_table(rounds)

    def median(value) -> float:
        return statistics.median(value(seen) for seen in rounds)

    figures = {
        f"{peer}_rows_per_cpu_ratio": round(median(lambda seen: rows_per_cpu_second(seen["boltpool"]) / rows_per_cpu_second(seen[peer])), 3)
        for peer in ("go", "python")
    }
    for name in NAMES:
        figures[f"{name}_rows_per_second"] = round(median(lambda seen: seen[name]["rows"] / seen[name]["seconds"]))
        figures[f"{name}_cpu_ns_per_row"] = round(median(lambda seen: cpu_s(seen[name]) * 1e9 / seen[name]["rows"]), 1)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
