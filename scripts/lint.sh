#!/usr/bin/env bash
# lint.sh [CHECK]... - reads the sources without running them; every finding fails.
#
# Checks, in this order: scripts, layers, format, headers, tidy; all by default.
# clang-tidy reads src/ and sim/ by the compile commands of build-lint/, which is only configured, not built.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(nproc)
failed=()

# sources PATTERN...: what git knows or would take, as far as it is still there.
sources() {
    git ls-files -z --cached --others --exclude-standard "$@" | sort -zu |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done
}

check_scripts() {
    sources 'scripts/*.sh' 'tests/*.sh' 'bench/*.sh' .ci/run | xargs -0 -r -n 1 bash -n
    sources '*.py' | xargs -0 -r python3 -c 'import ast, sys
for name in sys.argv[1:]: ast.parse(open(name, encoding="utf-8").read(), name)'
}

check_layers() { scripts/check_layers.py; }

check_format() { sources '*.c' '*.h' | xargs -0 -r clang-format --dry-run -Werror; }

check_headers() { tests/headers/run.sh clang clang++; }

check_tidy() {
    cmake -S . -B build-lint -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DBOLTPOOL_TESTS=OFF >/dev/null
    # "N warnings generated" counts what is switched off, too.
    sources 'src/*.c' 'sim/*.c' | xargs -0 -r -P "$jobs" -n 1 clang-tidy -p build-lint --quiet \
        2> >(grep -vE '^[0-9]+ (warnings?|errors?)( and [0-9]+ errors?)? generated|treated as errors?$' >&2)
}

for check in "${@:-scripts layers format headers tidy}"; do
    for one in $check; do
        declare -F "check_$one" >/dev/null || { sed -n '2,5p' "$0" >&2; exit 2; }
        begin=$SECONDS
        echo "== $one"
        # A function in a condition runs without -e, hence the shell of its own.
        if ! (bash -euo pipefail -c "$(declare -f sources "check_$one"); jobs=$jobs; check_$one"); then
            failed+=("$one")
        fi
        echo "   $((SECONDS - begin)) s"
    done
done
[ ${#failed[@]} = 0 ] || { echo "lint failed: ${failed[*]}"; exit 1; }
echo "lint: nothing found"
