"""What the benchmarks of the library share: building our programs and the peers', and running them in turns.

Built programs go to build/bench, what is downloaded to ${BOLTPOOL_CACHE:-~/.cache/boltpool}/bench. A peer that can't be had is
an error, never a figure less.
"""
from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench"
CACHE = Path(os.environ.get("BOLTPOOL_CACHE", Path.home() / ".cache" / "boltpool")) / "bench"
# Longer than any case: a peer that hangs is killed.
CASE_SECONDS = 60
# Where rustup puts a newer one than Debian's.
os.environ["PATH"] = f"{Path.home() / '.cargo' / 'bin'}:{os.environ['PATH']}"


def need(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Runs a command that has to succeed; what it prints goes to stderr."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, stdout=sys.stderr)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(str(part) for part in command)}")


def build_c(name: str, source: Path) -> Path:
    """A C program, which is linked with the built library unless it is a peer that needs none."""
    OUT.mkdir(parents=True, exist_ok=True)
    library = ROOT / "build"
    program = OUT / name
    need("gcc", "-O2", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", f"-I{ROOT / 'include'}", source, "-o", program,
         f"-L{library}", "-Wl,--as-needed", "-lboltpool", f"-Wl,-rpath,{library}", "-pthread")
    return program


def build_java(name: str, *sources: Path) -> list[str | Path]:
    """A Java program with HikariCP, as a command."""
    jars = CACHE / "hikaricp-7.1.0"
    classes = OUT / name
    if not list(jars.glob("HikariCP-*.jar")):
        need("mvn", "-B", "-q", "-f", ROOT / "bench/acquire/java/pom.xml", "dependency:copy-dependencies",
             f"-DoutputDirectory={jars}", "-DincludeScope=runtime")
    classes.mkdir(parents=True, exist_ok=True)
    need("javac", "-d", classes, "-cp", f"{jars}/*", *sources)
    return ["java", "-cp", f"{classes}:{jars}/*"]


def build_deadpool() -> Path:
    version = subprocess.run(["cargo", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    match = re.search(r"(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < (1, 85):
        sys.exit(f"deadpool 0.13 needs Rust 1.85 or newer (https://rustup.rs); this is {version.strip()}")
    target = CACHE / "deadpool"
    need("cargo", "build", "--release", "--quiet", "--locked", cwd=ROOT / "bench/acquire/rust",
         env=dict(os.environ, CARGO_TARGET_DIR=str(target)))
    return target / "release" / "acquire-deadpool"


def fine_timers() -> None:
    """A timer slack of 1 us (the kernel's default is 50), for all that is started from here: a sleep of 100 us takes about 100."""
    if ctypes.CDLL(None, use_errno=True).prctl(29, 1000, 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_TIMERSLACK) failed")


def run(*command: str | Path) -> dict[str, float]:
    """One case of one program: the JSON object that it prints."""
    try:
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, timeout=CASE_SECONDS)
    except subprocess.TimeoutExpired:
        sys.exit(f"longer than {CASE_SECONDS} s: {' '.join(str(part) for part in command)}")
    if done.returncode != 0:
        sys.exit(f"failed ({done.returncode}): {' '.join(str(part) for part in command)}")
    result: dict[str, float] = json.loads(done.stdout)
    return result
