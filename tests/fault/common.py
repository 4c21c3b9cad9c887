"""What the fault tests share: loads in several languages, and a look at the server from beside."""
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "driver"))

from bolt import Closed, Connection, connect  # noqa: E402
from harness import (  # noqa: E402, F401
    CACHE, PASSWORD, ROOT, Forwarder, Neo4j, Pooler, Report, ended, free_port, prepare_drivers, running, wait_for_port, watchdog, work)

LOADS: dict[str, list[str]] = {
    "py6": [str(CACHE / "py6/bin/python"), str(HERE / "load.py")],
    "js6": ["node", str(HERE / "load.js")],
    "go5": [str(CACHE / "go5/load")],
    "java5": ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp",
              f"{CACHE / 'java5-runner/classes'}:{CACHE / 'java5/lib/*'}", "Load"],
}


class Load:
    """A running load of one driver."""

    def __init__(self, driver: str, port: int, label: str, first: int, count: int, workers: int, retry: int = 120, scheme: str = "bolt") -> None:
        self.driver, self.first, self.count = driver, first, count
        self.log = work() / f"load-{driver}-{label}.log"
        arguments = [f"{scheme}://127.0.0.1:{port}", "neo4j", PASSWORD, label, str(first), str(count), str(workers), str(retry)]
        environment = {**os.environ, "DRIVER_MODULES": str(CACHE / "js6/node_modules")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(LOADS[driver] + arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)

    def result(self, timeout: float) -> dict[str, Any]:
        """What it prints at its end, which is now where its count is 0: that lasts until standard input is closed."""
        try:
            out, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.driver}: the load hangs\n{self.log.read_text()[-2000:]}") from None
        if self.process.returncode != 0:
            raise AssertionError(f"{self.driver}: the load ended with {self.process.returncode}\n{self.log.read_text()[-2000:]}")
        return json.loads(out)


class Sim:
    """A simulated server in a process of its own, of Neo4j's user and password."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        binary = os.environ.get("BOLTPOOL", str(ROOT / "build" / "boltpool"))
        command = [binary, "sim", "-p", str(self.port), "-a", f"neo4j:{PASSWORD}", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        running(self.stop)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        ended(self.stop)
        self.process.kill()
        self.process.wait()


class Wire(Forwarder):
    """A forwarder whose connections can be cut, hung and slowed one by one; see forward.py."""

    def __init__(self, upstream: int) -> None:
        self.control_port = free_port()
        super().__init__(upstream, str(self.control_port))
        wait_for_port(self.control_port, self.process)
        self.control = socket.create_connection(("127.0.0.1", self.control_port)).makefile("rw")

    def tell(self, *words: object) -> dict[int, dict[str, Any]]:
        """Does it, and returns all connections by their numbers."""
        print(*words, file=self.control, flush=True)
        return {int(number): wire for number, wire in json.loads(self.control.readline()).items()}


def written(port: int, label: str) -> list[tuple[int, int]]:
    """All (id, attempt) in the database, read directly."""
    with connect(port, (4, 4)) as server:
        return [(row[0], row[1]) for row in server.run(f"MATCH (n:{label}) RETURN n.id, n.attempt")]


def connections(server: Connection) -> int:
    """How many other connections the server itself counts."""
    return server.run("CALL dbms.listConnections() YIELD connectionId RETURN count(connectionId)")[0][0] - 1


def sockets(pid: int, port: int) -> int:
    """How many established connections to the port a process has, by the kernel's count."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = line.split()
        if cells[3] == "01" and int(cells[2].split(":")[1], 16) == port and cells[9] in inodes:
            found += 1
    return found


def spread(text: str, limit: int = 10) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:limit] + ([f"... and {len(lines) - limit} more"] if len(lines) > limit else []))
