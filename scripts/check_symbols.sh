#!/usr/bin/env bash
# check_symbols.sh LIBRARY [--update] - what programs that were built with the library rely on stays as it is written down.
#
# 1. The library shows the public names (bp_...) and nothing else, each with its version; each is declared in a
#    public header, and each declared function is there.
# 2. They are those of packaging/libboltpool.symbols.
# 3. Types and prototypes are those of packaging/libboltpool.abi (scripts/abi.py).
#
# --update writes both lists, for `make symbols`.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
library=${1:?the shared library}
update=${2:-}
list=packaging/libboltpool.symbols

# A version shows as an absolute symbol of its name, too.
shown=$(nm -D --defined-only "$library" |
    awk '!($(NF - 1) == "A" && $NF ~ /^BOLTPOOL_/) { sub("@@", "@", $NF); print $NF }' | sort)
if [ -z "$shown" ]; then
    echo "$library shows no name at all"
    exit 1
fi
if others=$(grep -v '^bp_[a-z0-9_]*@BOLTPOOL_[0-9.]*$' <<<"$shown"); then
    echo "$library shows names that are not public, or without a version; only BP_API functions named bp_... may be seen:"
    printf '%s\n' "$others"
    exit 1
fi

# The preprocessor takes comments away; each declaration of ours begins with its visibility.
declared=$(for header in include/boltpool/*.h; do echo "#include <boltpool/${header##*/}>"; done |
    ${CC:-cc} -E -P -x c -std=c11 -Iinclude - | tr '\n' ' ' | tr ';' '\n' |
    sed -n 's/.*visibility("default").*[ *)]\(bp_[a-z0-9_]*\) *(.*/\1/p' | sort)
names=$(sed 's/@.*//' <<<"$shown")
if ! difference=$(diff <(echo "$declared") <(echo "$names")); then
    echo "The public headers and $library don't agree:"
    sed -n 's/^< \(.*\)/  \1 is declared (BP_API), but not in the library: define it, or build again/p
            s/^> \(.*\)/  \1 is in the library, but no public header declares it: name it bpi_ without BP_API, or declare it/p' \
        <<<"$difference"
    exit 1
fi

if [ "$update" = --update ]; then
    # What was released keeps its version.
    join -t @ -a 2 -o 0,1.2,2.2 -e '' "$list" <(echo "$shown") |
        awk -F @ '{ print $1 "@" ($2 != "" ? $2 : $3) }' >"$list.new"
    mv "$list.new" "$list"
    echo "$list has $(wc -l <"$list") names"
    scripts/abi.py --update
    exit
fi

if ! difference=$(diff "$list" <(echo "$shown")); then
    echo "$library doesn't show the names of $list:"
    sed -n 's/^< \(.*\)/  - \1/p; s/^> \(.*\)/  + \1/p' <<<"$difference"
    echo "+ added: write it down by \`make symbols\`."
    echo "- removed: programs that use it don't start any more. Give it back, or raise SOVERSION in CMakeLists.txt; before the"
    echo "  release that has it it may go freely, by \`make symbols\`."
    exit 1
fi
scripts/abi.py
echo "$library shows the $(wc -l <"$list") names of $list"
