#!/usr/bin/env python3
"""30,000 leases from 64 threads over a real Neo4j, each preset's build in turns (tests/driver/c/leases.c says what they do).

usage: leases.py [--leases 30000] [--threads 64] [--links N]... [--seed N] PRESET...        (asan, tsan, release, ...)

The programs lie in build-PRESET (build for release). A sanitizer's report, a program that hangs and a check of its own that doesn't
hold all fail. Each preset has its number of connections, 8 to 16. The last line counts.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/driver"))
from harness import PASSWORD, Neo4j, Report, watchdog  # noqa: E402

# A run takes half a minute; the watchdog is for all of them, the server's start included.
RUN_SECONDS, WATCHDOG_SECONDS = 130, 300
LINKS = {"asan": 12, "tsan": 8}
TOOLS = {"asan": "ASan", "tsan": "TSan"}
# Exit statuses of a program that reported: ours are 1 and 2. LeakSanitizer comes with ASan.
OPTIONS = {
    "ASAN_OPTIONS": "exitcode=66:detect_leaks=1:abort_on_error=0",
    "LSAN_OPTIONS": "exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=66",
    "TSAN_OPTIONS": "exitcode=66:halt_on_error=0:second_deadlock_stack=1",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+", metavar="PRESET")
    parser.add_argument("--leases", type=int, default=30_000)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--links", type=int, help="connections at most")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    watchdog(WATCHDOG_SECONDS)
    report = Report()
    server = Neo4j(heap="512m")
    for preset in options.presets:
        tool = TOOLS.get(preset, f"the preset {preset}")
        name = f"{options.leases:,} leases from {options.threads} threads over a real Neo4j under {tool}"
        links = options.links or LINKS.get(preset, 16)
        program = ROOT / ("build" if preset == "release" else f"build-{preset}") / "driver_leases"
        arguments = [str(program), f"bolt://127.0.0.1:{server.port}", "neo4j", PASSWORD, str(options.leases), str(options.threads), str(links)]
        if options.seed is not None:
            arguments.append(str(options.seed))
        try:
            done = subprocess.run(arguments, env={**os.environ, **OPTIONS}, capture_output=True, text=True, timeout=RUN_SECONDS, errors="replace")
        except subprocess.TimeoutExpired as caught:
            said = caught.stderr.decode(errors="replace") if isinstance(caught.stderr, bytes) else caught.stderr or ""
            report.fail(name, f"still running after {RUN_SECONDS} s\n{said[-8000:]}")
            continue
        except OSError as caught:
            report.fail(name, str(caught))
            continue
        said = done.stderr
        if done.returncode != 0 or "Sanitizer" in said or "runtime error" in said:
            report.fail(name, f"ended with {done.returncode}\n{said[:8000]}\n{done.stdout}")
            continue
        seen = json.loads(done.stdout)
        report.ok(f"{name}, no report", f"({seen['leases']:,} leases in {seen['seconds']:.0f} s, {links} links at most, "
                  f"{seen['created']} connections opened, {seen['cut']} cut, {said.strip()})")
    server.kill()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
