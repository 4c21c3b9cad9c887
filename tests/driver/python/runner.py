"""Runs the shared scenarios with the official Python driver.

usage: runner.py URI USER PASSWORD [--ca FILE] [--only REGEX]

Prints one JSON object {scenario: result}; a scenario that fails by itself has
the result {"!": "what happened"}.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
import time
import traceback
import warnings

import neo4j

from env import SCENARIOS, Env
from scenarios import async_work, errors, identity, results, summaries, values, work  # noqa: F401  (they register)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("uri")
    parser.add_argument("user")
    parser.add_argument("password")
    parser.add_argument("--ca", help="CA file that bolt+s trusts")
    parser.add_argument("--only", default="", help="scenarios whose names match")
    parser.add_argument("--times", action="store_true", help="seconds of each scenario on stderr")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    options = {}
    uri = arguments.uri
    if arguments.ca:  # this driver takes a CA only with encrypted=True and a plain scheme
        options = {"encrypted": True, "trusted_certificates": neo4j.TrustCustomCAs(arguments.ca)}
        uri = uri.replace("+s://", "://")
    env = Env(uri, (arguments.user, arguments.password), options)
    found = {}
    for name, function in SCENARIOS.items():
        if not re.search(arguments.only, name):
            continue
        env.label = f"{env.tag}_{name}"
        began = time.monotonic()
        try:
            found[name] = function(env)
        except Exception as caught:  # one broken scenario must not hide the others
            traceback.print_exc()
            found[name] = {"!": f"{type(caught).__name__}: {caught}"}
        if arguments.times:
            print(f"{time.monotonic() - began:7.2f} s  {name}", file=sys.stderr)
    env.done()
    json.dump(found, sys.stdout)
    return 0


sys.exit(main())
