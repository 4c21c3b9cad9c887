"""What all tests on real servers share: servers, the pooler, ports, a report.

Everything started here listens on 127.0.0.1, is stopped by its process id, and
lives in one temporary folder, which is kept if something failed.
"""
from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("BOLTPOOL_CACHE") or Path.home() / ".cache" / "boltpool")
# Where the programs under test were built.
BUILD = Path(os.environ.get("BOLTPOOL") or ROOT / "build" / "boltpool").resolve().parent
PASSWORD = "testpass1"
V44, V5, V2026 = "4.4.48", "5.26.30", "2026.08.1"

_work: Path | None = None
_keep = False


def work() -> Path:
    """The temporary folder of this run."""
    global _work
    if _work is None:
        _work = Path(tempfile.mkdtemp(prefix="boltpool-test."))
    return _work


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process and process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode} before it listened")
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens on {port} after {seconds} s")
        time.sleep(0.05)


def watchdog(seconds: float) -> None:
    """Ends a program that hangs, and shows where."""
    faulthandler.enable()

    def fire() -> None:
        print(f"watchdog: still running after {seconds} s", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(all_threads=True)
        for stop in list(_running):
            stop()
        print("0 passed, 1 failed", flush=True)
        os._exit(3)

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()


_running: list = []


def running(stop: Callable[[], None]) -> None:
    """Something was started that `stop` ends, at the latest when this program does."""
    _running.append(stop)


def ended(stop: Callable[[], None]) -> None:
    with contextlib.suppress(ValueError):
        _running.remove(stop)


def _on_exit() -> None:
    for stop in list(_running):
        stop()
    if _work and not _keep:  # only now: servers are stopped by the ids that lie in it
        shutil.rmtree(_work, ignore_errors=True)


atexit.register(_on_exit)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Neo4j:
    """One real server. `restart` after `kill` finds the same data."""

    def __init__(self, version: str = V5, *, tls: bool = False, conf: dict[str, str] | None = None, heap: str = "256m") -> None:
        self.version = version
        self.port = free_port()
        self.home = work() / f"neo4j-{version}-{self.port}"
        interval = "db" if not version.startswith("4.") else "dbms"
        # Timed-out transactions are looked for often, so that tests of timeouts are short. Wrong
        # passwords never lock a user out for long: many tests try some at once.
        lines = {f"{interval}.transaction.monitor.check.interval": "100ms", "dbms.security.auth_lock_time": "1s", **(conf or {})}
        self.environment = {"NEO4J_VERSION": version, "NEO4J_PASSWORD": PASSWORD, "NEO4J_HEAP": heap, "NEO4J_TLS": "1" if tls else "",
                            "NEO4J_CONF_EXTRA": "\n".join(f"{key}={value}" for key, value in lines.items())}
        self.start()

    def start(self) -> None:
        _running.append(self.kill)
        subprocess.run([ROOT / "scripts/neo4j.sh", "start", str(self.port), str(self.home)], check=True,
                       env={**os.environ, **self.environment}, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """kill -9."""
        subprocess.run([ROOT / "scripts/neo4j.sh", "stop", str(self.home)], check=False)
        with contextlib.suppress(ValueError):
            _running.remove(self.kill)

    @property
    def ca(self) -> Path:
        return self.home / "tls" / "ca.crt"


class Pooler:
    """boltpool in front of one server. Options are those of its configuration file."""

    def __init__(self, upstream: int, *, scheme: str = "bolt", loops: int = 2, extra: str = "", log_level: str = "info", **options: object) -> None:
        self.port = free_port()
        # The port may be one that an earlier pooler had.
        self.folder = Path(tempfile.mkdtemp(prefix=f"boltpool-{self.port}-", dir=work()))
        self.log = self.folder / "log"
        self.settings = {"listen": f"127.0.0.1:{self.port}", "endpoints": f"{scheme}://127.0.0.1:{upstream}", "max_links": 8, **options}
        self.head = f"[boltpool]\nloops = {loops}\nlog_level = {log_level}\n"
        self.extra = extra
        self.write()
        binary = os.environ.get("BOLTPOOL", str(ROOT / "build" / "boltpool"))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([binary, "serve", "-c", self.folder / "boltpool.ini"], stdout=log, stderr=log)
        _running.append(self.kill)
        try:
            wait_for_port(self.port, self.process)
        except RuntimeError:
            print(self.log.read_text(), file=sys.stderr)
            raise

    def write(self) -> None:
        lines = "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        (self.folder / "boltpool.ini").write_text(f"{self.head}\n[cluster main]\n{lines}\n{self.extra}\n")

    def reload(self, **options: object) -> None:
        self.settings.update(options)
        self.write()
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        with contextlib.suppress(ValueError):
            _running.remove(self.kill)
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM; whatever way it ends, a bad end is an error (sanitizers report by their exit status)."""
        with contextlib.suppress(ValueError):
            _running.remove(self.kill)
        if self.process.poll() is not None:
            raise RuntimeError(f"boltpool had ended with {self.process.returncode}:\n{self.tail()}")
        self.process.terminate()
        try:
            code = self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError(f"boltpool did not end after SIGTERM:\n{self.tail()}") from None
        if code != 0:
            raise RuntimeError(f"boltpool ended with {code}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class Forwarder:
    """A plain TCP forwarder in the pooler's place: shows that a test accepts what is right."""

    def __init__(self, upstream: int, *more: str, **_: object) -> None:
        self.port = free_port()
        program = str(Path(__file__).with_name("forward.py"))
        self.process = subprocess.Popen([sys.executable, program, str(self.port), str(upstream), *more])
        _running.append(self.stop)
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        with contextlib.suppress(ValueError):
            _running.remove(self.stop)
        self.process.kill()
        self.process.wait()

    kill = stop

    def tail(self) -> str:
        return ""


class Report:
    """One line for each check, the counts at the end, and the exit status."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        self._lock = threading.Lock()

    def ok(self, name: str, note: str = "") -> None:
        with self._lock:
            self.passed += 1
            print(f"ok    {name}{'  ' + note if note else ''}", flush=True)

    def fail(self, name: str, why: str) -> None:
        global _keep
        with self._lock:
            self.failed += 1
            _keep = True
            print(f"FAIL  {name}\n        " + why.replace("\n", "\n        "), flush=True)

    def check(self, name: str, condition: object, why: str = "") -> None:
        if condition:
            self.ok(name)
        else:
            self.fail(name, why or "does not hold")

    @contextlib.contextmanager
    def case(self, name: str) -> Iterator[None]:
        """A block that must not raise."""
        began = time.monotonic()
        try:
            yield
        except Exception as caught:  # noqa: BLE001 - any error is a failed check
            import traceback
            self.fail(name, "".join(traceback.format_exception(caught)[-3:]).rstrip())
        else:
            self.ok(name, f"({time.monotonic() - began:.1f} s)")

    def end(self) -> int:
        if self.failed:
            print(f"kept for a look: {work()}")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def prepare_drivers(*names: str) -> None:
    subprocess.run([ROOT / "scripts/drivers.sh", *names], check=True)
