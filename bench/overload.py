#!/usr/bin/env python3
"""What becomes of good work when twice as much is asked for as can be done.

usage: overload.py [--seconds 20] [--skip-peer] [--skip-retries]

A simulated server with 32 links takes 40 ms on average (lognormal) for a transaction (BEGIN, RUN, COMMIT): 800 a second
are possible. For 20 s 0.8 of that is offered at random times, for 20 s twice that, for 20 s 0.8 again, and whatever
ends later than 500 ms after it was due is of no use. Real sockets:

* boltpool: `boltpool serve`, its class with `deadline = 500ms`;
* semaphore: as many connections as links, taken in order by those who wait, who give up after 500 ms; what drivers
  and most pools do. The load generator's own, directly on the same kind of server.

goodput_of_capacity: good transactions that ended in the overload, over 20 s x links / service time. That is the mean that
the server says it spent on those; goodput_of_nominal_capacity is the same over the 40 ms that it was asked for, which a
random draw may miss by some thousandths.
recovery_ms: after the end of the overload, until the window of 100 ms that begins there (moved in steps of 10 ms) is
normal: a p99 wait of at most twice that of the first phase or 5 ms, and at least 98 of 100 good.

Then 200 clients of the official Python and Go drivers do managed transactions that retry, paced so that twice the
capacity would be asked for, at 20 links and 100 ms, so that all together they wait for longer than the deadline where
nothing is refused; goodput_with_retries is what was committed by an attempt of at most 500 ms, over capacity. The
server's own count of commits stands beside it.
The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import bisect
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from stage import ROOT, Idle, Process, Sample, Stage, machine, percentile, samples_read, say

LINKS, SERVICE_MS = 32, 40.0
CAPACITY = LINKS / SERVICE_MS * 1000
DEADLINE_MS = 500
CALM, OVER = 0.8, 2.0
CLASS = f"[class read_write]\ndeadline = {DEADLINE_MS}ms\n"
RETRY_LINKS, RETRY_SERVICE_MS = 20, 100.0
RETRY_CAPACITY = RETRY_LINKS / RETRY_SERVICE_MS * 1000
CLIENTS = 200
RETRY_WARMUP, RETRY_SECONDS = 6.0, 20.0


class Waits:
    """Waits and fates by the time at which transactions were due."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.due = [sample.due_s for sample in samples]

    def window(self, begin: float, end: float) -> list[Sample]:
        return self.samples[bisect.bisect_left(self.due, begin):bisect.bisect_left(self.due, end)]


def p99(samples: list[Sample]) -> float:
    return percentile([sample.wait_ms for sample in samples if sample.wait_ms is not None], 0.99)


def recovery_ms(waits: Waits, seconds: float, normal_ms: float) -> float:
    """When the waits are normal again; the rest of the run where they never are."""
    end = 2 * seconds
    for step in range(int((seconds - 0.1) * 100)):
        window = waits.window(end + step / 100, end + step / 100 + 0.1)
        good = sum(sample.fate == "good" for sample in window)
        if window and good >= 0.98 * len(window) and p99(window) <= normal_ms:
            return step * 10.0
    return seconds * 1000


def phases(waits: Waits, seconds: float, result: dict[str, Any]) -> dict[str, Any]:
    """What the three phases come to."""
    first = waits.window(min(2.0, seconds / 4), seconds)
    over = waits.window(seconds, 2 * seconds)
    ended = [s for s in waits.samples if s.fate == "good" and seconds <= s.due_s + s.latency_ms / 1000 < 2 * seconds]
    service_ms = sum(s.latency_ms - (s.wait_ms or 0) for s in ended) / max(len(ended), 1)
    normal_ms = max(2 * p99(first), 5.0)
    stream = result["streams"][0]
    return {
        "first_p99_ms": p99(first),
        "good_calm": sum(s.fate == "good" for s in first) / max(len(first), 1),
        "offered": len(over),
        "good": len(ended),
        "late": sum(s.fate == "late" for s in over),
        "refused": sum(s.fate in ("refused", "timed_out") for s in over),
        "broken": sum(s.fate == "broken" for s in waits.samples),
        "goodput": len(ended) * service_ms / 1000 / (LINKS * seconds),
        "goodput_nominal": len(ended) / (CAPACITY * seconds),
        "over_p99_ms": p99(over),
        "refusal_ms": stream["refusal_ms"]["p50"],
        "refusal_p99_ms": stream["refusal_ms"]["p99"],
        "no_client": stream["no_client"],
        "service_ms": service_ms,
        "recovery_ms": recovery_ms(waits, seconds, normal_ms),
    }


def phases_run(stage: Stage, processes: list[Process], port: int, seconds: float, clients: int, *arguments: str) -> dict[str, Any]:
    samples = stage.folder / "samples.tsv"
    stage.quiet.wait()
    idle = Idle(processes)
    stream = (f"name=writes,rate={CALM * CAPACITY},clients={clients},mode=w,explicit=1,operation=concept_update,good={DEADLINE_MS}ms,"
              f"service=lognormal:{SERVICE_MS:g}ms:0.5,burst={OVER / CALM}:{seconds}:{2 * seconds}")
    result = stage.bench(port, 3 * seconds, [stream], "--warmup", "1", "--seed", "3", *arguments, samples=samples)
    seen = phases(Waits(samples_read(samples)), seconds, result)
    seen["shares"] = idle.shares()
    samples.unlink()
    return seen


def boltpool_run(stage: Stage, seconds: float) -> dict[str, Any]:
    sim = stage.sim("--seed", "21")
    daemon = stage.serve(sim, LINKS, CLASS)
    stage.wait_for_links(sim, LINKS)
    seen = phases_run(stage, [sim, daemon], daemon.port, seconds, 4000)
    seen["links"] = stage.sim_stats(sim)["connections_max"]
    stage.end(daemon)
    stage.end(sim)
    return seen


def semaphore_run(stage: Stage, seconds: float) -> dict[str, Any]:
    sim = stage.sim("--seed", "21")
    seen = phases_run(stage, [sim], sim.port, seconds, LINKS, "--queue-timeout", f"{DEADLINE_MS}ms")
    seen["links"] = stage.sim_stats(sim)["connections_max"]
    stage.end(sim)
    return seen


# Clients of real drivers


def drivers_fetch() -> tuple[Path, Path]:
    """The Python of the driver's folder, and the Go program."""
    cache = Path(os.environ.get("BOLTPOOL_CACHE") or Path.home() / ".cache" / "boltpool")
    subprocess.run([ROOT / "scripts/setup.sh", "test"], check=True, stdout=sys.stderr)
    subprocess.run([ROOT / "scripts/drivers.sh", "py6", "go5"], check=True, stdout=sys.stderr)
    return cache / "py6" / "bin" / "python", cache / "go5" / "paced"


def clients_start(daemon: Process, begin: float) -> list[tuple[str, subprocess.Popen[str]]]:
    """Two Python processes with 50 clients each, since one has one core at most, and a Go one with 100."""
    python, go = drivers_fetch()
    query = f"CREATE (n:Paced) /* sim: service=lognormal:{RETRY_SERVICE_MS:g}ms:0.5 */"
    rate = OVER * RETRY_CAPACITY
    parts: list[tuple[str, list[str | Path], int]] = [
        ("Python", [python, ROOT / "bench/paced.py"], CLIENTS // 4),
        ("Python", [python, ROOT / "bench/paced.py"], CLIENTS // 4),
        ("Go", [go], CLIENTS // 2),
    ]
    started = []
    for number, (name, program, clients) in enumerate(parts):
        command = [*program, f"bolt://127.0.0.1:{daemon.port}", clients, rate * clients / CLIENTS, begin, RETRY_WARMUP, RETRY_SECONDS, number,
                   DEADLINE_MS / 1000, query]
        started.append((name, subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)))
    return started


def retries_run(stage: Stage) -> dict[str, Any]:
    drivers_fetch()
    sim = stage.sim("--seed", "31")
    daemon = stage.serve(sim, RETRY_LINKS, CLASS)
    stage.wait_for_links(sim, RETRY_LINKS)
    stage.quiet.wait()
    begin = time.time() + 3
    clients = clients_start(daemon, begin)
    results: dict[str, dict[str, float]] = {}
    try:
        time.sleep(max(begin + RETRY_WARMUP - time.time(), 0))
        idle, before = Idle([sim, daemon]), stage.sim_stats(sim)["committed"]
        time.sleep(max(begin + RETRY_WARMUP + RETRY_SECONDS - time.time(), 0))
        server, shares = stage.sim_stats(sim)["committed"] - before, idle.shares()
        for name, process in clients:
            out, _ = process.communicate(timeout=60)
            if process.returncode != 0:
                raise RuntimeError(f"{name} clients ended with {process.returncode}")
            for key, value in json.loads(out).items():
                sums = results.setdefault(name, {})
                sums[key] = sums.get(key, 0) + value
    finally:
        for _, process in clients:
            if process.poll() is None:
                process.kill()
            process.wait()
        stage.end(daemon)
        stage.end(sim)
    total = {key: sum(part[key] for part in results.values()) for key in results["Go"]}
    return {
        "drivers": results,
        "total": total,
        "server": server,
        "goodput": total["good"] / (RETRY_CAPACITY * RETRY_SECONDS),
        "goodput_server": server / (RETRY_CAPACITY * RETRY_SECONDS),
        "refusals_per_tx": total["retries"] / max(total["good"] + total["late"], 1),
        "shares": shares,
    }


def phases_say(name: str, seen: dict[str, Any]) -> None:
    say(f"{name:10} {seen['links']:5} {seen['good_calm']:9.1%} {seen['first_p99_ms']:8.2f} {seen['offered']:8} {seen['good']:7} {seen['late']:6} "
        f"{seen['refused']:8} {seen['broken']:6} {seen['goodput']:8.3f} {seen['goodput_nominal']:8.3f} {seen['over_p99_ms']:8.1f} "
        f"{seen['refusal_ms']:7.2f} {seen['refusal_p99_ms']:7.2f} {seen['recovery_ms']:9.0f} {seen['no_client']:7} {seen['shares']}")


def retries_say(seen: dict[str, Any]) -> None:
    say()
    say(f"{CLIENTS} clients that retry, {RETRY_LINKS} links, {RETRY_SERVICE_MS:g} ms: {RETRY_CAPACITY:g} a second are possible, "
        f"{OVER * RETRY_CAPACITY:g} would be asked for")
    say(f"{'driver':10} {'good':>7} {'late':>7} {'failed':>7} {'refusals':>9} {'a tx':>6}")
    for name, part in (*seen["drivers"].items(), ("both", seen["total"])):
        say(f"{name:10} {part['good']:7} {part['late']:7} {part['failed']:7} {part['retries']:9} {part['retries'] / max(part['good'] + part['late'], 1):6.2f}")
    say(f"good of capacity {seen['goodput']:.3f} (committed by the server's count {seen['goodput_server']:.3f}); machine idle {seen['shares'].idle:.0%}, stolen {seen['shares'].stolen:.1%}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--skip-peer", action="store_true")
    parser.add_argument("--skip-retries", action="store_true")
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a machine that does nothing else")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds}
    say(figures["machine"])
    say(f"{LINKS} links, {SERVICE_MS:g} ms: {CAPACITY:g} a second are possible; {arguments.seconds:g} s each at {CALM}, {OVER} and {CALM} of that; "
        f"later than {DEADLINE_MS} ms is too late")
    say(f"{'':10} {'conns':>5} {'calm good':>9} {'p99 ms':>8} {'offered':>8} {'good':>7} {'late':>6} {'refused':>8} {'broken':>6} {'of cap.':>8} "
        f"{'nominal':>8} {'p99 ms':>8} {'ref p50':>7} {'ref p99':>7} {'recov. ms':>9} {'no conn':>7} {Idle.HEAD}")
    with Stage(arguments.patience) as stage:
        pooled = boltpool_run(stage, arguments.seconds)
        phases_say("boltpool", pooled)
        figures.update({
            "goodput_of_capacity": round(pooled["goodput"], 4),
            "goodput_of_nominal_capacity": round(pooled["goodput_nominal"], 4),
            "service_ms": round(pooled["service_ms"], 3),
            "recovery_ms": pooled["recovery_ms"],
            "refusal_ms": round(pooled["refusal_ms"], 3),
            "refusal_p99_ms": round(pooled["refusal_p99_ms"], 3),
            "late": pooled["late"],
            "idle_share": round(pooled["shares"].idle, 3),
            "others_share": round(pooled["shares"].others, 3),
            "stolen_share": round(pooled["shares"].stolen, 3),
        })
        if not arguments.skip_peer:
            peer = semaphore_run(stage, arguments.seconds)
            phases_say("semaphore", peer)
            figures["semaphore_goodput_of_capacity"] = round(peer["goodput"], 4)
            figures["semaphore_recovery_ms"] = peer["recovery_ms"]
        if not arguments.skip_retries:
            retries = retries_run(stage)
            retries_say(retries)
            figures.update({
                "goodput_with_retries": round(retries["goodput"], 4),
                "committed_with_retries_by_server": round(retries["goodput_server"], 4),
                "refusals_per_transaction": round(retries["refusals_per_tx"], 3),
                "failed_with_retries": retries["total"]["failed"],
            })
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
