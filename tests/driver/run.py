#!/usr/bin/env python3
"""The official drivers and our own client, directly and through boltpool: what an application sees must be the same.

Starts real servers, runs each driver's program of shared scenarios (scenarios.md)
once against the server and once against the pooler in front of it, and compares
the results. A line for each scenario; the last line counts.

    run.py [--all] [--driver NAME]... [--server VERSION]... [--only REGEX]
           [--direct] [--pooler boltpool|forward] [--no-tls]

--direct runs no pooler: do the scenarios hold on the server itself?
--pooler forward puts a plain TCP forwarder in the pooler's place.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import BUILD, CACHE, PASSWORD, V5, V44, V2026, Forwarder, Neo4j, Pooler, Report, prepare_drivers, watchdog, work

HERE = Path(__file__).parent
DRIVERS = ("c", "py5", "py6", "js5", "js6", "go5", "java5")
# What a TLS run repeats: several sizes, several connections, an error, every scheme.
TLS_SUBSET = "^(tx_commit|values_large|result_50000|result_closed_early|auth_two_users|schemes|error_syntax|parallel)$"
# On the oldest server only what its Bolt 4.4 does in its own way.
OLD_SUBSET = "^(values_|tx_|error_|auth_|managed|summary_|server_info|schemes|result_closed|result_two|bookmarks|parallel|liveness)"


@dataclass(frozen=True)
class Job:
    """One driver's program on one server."""

    server: str
    driver: str
    only: str = ""
    tls: bool = False

    @property
    def name(self) -> str:
        return f"{self.server} {self.driver}{' tls' if self.tls else ''}"


SHORT = [
    *(Job(V5, driver) for driver in ("py6", "java5", "js6", "go5", "py5", "c")),
    *(Job(V5, driver, TLS_SUBSET, True) for driver in ("py6", "js6", "go5", "java5", "c")),
    *(Job(V2026, driver) for driver in ("py6", "js6", "c")),
    *(Job(V44, driver, OLD_SUBSET) for driver in ("py5", "c")),
]
LONG = [
    *(Job(server, driver) for server in (V5, V2026, V44) for driver in DRIVERS),
    *(Job(server, driver, TLS_SUBSET, True) for server in (V5, V2026, V44) for driver in DRIVERS),
]


def command(job: Job, port: int, ca: Path, only: str) -> tuple[list[str], dict[str, str]]:
    """The program of a driver, its arguments and its environment."""
    # "+ssc" accepts any certificate, "+s" needs the CA; each driver takes one of them in the TLS runs.
    scheme = {False: "bolt", True: "bolt+ssc" if job.driver == "py6" else "bolt+s"}[job.tls]
    host = "localhost" if scheme == "bolt+s" else "127.0.0.1"
    target = [f"{scheme}://{host}:{port}", "neo4j", PASSWORD]
    options = ["--only", only] if only else []
    environment = dict(os.environ)
    if scheme == "bolt+s" and not job.driver.startswith("js"):
        options += ["--ca", str(ca)]
    if job.driver == "c":
        return [str(BUILD / "driver_c"), *options, *target], environment
    if job.driver.startswith("py"):
        return [str(CACHE / job.driver / "bin/python"), str(HERE / "python/runner.py"), *target, *options], environment
    if job.driver.startswith("js"):
        environment |= {"DRIVER_MODULES": str(CACHE / job.driver / "node_modules"), "NODE_EXTRA_CA_CERTS": str(ca)}
        return ["node", str(HERE / "javascript/runner.js"), *target, *options], environment
    if job.driver == "go5":
        return [str(CACHE / "go5/runner"), *(o.replace("--", "-") for o in options), *target], environment
    classes = f"{CACHE / 'java5-runner/classes'}:{CACHE / 'java5/lib/*'}"
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp", classes, "Runner", *target, *options], environment


def run(job: Job, port: int, ca: Path, only: str, label: str) -> tuple[dict[str, Any], float]:
    """Runs a driver's program; its results by scenario."""
    arguments, environment = command(job, port, ca, only)
    began = time.monotonic()
    log = work() / f"{job.name.replace(' ', '-')}-{label}.log"
    with open(log, "wb") as errors:
        done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, stderr=errors, timeout=240)
    if done.returncode != 0:
        raise RuntimeError(f"{label}: the program ended with {done.returncode}\n{log.read_text(errors='replace')[-3000:]}")
    return json.loads(done.stdout), time.monotonic() - began


def differences(direct: Any, pooled: Any, path: str = "") -> list[str]:
    """Readable places where two results differ."""
    if isinstance(direct, dict) and isinstance(pooled, dict):
        found = []
        for key in sorted(direct.keys() | pooled.keys()):
            if key not in direct or key not in pooled:
                found.append(f"{path}.{key}: only {'directly' if key in direct else 'through the pooler'}: "
                             f"{short(direct.get(key, pooled.get(key)))}")
            else:
                found += differences(direct[key], pooled[key], f"{path}.{key}")
        return found
    if isinstance(direct, list) and isinstance(pooled, list) and len(direct) == len(pooled):
        return [line for i, pair in enumerate(zip(direct, pooled)) for line in differences(*pair, f"{path}[{i}]")]
    if type(direct) is type(pooled) and direct == pooled:
        return []
    return [f"{path or 'result'}\n    directly: {short(direct)}\n    pooled:   {short(pooled)}"]


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else text[:400] + "..."


def documented(driver: str) -> set[str]:
    """The scenarios that scenarios.md promises for a driver: `| name | what | drivers |`."""
    names = set()
    for line in (HERE / "scenarios.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and re.fullmatch(r"`\w+`", cells[0]):
            if cells[2] == "all" or driver.rstrip("56") in cells[2].split():
                names.add(cells[0].strip("`"))
    return names


class Run:
    """All jobs on their servers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report = Report()

    def compare(self, job: Job, server: Neo4j, pooler: Pooler | Forwarder | None) -> None:
        only = self.options.only or job.only
        try:
            direct, seconds = run(job, server.port, server.ca, only, "direct")
            pooled, pooled_seconds = run(job, pooler.port, server.ca, only, "pooled") if pooler else (direct, 0.0)
        except (RuntimeError, subprocess.TimeoutExpired, ValueError) as caught:
            self.report.fail(job.name, str(caught) + (f"\nboltpool:\n{pooler.tail()}" if pooler else ""))
            return
        for name in direct:
            broken = [result["!"] for result in (direct[name], pooled.get(name)) if isinstance(result, dict) and "!" in result]
            where = "directly" if isinstance(direct[name], dict) and "!" in direct[name] else "through the pooler"
            found = [f"fails {where}: {broken[0]}"] if broken else differences(direct[name], pooled.get(name))
            if found:
                self.report.fail(f"{job.name} {name}", "\n".join(found[:10]))
            else:
                self.report.ok(f"{job.name} {name}")
        if not only:
            missing = documented(job.driver) ^ direct.keys()
            self.report.check(f"{job.name} runs what scenarios.md says", not missing, f"differs in {sorted(missing)}")
        print(f"      {job.name}: {seconds:.0f} s directly, {pooled_seconds:.0f} s pooled", flush=True)

    def on_server(self, version: str, jobs: list[Job]) -> None:
        server = Neo4j(version, tls=True)
        pooler: Pooler | Forwarder | None = None
        secure: Pooler | Forwarder | None = None
        if self.options.pooler == "forward":
            pooler = secure = Forwarder(server.port)
        elif not self.options.direct:
            pooler = Pooler(server.port)
            if any(job.tls for job in jobs):
                secure = Pooler(server.port, scheme="bolt+ssc" if version == V44 else "bolt+s", tls_mode="required",
                                endpoint_tls_ca_file=server.ca, tls_cert_file=server.home / "tls/server.crt",
                                tls_key_file=server.home / "tls/server.key")
        # Two at a time: most of the time the drivers wait for themselves. But 4.4 ends statements of one run
        # because another changed constraints.
        with concurrent.futures.ThreadPoolExecutor(1 if version == V44 else 2) as pool:
            for future in [pool.submit(self.compare, job, server, secure if job.tls else pooler) for job in jobs]:
                future.result()
        for one in {pooler, secure} - {None}:
            with self.report.case(f"{version} the pooler ends well"):
                one.stop()
        server.kill()

    def main(self) -> int:
        jobs = [job for job in (LONG if self.options.all else SHORT)
                if (not self.options.driver or job.driver in self.options.driver)
                and (not self.options.server or job.server in self.options.server)
                and not (job.tls and self.options.no_tls)]
        if not jobs:
            print("no such combination: try --all", file=sys.stderr)
            return 2
        if drivers := sorted({job.driver for job in jobs} - {"c"}):
            prepare_drivers(*drivers)
        for version in dict.fromkeys(job.server for job in jobs):
            try:
                self.on_server(version, [job for job in jobs if job.server == version])
            except (RuntimeError, subprocess.CalledProcessError) as caught:
                self.report.fail(version, str(caught))
        return self.report.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every driver on every server (long)")
    parser.add_argument("--driver", action="append", choices=DRIVERS)
    parser.add_argument("--server", action="append", choices=(V44, V5, V2026))
    parser.add_argument("--only", default="", metavar="REGEX", help="scenarios whose names match")
    parser.add_argument("--direct", action="store_true", help="no pooler")
    parser.add_argument("--pooler", choices=("boltpool", "forward"), default="boltpool")
    parser.add_argument("--no-tls", action="store_true")
    options = parser.parse_args()
    watchdog(3600 if options.all else 900)
    return Run(options).main()


if __name__ == "__main__":
    sys.exit(main())
