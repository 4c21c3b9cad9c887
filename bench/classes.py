#!/usr/bin/env python3
"""Whether work of one class makes that of the others wait.

usage: classes.py [--cycle 30] [--long-seconds 15]

50 links, 10 ms for each query (lognormal), five classes with minima of 8 links for read_only, read_write and
high_priority (about what they use) and 2 for analytics and maintenance, no caps, and shares 4:4:2:1:5 (read_only,
read_write, analytics, maintenance, high_priority), through `boltpool serve` on real sockets:

* burst: 0.75 of what the links can do, a fifth of it for each class; for a third of the time analytics come four times as
  often, which is more than can be done. interactive_p99_wait_ms is the worst p99 wait of read_only, read_write and
  high_priority in that time; that of the whole cycle stands beside it.
* long: analytics that hold a link for 2 s, half as many again as there are links for, and read_only, read_write and
  high_priority at 60 % of their minima, each, for as long. interactive_p99_wait_long_ms is the worst p99 of these three.

Beside them, the same daemon with private pools (10 links for each class, no more and no less), and with one class for
everything, by rule: a single queue. A wait is a transaction's latency at its client, counted from when it was due,
without the time that the server says it spent on it. A class has a limited number of client connections; what is due
when none is free waits for one, and that counts as waiting, too.
The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from stage import CLASSES, OPERATIONS, Idle, Sample, Stage, machine, percentile, samples_read, say

LINKS, SERVICE_MS = 50, 10.0
MINIMA = {"read_only": 8, "read_write": 8, "analytics": 2, "maintenance": 2, "high_priority": 8}
SHARES = {"read_only": 4, "read_write": 4, "analytics": 2, "maintenance": 1, "high_priority": 5}
INTERACTIVE = ("read_only", "read_write", "high_priority")
LOAD, FACTOR = 0.75, 4
LONG_MS, LONG_LOAD = 2000, 1.5
CALM_SHARE = 0.6
# Enough for the waiters of the burst under each layout but the private one, whose queue grows to twice as many.
CLIENTS = {"analytics": 8000}
CLIENTS_OTHERS = 1600

LAYOUTS = {
    "boltpool": "".join(f"[class {name}]\nmin = {MINIMA[name]}\nmax = {LINKS}\nshare = {share}\nmax_waiting = 20000\n" for name, share in SHARES.items()),
    "private": "".join(f"[class {name}]\nmin = {LINKS // 5}\nmax = {LINKS // 5}\nmax_waiting = 20000\n" for name in SHARES),
    "fifo": "[rule everything]\nuser = *\nclass = read_write\n[class read_write]\nmax_waiting = 20000\n",
}


def stream(name: str, rate: float, service: str, extra: str = "") -> str:
    operation, mode = OPERATIONS[name]
    return (f"name={name},rate={rate:.3f},mode={mode},operation={operation},service={service},"
            f"clients={CLIENTS.get(name, CLIENTS_OTHERS)}{extra}")


def burst_streams(cycle: float) -> list[str]:
    rate = LOAD * LINKS / SERVICE_MS * 1000 / len(CLASSES)
    burst = f",burst={FACTOR}:{cycle / 3}:{2 * cycle / 3}"
    return [stream(name, rate, f"lognormal:{SERVICE_MS:g}ms:0.5", burst if name == "analytics" else "") for name in CLASSES]


def long_streams() -> list[str]:
    return [stream("analytics", LONG_LOAD * LINKS / LONG_MS * 1000, f"{LONG_MS}ms"),
            *(stream(name, CALM_SHARE * MINIMA[name] / SERVICE_MS * 1000, f"lognormal:{SERVICE_MS:g}ms:0.5") for name in INTERACTIVE)]


def p99(samples: list[Sample], name: str, begin: float = 0, end: float = 1e9) -> float:
    return percentile([s.wait_ms for s in samples if s.stream == name and begin <= s.due_s < end and s.wait_ms is not None], 0.99)


def run(stage: Stage, layout: str, streams: list[str], seconds: float, warmup: float) -> tuple[dict[str, Any], list[Sample]]:
    sim = stage.sim("--seed", "41")
    daemon = stage.serve(sim, LINKS, LAYOUTS[layout], "max_clients = 20000")
    stage.wait_for_links(sim, LINKS)
    path = stage.folder / "samples.tsv"
    stage.quiet.wait()
    idle = Idle([sim, daemon])
    result = stage.bench(daemon.port, seconds, streams, "--seed", "7", "--warmup", str(warmup), samples=path)
    shares = idle.shares()
    opened = stage.sim_stats(sim)["connections_max"]
    stage.end(daemon)
    stage.end(sim)
    samples = samples_read(path)
    path.unlink()
    served = sum(part["service_s"] for part in result["streams"])
    return {
        "streams": {part["name"]: part for part in result["streams"]},
        "bad": sum(part["offered"] - part["good"] for part in result["streams"] if part["name"] in INTERACTIVE),
        "no_client": {part["name"]: part["no_client"] for part in result["streams"] if part["no_client"]},
        "open": opened,
        "busy": served / (opened * seconds),
        "shares": shares,
    }, samples


def row(title: str, waits: dict[str, float], seen: dict[str, Any]) -> None:
    cells = " ".join(f"{waits[name]:13.2f}" if name in waits else f"{'-':>13}" for name in CLASSES)
    ran_out = ", ".join(f"{name} {count}" for name, count in seen["no_client"].items()) or "none"
    say(f"{title:25} {cells} {seen['open']:5} {seen['bad']:5} {seen['shares']}  {ran_out}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycle", type=float, default=30)
    parser.add_argument("--long-seconds", type=float, default=15)
    parser.add_argument("--layout", choices=LAYOUTS, action="append")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a machine that does nothing else")
    arguments = parser.parse_args()
    cycle = arguments.cycle
    figures: dict[str, Any] = {"machine": machine(), "cycle_s": cycle, "long_s": arguments.long_seconds}
    say(figures["machine"])
    header = (f"{'p99 wait in ms':25} " + " ".join(f"{name:>13}" for name in CLASSES) + f" {'links':>5} {'bad':>5} {Idle.HEAD}  "
              "waited for a connection")
    say(header)
    with Stage(arguments.patience) as stage:
        for layout in arguments.layout or LAYOUTS:
            name = "" if layout == "boltpool" else f"{layout}_"
            seen, samples = run(stage, layout, burst_streams(cycle), cycle, 1)
            whole = {part: p99(samples, part) for part in CLASSES}
            burst = {part: p99(samples, part, cycle / 3, 2 * cycle / 3) for part in CLASSES}
            calm = {part: p99(samples, part, 0, cycle / 3) for part in CLASSES}
            row(f"{layout}, whole cycle", whole, seen)
            row(f"{layout}, before the burst", calm, seen)
            row(f"{layout}, in the burst", burst, seen)
            figures[f"{name}interactive_p99_wait_ms"] = round(max(burst[part] for part in INTERACTIVE), 3)
            figures[f"{name}interactive_p99_wait_whole_cycle_ms"] = round(max(whole[part] for part in INTERACTIVE), 3)
            figures[f"{name}analytics_p99_wait_ms"] = round(whole["analytics"], 1)
            figures[f"{name}bad"] = seen["bad"]
            if not name:
                figures["idle_share"], figures["others_share"] = round(seen["shares"].idle, 3), round(seen["shares"].others, 3)
                figures["stolen_share"] = round(seen["shares"].stolen, 3)
        for layout in arguments.layout or LAYOUTS:
            name = "" if layout == "boltpool" else f"{layout}_"
            # The warm-up is longer than a long query, so that they hold what they may before it counts.
            seen, samples = run(stage, layout, long_streams(), arguments.long_seconds, 5)
            waits = {part: p99(samples, part) for part in (*INTERACTIVE, "analytics")}
            row(f"{layout}, long analytics", waits, seen)
            figures[f"{name}interactive_p99_wait_long_ms"] = round(max(waits[part] for part in INTERACTIVE), 3)
            figures[f"{name}bad_long"] = seen["bad"]
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
