#!/usr/bin/env bash
# Reading 100,000 rows from a real Neo4j: boltpool's client beside the official Go and Python drivers.
# See client.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test >&2
exec python3 bench/client.py "$@"
