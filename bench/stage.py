"""What the benchmarks of the pool share: a simulated server, the daemon, the load generator, the machine's state.

Everything listens on 127.0.0.1 on free ports, lives in one temporary folder and is ended by its process id.
"""
from __future__ import annotations

import json
import math
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BOLTPOOL = ROOT / "build" / "boltpool"
CLASSES = ("read_only", "read_write", "analytics", "maintenance", "high_priority")
# One operation of each class, and the access mode that fits it.
OPERATIONS = {
    "read_only": ("inheritance_chain_read", "r"),
    "read_write": ("concept_update", "w"),
    "analytics": ("bulk_analytics", "r"),
    "maintenance": ("maintenance_operation", "w"),
    "high_priority": ("critical_operation", "w"),
}


def say(text: str = "") -> None:
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def machine() -> str:
    """The processor, the system and the commit, for whoever reads the figures."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = " ".join(line.partition(":")[2].split())
            break
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return (f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}, "
            f"boltpool {commit or 'of no repository'}")


TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ticks(pids: Sequence[int]) -> int:
    """What these processes, and all children that have ended, have used of the processors."""
    times = os.times()
    ticks = int((times.user + times.system + times.children_user + times.children_system) * TICKS)
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


@dataclass(frozen=True)
class Shares:
    """Of all cores' time: idle, taken by other processes than the benchmark's, taken by the hypervisor."""

    idle: float
    others: float
    stolen: float

    def __str__(self) -> str:
        return f"{self.idle:5.0%} {self.others:6.1%} {self.stolen:6.1%}"


class Idle:
    """Who had the machine's cores since it was made. Children that run count with their processes' ids only."""

    HEAD = f"{'idle':>5} {'others':>6} {'stolen':>6}"

    def __init__(self, processes: Sequence[Process] = ()) -> None:
        self.pids = [process.process.pid for process in processes]
        self.before, self.own = self.read(), cpu_ticks(self.pids)

    @staticmethod
    def read() -> list[int]:
        return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    def shares(self) -> Shares:
        spent = [after - before for before, after in zip(self.before, self.read())]
        total = max(sum(spent), 1)
        idle, stolen = spent[3] + spent[4], spent[7]
        others = max(total - idle - stolen - (cpu_ticks(self.pids) - self.own), 0)
        return Shares(idle / total, others / total, stolen / total)


class Quiet:
    """Waits for a machine that does nothing else, up to so many seconds over all calls: what a core is busy with meanwhile is
    measured as waiting here. How idle it was in the end stands in the tables."""

    IDLE = 0.9

    def __init__(self, patience_s: float) -> None:
        self.left_s = patience_s

    def wait(self) -> None:
        begin = time.monotonic()
        while True:
            idle = Idle()
            time.sleep(1)
            share = idle.shares().idle
            spent = time.monotonic() - begin
            if share >= self.IDLE or spent >= self.left_s:
                break
        self.left_s = max(self.left_s - spent, 0)
        if share < self.IDLE:
            say(f"(something else runs on this machine: {1 - share:.0%} of its time is taken)")


@dataclass(frozen=True)
class Process:
    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path


class Stage:
    """The processes of one benchmark; `with` ends them."""

    def __init__(self, patience_s: float = 30) -> None:
        self.quiet = Quiet(patience_s)
        # A connection for each transaction that waits: thousands in a burst.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.folder = Path(tempfile.mkdtemp(prefix="boltpool-bench-"))
        self.processes: list[Process] = []
        self.number = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self.processes):
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, port: int, command: Sequence[str | Path]) -> Process:
        self.number += 1
        log = self.folder / f"{name}-{self.number}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        started = Process(name, process, port, log)
        self.processes.append(started)
        try:
            wait_for_port(port, process)
        except RuntimeError as caught:
            raise RuntimeError(f"{name}: {caught}\n{log.read_text()}") from None
        return started

    def end(self, process: Process) -> None:
        if process.process.poll() is None:
            process.process.send_signal(signal.SIGTERM)
            try:
                process.process.wait(15)
            except subprocess.TimeoutExpired:
                process.process.kill()
                process.process.wait()

    def sim(self, *arguments: str) -> Process:
        port = free_port()
        return self.start("sim", port, [BOLTPOOL, "sim", "--port", str(port), "--report-service", *arguments])

    def serve(self, sim: Process, links: int, sections: str = "", options: str = "") -> Process:
        """The daemon in front of it, with all its links open and all classes free to claim."""
        port = free_port()
        self.number += 1
        path = self.folder / f"boltpool-{self.number}.ini"
        path.write_text(
            f"[boltpool]\nlog_level = warn\n"
            f"[cluster bench]\nlisten = 127.0.0.1:{port}\nendpoints = bolt://127.0.0.1:{sim.port}\n"
            f"max_links = {links}\nmin_idle_links = {links}\nqueue_notify_after = 0\n{options}\n"
            f"[users]\nclasses = {', '.join(CLASSES)}\n{sections}\n")
        return self.start("serve", port, [BOLTPOOL, "serve", "-c", path])

    def sim_stats(self, sim: Process) -> dict[str, int]:
        """What the server has counted: `connections`, `connections_max`, `committed`, `queries`, ..."""
        size = sim.log.stat().st_size
        sim.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            text = sim.log.read_text()[size:]
            if text.endswith("\n") and "port " in text:
                stats = {}
                for name, value, highest in re.findall(r"([a-z ]+) (\d+)(?: \(max (\d+)\))?", text.partition(":")[2]):
                    stats[name.strip().replace(" ", "_")] = int(value)
                    if highest:
                        stats[f"{name.strip()}_max"] = int(highest)
                return stats
            time.sleep(0.01)
        raise RuntimeError("the simulated server doesn't say what it has counted")

    def wait_for_links(self, sim: Process, links: int) -> int:
        """Waits until so many connections are open at the server; how many are."""
        until = time.monotonic() + 5
        while True:
            count = self.sim_stats(sim)["connections"]
            if count >= links or time.monotonic() > until:
                return count
            time.sleep(0.05)

    def bench(self, port: int, seconds: float, streams: Sequence[str], *arguments: str, samples: Path | None = None) -> dict[str, Any]:
        """One run of the load generator. That not all ended well is a result, not an error."""
        command: list[str | Path] = [BOLTPOOL, "bench", f"bolt://127.0.0.1:{port}", "-T", str(seconds), "--json", *arguments]
        for stream in streams:
            command += ["--stream", stream]
        if samples is not None:
            command += ["--samples", samples]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=seconds + 60)
        try:
            return dict(json.loads(done.stdout))
        except json.JSONDecodeError:
            raise RuntimeError(f"bench failed: {done.stderr}\n{done.stdout[:2000]}") from None


@dataclass(frozen=True)
class Sample:
    """One transaction of a stream; seconds from the end of the warm-up, waits in ms (None: not told)."""

    stream: str
    due_s: float
    latency_ms: float
    wait_ms: float | None
    fate: str


def samples_read(path: Path) -> list[Sample]:
    """In the order in which they were due."""
    samples = []
    with path.open() as lines:
        for line in lines:
            stream, due, latency, wait, fate = line.rstrip("\n").split("\t")
            samples.append(Sample(stream, int(due) / 1e6, int(latency) / 1e3, None if wait == "-1" else int(wait) / 1e3, fate))
    samples.sort(key=lambda sample: sample.due_s)
    return samples


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies; NaN of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else math.nan


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request waits; `load` is busy servers on average (arrivals a second x service)."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    share = load / servers
    return blocked / (1 - share * (1 - blocked))


def erlang_wait_ms(servers: int, utilisation: float, service_ms: float, share: float = 0.99) -> float:
    """The percentile of waiting in M/M/c."""
    waits = erlang_c(servers, servers * utilisation)
    if waits <= 1 - share:
        return 0.0
    return service_ms * math.log(waits / (1 - share)) / (servers * (1 - utilisation))
