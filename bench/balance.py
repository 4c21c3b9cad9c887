#!/usr/bin/env python3
"""Which server takes a transaction: a SIMULATION of boltpool's strategies beside other rules, and what one pick costs.

usage: balance.py [--seeds 5] [--arrivals 600000] [--json]

No server, socket or clock takes part in the first half: balance/balance.c plays events. Servers are queues in order of arrival with
8 workers, services lognormal (mean 10 ms, sigma 1) times the server's slowness, arrivals Poisson. In each seed all rules get the same
arrivals and services. The strategies are src/route's own code, with the number of workers as limit and the same constants
everywhere; `adaptive_k_half` and `adaptive_k_twice` are told half of and twice the right limit.

  slow_one      3 servers, one 3x slow, 80 % load
  three_speeds  20 servers that take 0.7, 1 and 1.8 times the mean, 85 %
  transient     8 servers, each 4x slower for 2 s every 20 s or so, 70 %
  equal         8 equal servers, 85 %

`least_connections` is what Neo4j's drivers do; peak_ewma (Finagle: decay 10 s) and power_of_two choose between two at random;
best_three picks one at random of the three with the least smoothed latency x (running + 1). A rule whose queues grew
through the run is marked: its figures depend on how long that was.

The second half is measured: the time of a pick among 16 endpoints at work, without reporting its start and end. Figures are medians
over the seeds, a ratio the median of the seeds' own. The table goes to stderr, unless --json; the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import peers

SCENARIOS = ("slow_one", "three_speeds", "transient", "equal")
RULES = ("adaptive", "least_connections", "round_robin", "weighted_round_robin", "performance_based", "peak_ewma", "power_of_two",
         "best_three", "adaptive_k_half", "adaptive_k_twice")
BASE = "least_connections"
# A mean delay of ten services means that queues don't end.
GROWING_MS = 100.0
PICK_ROUNDS = 5
Result = dict[str, float]


def build() -> Path:
    """The simulation with src/route's sources, because the library shows none of that."""
    root = peers.ROOT
    peers.OUT.mkdir(parents=True, exist_ok=True)
    program = peers.OUT / "balance"
    sources = [*sorted((root / "src/route").glob("*.c")), root / "src/base/random.c", root / "src/base/assert.c"]
    peers.need("gcc", "-O2", "-std=c17", "-D_GNU_SOURCE", "-DNDEBUG", "-Wall", "-Wextra", f"-I{root / 'include'}",
               f"-I{root / 'src'}", root / "bench/balance/balance.c", *sources, "-lm", "-o", program)
    return program


def run(program: Path, *arguments: str) -> Result:
    done = subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    result: Result = json.loads(done.stdout)
    return result


def print_table(results: dict[tuple[str, str], list[Result]]) -> None:
    print("A simulation; delays in ms, ratios to least_connections", file=sys.stderr)
    print(f"{'scenario':13} {'rule':21} {'mean':>8} {'p50':>8} {'p99':>9} {'p99.9':>9} {'mean/':>7} {'p99/':>7}  ejected",
          file=sys.stderr)
    for scenario in SCENARIOS:
        for rule in RULES:
            seen = results[scenario, rule]

            def median(key: str, seen: list[Result] = seen) -> float:
                return statistics.median(one[key] for one in seen)

            line = f"{scenario:13} {rule:21} {median('mean_ms'):8.2f} {median('p50_ms'):8.2f} {median('p99_ms'):9.1f} {median('p999_ms'):9.1f}"
            if median("mean_ms") > GROWING_MS:
                line += f" {'queues grow':>15}"
            else:
                line += f" {ratio(results, scenario, rule, 'mean_ms'):7.3f} {ratio(results, scenario, rule, 'p99_ms'):7.3f}"
            print(f"{line}  {median('ejected'):.0f}", file=sys.stderr)


def ratio(results: dict[tuple[str, str], list[Result]], scenario: str, rule: str, key: str) -> float:
    pairs = zip(results[scenario, rule], results[scenario, BASE], strict=True)
    return statistics.median(one[key] / other[key] for one, other in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arrivals", type=int, default=600_000)
    parser.add_argument("--json", action="store_true", help="no table")
    arguments = parser.parse_args()
    program = build()
    results: dict[tuple[str, str], list[Result]] = {}
    for seed in range(1, arguments.seeds + 1):
        for scenario in SCENARIOS:
            for rule in RULES:
                results.setdefault((scenario, rule), []).append(
                    run(program, "sim", scenario, rule, str(seed), str(arguments.arrivals)))
        print(f"balance: seed {seed} of {arguments.seeds}", file=sys.stderr)
    picks = [run(program, "pick", "16", "0.5") for _ in range(PICK_ROUNDS)]
    if not arguments.json:
        print_table(results)
        print(f"measured: a pick among 16 {statistics.median(one['pick_ns'] for one in picks):.0f} ns, with the reports of its start and "
              f"end {statistics.median(one['turn_ns'] for one in picks):.0f} ns", file=sys.stderr)
    figures = {
        "slow_one_p99_over_least_connections": ratio(results, "slow_one", "adaptive", "p99_ms"),
        "slow_one_mean_over_least_connections": ratio(results, "slow_one", "adaptive", "mean_ms"),
        "three_speeds_p99_over_least_connections": ratio(results, "three_speeds", "adaptive", "p99_ms"),
        "transient_p99_over_least_connections": ratio(results, "transient", "adaptive", "p99_ms"),
        "equal_p99_over_least_connections": ratio(results, "equal", "adaptive", "p99_ms"),
        "pick_ns_16": statistics.median(one["pick_ns"] for one in picks),
    }
    print(json.dumps({"simulation": True, **{key: round(value, 3) for key, value in figures.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
