#!/usr/bin/env bash
# drivers.sh [NAME...] - fetches the official, unchanged Neo4j drivers and builds the programs that run them.
#
# NAME: py5 py6 js5 js6 go5 java5 (all by default), or py6rust: 6.x with its extension in Rust, for bench/client.py.
# Each gets a folder in
# ${BOLTPOOL_CACHE:-~/.cache/boltpool}; what is there already is left as it is,
# so that a second run takes a second. tests/driver/harness.py knows the folders.
set -euo pipefail

HERE=$(cd "$(dirname "$0")/../tests/driver" && pwd)
CACHE=${BOLTPOOL_CACHE:-$HOME/.cache/boltpool}
PY5=5.28.8 PY6=6.4.1 PY6RUST=6.4.1.0 JS5=5.28.3 JS6=6.3.0

# once NAME VERSION COMMAND...: runs the command unless it has succeeded for this version before.
once() {
    local dir=$CACHE/$1 version=$2
    shift 2
    [ "$(cat "$dir/.version" 2>/dev/null)" != "$version" ] || return 0
    echo "drivers.sh: fetching $(basename "$dir") $version" >&2
    mkdir -p "$dir"
    local log=$dir/.log
    for _ in 1 2 3; do
        if "$@" "$dir" "$version" >"$log" 2>&1; then
            echo "$version" >"$dir/.version"
            return 0
        fi
        sleep 2
    done
    tail -n 30 "$log" >&2
    return 1
}

fetch_python() { python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check "neo4j==$2"; }
fetch_python_rust() { python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check "neo4j-rust-ext==$2"; }
fetch_javascript() { npm install --prefix "$1" --no-audit --no-fund "neo4j-driver@$2"; }
fetch_java() {
    mvn -B -q -f "$HERE/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/lib"
}
compile_java() {
    rm -rf "$1/classes"
    javac -nowarn -encoding UTF-8 -cp "$CACHE/java5/lib/*" -d "$1/classes" "$HERE"/java/src/*.java "$HERE"/../fault/java/*.java
}

sum() { cat "$@" | sha256sum | cut -c1-16; }

one() {
    case $1 in
    py5) once py5 "$PY5" fetch_python ;;
    py6) once py6 "$PY6" fetch_python ;;
    py6rust) once py6rust "$PY6RUST" fetch_python_rust ;;
    js5) once js5 "$JS5" fetch_javascript ;;
    js6) once js6 "$JS6" fetch_javascript ;;
    go5)    # Go's own build cache makes this quick
        mkdir -p "$CACHE/go5"
        (cd "$HERE/go" && go build -o "$CACHE/go5/runner" . && go build -o "$CACHE/go5/load" ./load &&
            go build -o "$CACHE/go5/paced" ./paced)
        ;;
    java5)
        once java5 "$(sum "$HERE/java/pom.xml")" fetch_java
        once java5-runner "$(sum "$HERE"/java/src/*.java "$HERE"/../fault/java/*.java)" compile_java
        ;;
    *) echo "drivers.sh: no driver $1" >&2; exit 2 ;;
    esac
}

mkdir -p "$CACHE"
exec 9>"$CACHE/.lock-drivers"
flock 9    # two runs at once would unpack into the same folders
for name in ${*:-py5 py6 js5 js6 go5 java5}; do one "$name"; done
