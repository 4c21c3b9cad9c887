#!/usr/bin/env bash
# Whether a burst of one class makes others wait: see classes.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/classes.py "$@"
