#!/bin/sh
# Builds the fuzz targets (preset `fuzz`, clang) and runs each for SECONDS with its corpus.
# Usage: scripts/fuzz.sh SECONDS [TARGET...]      e.g. scripts/fuzz.sh 60 chunk packstream
# Corpora are copied to a temporary folder, which stays only when something was found; the
# repository is never written to but for build-fuzz/. Exit status: 0 nothing found, 1 a target found
# something (the input's path is printed), 2 usage or build failed.
set -u

case "${1:-}" in
'' | *[!0-9]*)
    echo "usage: $0 SECONDS [TARGET...]" >&2
    exit 2
    ;;
esac
seconds=$1
shift

root=$(cd "$(dirname "$0")/.." && pwd) || exit 2
cd "$root" || exit 2
if [ $# -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source#tests/fuzz/fuzz_}
        set -- "$@" "${name%.c}"
    done
fi

targets=
for name in "$@"; do
    targets="$targets fuzz_$name"
done
cmake --preset fuzz >/dev/null || exit 2
# shellcheck disable=SC2086
cmake --build --preset fuzz -j "${JOBS:-2}" --target $targets || exit 2

work=$(mktemp -d "${TMPDIR:-/tmp}/boltpool-fuzz.XXXXXX") || exit 2
found=0
for name in "$@"; do
    mkdir -p "$work/$name/corpus" "$work/$name/artifacts"
    if [ -d "tests/fuzz/corpus/$name" ]; then
        cp tests/fuzz/corpus/"$name"/* "$work/$name/corpus/"
    fi
    echo "fuzz_$name: $seconds s"
    if ! "build-fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$work/$name/artifacts/" "$work/$name/corpus" \
        >"$work/$name/log" 2>&1; then
        found=1
        tail -n 40 "$work/$name/log"
        for artifact in "$work/$name/artifacts"/*; do
            [ -e "$artifact" ] && echo "fuzz_$name: found $artifact"
        done
        echo "fuzz_$name: log in $work/$name/log"
    else
        grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added)' \
            "$work/$name/log"
    fi
done

if [ "$found" -eq 0 ]; then
    rm -rf "$work"
fi
exit "$found"
