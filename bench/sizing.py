#!/usr/bin/env python3
"""How busy the links of one pool can be while 99 of 100 requests wait for less than 5 ms.

usage: sizing.py [--seconds 40] [--links 50]

Poisson arrivals, exponential service with a mean of 10 ms at a simulated server, through `boltpool serve` on real
sockets. A wait is a transaction's latency at its client, counted from when it was due, without the time that the
server says it spent on it: pooler, sockets and the generator's own delays are all in it. Busy over open is that
service time, summed over the run, over links open at the server times seconds.

1. Runs step towards the load at which busy over open is 85 %; the last one gives both figures. Each begins with a
   new server and the same seeds, so that a step of the load is the only thing that changes.
2. The same with 10 links, where both can't be had: Erlang's formula for the wait in M/M/c stands beside it, with
   the most that 10 links can be used for p99 below 5 ms.
3. At a twentieth of that load a link is always idle: what the wait is then is what the pooler itself costs.

The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from stage import Idle, Stage, erlang_wait_ms, machine, say

SERVICE_MS = 10.0
WAIT_MS = 5.0
BUSY = 0.85
STEPS = 3
AIM = 0.852  # a little above, since the arrivals of one run are some thousandths more or fewer than their mean


def run(stage: Stage, links: int, busy: float, seconds: float) -> dict[str, Any]:
    """Offers so much that `busy` of the links would be at work by the service time alone."""
    rate = busy * links / SERVICE_MS * 1000
    sim = stage.sim("--seed", "11")
    daemon = stage.serve(sim, links)
    stage.wait_for_links(sim, links)
    stage.quiet.wait()
    idle = Idle([sim, daemon])
    result = stage.bench(
        daemon.port, seconds,
        [f"name=reads,rate={rate:.3f},mode=r,operation=inheritance_chain_read,clients=1000,service=exp:{SERVICE_MS:g}ms"],
        "--seed", "5", "--warmup", "2")
    shares = idle.shares()
    # Links that were closed again meanwhile count as open all the time, which only lowers the share.
    opened = stage.sim_stats(sim)["connections_max"]
    stage.end(daemon)
    stage.end(sim)
    stream = result["streams"][0]
    return {
        "rate": rate,
        "busy": stream["service_s"] / (opened * seconds),
        "open": opened,
        "service_ms": stream["service_ms"],
        "p50": stream["wait_ms"]["p50"],
        "p99": stream["wait_ms"]["p99"],
        "p999": stream["wait_ms"]["p99.9"],
        "bad": stream["offered"] - stream["good"],
        "no_client": stream["no_client"],
        "shares": shares,
    }


def most_busy(links: int) -> float:
    """By Erlang C the highest utilisation with a p99 wait of 5 ms."""
    low, high = 0.0, 0.9999
    for _ in range(50):
        middle = (low + high) / 2
        if erlang_wait_ms(links, middle, SERVICE_MS) <= WAIT_MS:
            low = middle
        else:
            high = middle
    return low


def row(title: str, links: int, seen: dict[str, Any]) -> None:
    theory = erlang_wait_ms(links, min(seen["busy"], 0.999), SERVICE_MS)
    say(f"{title:34} {links:5} {seen['open']:5} {seen['rate']:8.0f} {seen['busy']:10.3f} {seen['service_ms']:10.2f} {seen['p50']:7.2f} "
        f"{seen['p99']:7.2f} {seen['p999']:8.2f} {theory:10.2f} {seen['bad']:4} {seen['no_client']:7} {seen['shares']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--links", type=int, default=50)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a machine that does nothing else")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds}
    say(figures["machine"])
    say(f"{'':34} {'links':>5} {'open':>5} {'tx/s':>8} {'busy/open':>10} {'service ms':>10} {'p50 ms':>7} {'p99 ms':>7} {'p99.9 ms':>8} "
        f"{'Erlang p99':>10} {'bad':>4} {'no conn':>7} {Idle.HEAD}")
    with Stage(arguments.patience) as stage:
        low = run(stage, arguments.links, 0.05, min(arguments.seconds, 10))
        row("a link is idle", arguments.links, low)
        offered = AIM
        for step in range(STEPS):
            full = run(stage, arguments.links, offered, arguments.seconds)
            row(f"step {step + 1} towards 85 % busy", arguments.links, full)
            if BUSY <= full["busy"] <= AIM + 0.002:
                break
            offered *= AIM / full["busy"]
        few = run(stage, 10, AIM, arguments.seconds / 2)
        row("10 links at the same share", 10, few)
        calm = run(stage, 10, most_busy(10), arguments.seconds / 2)
        row("10 links at what Erlang allows", 10, calm)
    say()
    say(f"{arguments.links} links: busy over open {full['busy']:.3f} with a p99 wait of {full['p99']:.2f} ms. By Erlang C {most_busy(arguments.links):.3f} "
        f"is the most with {WAIT_MS:g} ms.")
    say(f"10 links: at {few['busy']:.3f} the p99 wait is {few['p99']:.1f} ms; for {WAIT_MS:g} ms they can be busy for {most_busy(10):.3f} by Erlang C "
        f"(measured at {calm['busy']:.3f}: {calm['p99']:.2f} ms). Both can't be had: with few links one long query is a large part of all, and nobody "
        f"ends soon enough for those that came meanwhile.")
    figures.update({
        "busy_over_open_50": round(full["busy"], 4),
        "p99_wait_ms_50": round(full["p99"], 3),
        "p99_wait_erlang_ms_50": round(erlang_wait_ms(arguments.links, full["busy"], SERVICE_MS), 3),
        "rate_50": round(full["rate"], 1),
        "acquire_p99_ms": round(low["p99"], 3),
        "busy_over_open_10": round(few["busy"], 4),
        "p99_wait_ms_10": round(few["p99"], 3),
        "both_at_10_links": few["busy"] >= BUSY and few["p99"] <= WAIT_MS,
        "busy_possible_10": round(most_busy(10), 4),
        "p99_wait_ms_10_at_possible": round(calm["p99"], 3),
        "idle_share": round(full["shares"].idle, 3),
        "others_share": round(full["shares"].others, 3),
        "stolen_share": round(full["shares"].stolen, 3),
        "not_good": full["bad"],
    })
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
