#!/usr/bin/env bash
# run.sh CC [CXX] - each header compiles alone: the public ones as C11, with CXX as C++11 too, the internal
# ones as C17. "Alone" is a translation unit that includes nothing else, twice.
set -euo pipefail
cd "$(dirname "$0")/../.."
cc=${1:?a C compiler}
cxx=${2:-}
passed=0
failed=0

# alone HEADER COMPILER FLAG...
alone() {
    local header=$1
    shift
    if printf '#include <%s>\n#include <%s>\n' "$header" "$header" | "$@" -Wall -Wextra -Werror -fsyntax-only -; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: <$header> alone with $*"
    fi
}

while read -r file; do
    alone "${file#include/}" "$cc" -x c -std=c11 -Wpedantic -Wstrict-prototypes -Iinclude
    [ -z "$cxx" ] || alone "${file#include/}" "$cxx" -x c++ -std=c++11 -Wpedantic -Iinclude
done < <(find include -name '*.h' | sort)
while read -r file; do
    alone "${file#src/}" "$cc" -x c -std=c17 -D_GNU_SOURCE -Iinclude -Isrc -I.
done < <(find src sim -name '*.h' | sort)

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
