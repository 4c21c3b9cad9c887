#!/usr/bin/env bash
# test.sh [PART]... - runs the tests on build/ and ends with "N passed, N failed".
#
# Parts, in this order: unit, headers, layers, symbols, docs, reference, install, driver, conformance, fault; all by default.
# A part counts the tests that it reports itself in its last line "N passed, N failed"; one that reports
# none counts as one test. Its whole output is in build/test-logs/PART.log.
# PART_SECONDS (600) is the longest that one part may take.
set -euo pipefail
cd "$(dirname "$0")/.."

LOGS=build/test-logs
PART_SECONDS=${PART_SECONDS:-600}
passed=0
failed=0
report=()
mkdir -p "$LOGS"

# run NAME COMMAND...: one part.
run() {
    local name=$1 status=0 ok=0 bad=0 line begin=$SECONDS
    shift
    echo "== $name: $*"
    timeout --kill-after=10 "$PART_SECONDS" "$@" 2>&1 | tee "$LOGS/$name.log" || status=$?
    line=$(grep -aoE '[0-9]+ passed, [0-9]+ failed' "$LOGS/$name.log" | tail -n 1) || true
    if [ -n "$line" ]; then
        read -r ok _ bad _ <<<"$line"
    else
        ok=$((status == 0 ? 1 : 0))
    fi
    # Whatever a part says of itself, a status other than 0 is a failure.
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    [ "$status" != 124 ] || name+=" (stopped after $PART_SECONDS s)"
    report+=("$(printf '%5d passed %4d failed %5d s  %s' "$ok" "$bad" $((SECONDS - begin)) "$name")")
}

# ctest counts programs; what we count is the tests inside, which cmocka numbers in its log. A program that
# crashed has no numbers there, and fails the part by ctest's status.
unit() {
    local status=0
    ctest --test-dir build --output-on-failure --no-tests=error -j2 || status=$?
    awk '/^\[  PASSED  \]/ {ok += $4} /^\[  FAILED  \] [0-9]+ test/ {bad += $4}
         END {printf "%d passed, %d failed\n", ok, bad}' build/Testing/Temporary/LastTest.log
    return "$status"
}

part() {
    case $1 in
    unit) run unit "$0" --unit ;;
    headers) run headers tests/headers/run.sh gcc ;;
    layers) run layers scripts/check_layers.py ;;
    symbols) run symbols scripts/check_symbols.sh build/libboltpool.so ;;
    docs) run docs scripts/check_docs.py build/boltpool ;;
    reference) run reference scripts/reference.py ;;
    install) run install python3 tests/install/run.py ;;
    driver) run driver python3 tests/driver/run.py ;;
    conformance) run conformance python3 tests/driver/conformance.py ;;
    fault)
        local file
        for file in $(grep -l '^if __name__' tests/fault/*.py); do
            run "fault-$(basename "$file" .py)" python3 "$file"
        done
        ;;
    --unit) unit; exit ;;
    *) sed -n '2,7p' "$0" >&2; exit 2 ;;
    esac
}

for name in "${@:-unit headers layers symbols docs reference install driver conformance fault}"; do
    for one in $name; do
        part "$one"
    done
done

echo
printf '%s\n' "${report[@]}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
