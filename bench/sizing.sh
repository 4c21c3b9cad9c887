#!/usr/bin/env bash
# How busy links can be while nobody waits long for one: see sizing.py; arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/sizing.py "$@"
