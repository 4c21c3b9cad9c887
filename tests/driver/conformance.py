#!/usr/bin/env python3
"""The same bytes to real servers and to boltpool: the answers must be the same.

    conformance.py [--all] [--server VERSION]... [--bolt VERSION]... [--only REGEX]
                   [--direct] [--pooler boltpool|forward] [--show]

For each server and Bolt version, each script of scripts/ runs against the server
and against the pooler in front of it. Answers are compared after masking what
differs from one connection to the next. Scripts that race are repeated; there
the pooler may give any answer that the server was seen to give.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import re
import sys
from dataclasses import dataclass

from bolt import Version
from harness import V5, V44, V2026, Forwarder, Neo4j, Pooler, Report, watchdog
from scripts import flow, framing, handshake, login, states  # noqa: F401  (they register their scripts)
from scripts.deviations import permitted
from scripts.talk import SCRIPTS, Script, Talk

SHORT: dict[str, list[Version]] = {V5: [(5, 0), (5, 8)], V2026: [(6, 1)], V44: [(4, 4)]}
LONG: dict[str, list[Version]] = {
    V5: [(4, 2), (4, 3), (4, 4), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (5, 6), (5, 7), (5, 8)],
    V2026: [(4, 4), (5, 4), (5, 8), (6, 0), (6, 1)],
    V44: [(4, 2), (4, 3), (4, 4)],
}


@dataclass(frozen=True)
class Case:
    server: str
    version: Version
    script: Script

    @property
    def name(self) -> str:
        return f"{self.server} {self.version[0]}.{self.version[1]} {self.script.name}"


def talk_once(case: Case, port: int) -> str:
    talk = Talk(port, case.version)
    try:
        talk.open(case.script.login)
        case.script.act(talk)
    except Exception as caught:  # noqa: BLE001 - it is part of what was seen
        talk.note(f"! {type(caught).__name__}: {caught}")
    finally:
        if talk.connection:
            talk.connection.close()
    return "\n".join(talk.seen)


def seen(case: Case, port: int) -> set[str]:
    return {talk_once(case, port) for _ in range(case.script.times)}


class Conformance:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report = Report()

    def judge(self, name: str, direct: set[str], pooled: set[str] | None, racing: bool = False) -> None:
        if self.options.show:
            print(f"--- {name}\n" + "\n  or\n".join(sorted(direct)))
        broken = [text for text in direct if "\n! " in "\n" + text]
        if broken:
            self.report.fail(name, "directly:\n" + broken[0])
        elif pooled is None or pooled <= direct:
            self.report.ok(name)
        else:
            strange = sorted(pooled - direct)[0]
            reason = permitted(name, strange)
            if reason:
                self.report.ok(name, f"({reason})")
            else:
                self.report.fail(name, difference(sorted(direct), strange))

    def case(self, case: Case, server: int, pooler: int | None) -> None:
        direct = seen(case, server)
        pooled = seen(case, pooler) if pooler else None
        if pooled and not pooled <= direct and case.script.times > 1:
            direct |= seen(case, server) | seen(case, server)  # a race: look for the rarer outcomes too
        self.judge(case.name, direct, pooled)

    def handshakes(self, version: str, server: int, pooler: int | None, pool: concurrent.futures.Executor) -> None:
        def one(name: str, dribble: bool) -> None:
            data = handshake.CLASSIC[name]
            direct = {handshake.first_bytes(server, data, dribble)}
            pooled = {handshake.first_bytes(pooler, data, dribble)} if pooler else None
            self.judge(f"{version} handshake {name}{', byte by byte' if dribble else ''}", direct, pooled)

        def choose(name: str) -> None:
            direct = {"\n".join(handshake.choice(server, handshake.CHOICES[name]))}
            pooled = {"\n".join(handshake.choice(pooler, handshake.CHOICES[name]))} if pooler else None
            self.judge(f"{version} manifest, choice {name}", direct, pooled)

        wanted = [name for name in handshake.CLASSIC if re.search(self.options.only, f"handshake {name}")]
        jobs = [pool.submit(one, name, dribble) for name in wanted for dribble in (False, True)]
        jobs += [pool.submit(choose, name) for name in handshake.CHOICES if re.search(self.options.only, f"manifest {name}")]
        for job in jobs:
            job.result()

    def on_server(self, version: str, bolts: list[Version]) -> None:
        server = Neo4j(version)
        pooler = None
        if self.options.pooler == "forward":
            pooler = Forwarder(server.port)
        elif not self.options.direct:
            # Many links: these scripts are about the words, and wait in states that hold a link.
            pooler = Pooler(server.port, max_links=32, log_level="warn")
        port = pooler.port if pooler else None
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            self.handshakes(version, server.port, port, pool)
            cases = [Case(version, bolt, script) for bolt in bolts for script in SCRIPTS
                     if script.since <= bolt <= script.until and re.search(self.options.only, script.name)]
            for job in [pool.submit(self.case, case, server.port, port) for case in cases]:
                job.result()
        if pooler:
            with self.report.case(f"{version} the pooler ends well"):
                pooler.stop()
        server.kill()

    def main(self) -> int:
        for version, bolts in (LONG if self.options.all else SHORT).items():
            if self.options.server and version not in self.options.server:
                continue
            wanted = [bolt for bolt in (LONG[version] if self.options.bolt else bolts)
                      if not self.options.bolt or f"{bolt[0]}.{bolt[1]}" in self.options.bolt]
            if wanted:
                self.on_server(version, wanted)
        return self.report.end()


def difference(direct: list[str], strange: str) -> str:
    """The first line that differs from the nearest answer of the server."""
    lines = strange.split("\n")

    def common(text: str) -> int:
        return next((i for i, pair in enumerate(zip(text.split("\n"), lines)) if pair[0] != pair[1]), min(len(text.split("\n")), len(lines)))

    nearest = max(direct, key=common)
    at = common(nearest)
    before = "".join(f"  {line[:160]}\n" for line in lines[max(0, at - 2):at])
    real = nearest.split("\n")[at:at + 3]
    return f"{before}server: {' | '.join(real)[:700]}\npooler: {' | '.join(lines[at:at + 3])[:700]}" + (
        f"\n({len(direct)} answers of the server)" if len(direct) > 1 else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every Bolt version (long)")
    parser.add_argument("--server", action="append", choices=(V44, V5, V2026))
    parser.add_argument("--bolt", action="append", metavar="5.8")
    parser.add_argument("--only", default="", metavar="REGEX", help="scripts whose names match")
    parser.add_argument("--direct", action="store_true", help="no pooler: do the scripts themselves work?")
    parser.add_argument("--pooler", choices=("boltpool", "forward"), default="boltpool")
    parser.add_argument("--show", action="store_true", help="print what the servers answered")
    options = parser.parse_args()
    watchdog(3600 if options.all else 1200)
    return Conformance(options).main()


if __name__ == "__main__":
    sys.exit(main())
