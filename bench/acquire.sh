#!/usr/bin/env bash
# Taking a connection and giving it back: boltpool's library beside HikariCP, deadpool and a bare mutex pool.
# See acquire.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh bench >&2
exec python3 bench/acquire.py "$@"
