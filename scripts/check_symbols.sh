#!/usr/bin/env bash
# check_symbols.sh LIBRARY - the shared library shows the public names (bp_...) and nothing else.
set -euo pipefail
library=${1:?the shared library}
names=$(nm -D --defined-only "$library" | awk '{print $NF}' | sed 's/@.*//')
if [ -z "$names" ]; then
    echo "$library shows no name at all"
    exit 1
fi
if others=$(grep -v '^bp_' <<<"$names"); then
    echo "$library shows names that are not public; only BP_API functions named bp_... may be seen:"
    printf '%s\n' "$others"
    exit 1
fi
echo "$library shows $(wc -l <<<"$names") names, all bp_"
