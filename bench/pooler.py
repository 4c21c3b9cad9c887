#!/usr/bin/env python3
"""`boltpool bench` directly, through boltpool, and through HAProxy in TCP mode, side by side.

usage: pooler.py [--rounds 5] [--seconds 3]

Two servers stand behind: a real Neo4j 5.26 with authentication, and a simulated one that answers at
once, so that the pooler isn't hidden by the database. In each round the three ways take turns; a figure
is the median over the rounds, a ratio the median of the rounds' own ratios, because the machine may be
shared. Transactions may fail (300 clients directly
exhaust a small server's memory): how many is a figure, too. The proxies' CPU is read from /proc. The table goes to stderr, the last line of stdout is JSON.
"""
from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOLTPOOL = ROOT / "build" / "boltpool"
PASSWORD = "benchpass1"
WAYS = ("direct", "boltpool", "haproxy")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """One kind of load; `arguments` go to `boltpool bench`."""

    name: str
    title: str
    server: str
    arguments: tuple[str, ...]


LOADS = (
    Load("sim_1", "simulated, 1 client, auto-commit", "sim", ("-c", "1")),
    Load("sim_16", "simulated, 16 clients, auto-commit", "sim", ("-c", "16")),
    Load("sim_500", "simulated, 500 clients, auto-commit", "sim", ("-c", "500")),
    Load("neo4j_16", "Neo4j, 16 clients, auto-commit", "neo4j", ("-c", "16")),
    Load("neo4j_16_tx", "Neo4j, 16 clients, BEGIN RUN COMMIT", "neo4j", ("-c", "16", "--explicit")),
    Load("neo4j_300", "Neo4j, 300 clients, auto-commit", "neo4j", ("-c", "300")),
    Load("neo4j_connect", "Neo4j, 16 clients that connect each time", "neo4j", ("-c", "16", "--reconnect")),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Stage:
    """The servers and the proxies; all on 127.0.0.1, all ended by close()."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="boltpool-bench-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pids: dict[str, int] = {}
        self.ports: dict[tuple[str, str], int] = {}

    def start(self, name: str, *command: str | Path) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        self.processes.append(process)
        self.pids[name] = process.pid

    def open(self) -> None:
        neo4j, sim = free_port(), free_port()
        self.ports["neo4j", "direct"], self.ports["sim", "direct"] = neo4j, sim
        environment = dict(os.environ, NEO4J_PASSWORD=PASSWORD, NEO4J_HEAP="512m")
        subprocess.run(
            [ROOT / "scripts/neo4j.sh", "start", str(neo4j), self.folder / "neo4j"],
            check=True, env=environment, stdout=subprocess.DEVNULL)
        self.start("sim", BOLTPOOL, "sim", "--port", str(sim), "--auth", f"neo4j:{PASSWORD}")
        wait_for_port(sim)
        pool, proxy = self.folder / "boltpool.ini", self.folder / "haproxy.cfg"
        pool.write_text("[boltpool]\nlog_level = warn\nqueue_notify_after = 0\n")
        proxy.write_text(
            "global\n  maxconn 4000\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n"
            "  timeout client 60s\n  timeout server 60s\n  option clitcpka\n")
        for server, target in (("neo4j", neo4j), ("sim", sim)):
            a, b = free_port(), free_port()
            self.ports[server, "boltpool"], self.ports[server, "haproxy"] = a, b
            with pool.open("a") as out:
                out.write(f"[cluster {server}]\nlisten = 127.0.0.1:{a}\nmax_links = 16\n"
                          f"endpoints = bolt://127.0.0.1:{target}\n")
            with proxy.open("a") as out:
                out.write(f"listen {server}\n  bind 127.0.0.1:{b}\n  server s 127.0.0.1:{target}\n")
        self.start("boltpool", BOLTPOOL, "serve", "-c", pool)
        self.start("haproxy", "haproxy", "-f", proxy)
        for port in self.ports.values():
            wait_for_port(port)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        subprocess.run([ROOT / "scripts/neo4j.sh", "stop", self.folder / "neo4j"], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def measure(stage: Stage, load: Load, way: str, seconds: float) -> dict[str, float]:
    port = stage.ports[load.server, way]
    pid = stage.pids.get(way)
    before = cpu_seconds(pid) if pid else 0.0
    done = subprocess.run(
        [BOLTPOOL, "bench", f"bolt://neo4j:{PASSWORD}@127.0.0.1:{port}", "-T", str(seconds), "-j", "1", "--mode", "r",
         "--query", "RETURN 1 AS x", "--json", *load.arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{load.name} {way}: bench failed\n{done.stderr}\n{done.stdout}")
    used = cpu_seconds(pid) - before if pid else 0.0
    return {
        "tx_s": result["tps"],
        "p50_us": result["latency_ms"]["p50"] * 1000,
        "p99_us": result["latency_ms"]["p99"] * 1000,
        "failed": result["failed"],
        "cpu_us": used / max(result["committed"], 1) * 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    stage = Stage()
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    try:
        stage.open()
        for way in WAYS:  # warm up the server's compiler
            measure(stage, LOADS[3], way, 4)
        for _ in range(arguments.rounds):
            for load in LOADS:
                for way in WAYS:
                    seen.setdefault((load.name, way), []).append(measure(stage, load, way, arguments.seconds))
    finally:
        stage.close()
    figures: dict[str, float] = {}
    print(f"{'load':42} {'way':9} {'tx/s':>9} {'p50 us':>8} {'p99 us':>8} {'failed':>7} {'cpu us/tx':>10} {'tx/s over direct':>17}",
          file=sys.stderr)
    for load in LOADS:
        for way in WAYS:
            rounds = seen[load.name, way]
            median = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            ratio = statistics.median(
                r["tx_s"] / d["tx_s"] for r, d in zip(rounds, seen[load.name, "direct"]))
            print(f"{load.title:42} {way:9} {median['tx_s']:9.0f} {median['p50_us']:8.0f} {median['p99_us']:8.0f} {median['failed']:7.0f} "
                  f"{median['cpu_us'] or float('nan'):10.1f} {ratio:17.2f}", file=sys.stderr)
            for key, value in median.items():
                figures[f"{load.name}_{way}_{key}"] = round(value, 2)
            if way != "direct":
                figures[f"{load.name}_{way}_over_direct"] = round(ratio, 3)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
