#!/usr/bin/env bash
# Which server takes a transaction: a simulation of boltpool's strategies beside other rules, and what one pick costs.
# See balance.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build >&2
exec python3 bench/balance.py "$@"
