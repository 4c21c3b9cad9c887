#!/usr/bin/env bash
# Bolt clients directly on a server, through boltpool, and through HAProxy in TCP mode, in turns on one machine.
# See pooler.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test >&2
exec python3 bench/pooler.py "$@"
