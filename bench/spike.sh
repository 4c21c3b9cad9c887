#!/usr/bin/env bash
# 50 callers at once on 5 open connections: boltpool's library beside HikariCP and deadpool.
# See spike.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh bench >&2
exec python3 bench/spike.py "$@"
