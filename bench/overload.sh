#!/usr/bin/env bash
# What becomes of good work at twice the capacity: see overload.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/overload.py "$@"
