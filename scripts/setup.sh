#!/usr/bin/env bash
# setup.sh [build|test|lint|bench]... - installs what a job needs on Debian 12, and nothing when all is there.
#
#   build   the compiler, cmake and the libraries (the default)
#   test    build, and what the real servers and the official drivers need
#   lint    build, and clang's tools (libFuzzer comes with them)
#   bench   build, and what the peers of the library's benchmarks need
#
# Each line of a list is PACKAGE|CHECK. The check looks for what the package is
# wanted for, not for the package: a Go or a Node from elsewhere is as good.
# Only Debian packages are installed here; servers, drivers and a newer Java
# come from their own registries when scripts/neo4j.sh and scripts/drivers.sh
# are first used, into ${BOLTPOOL_CACHE:-~/.cache/boltpool}.
set -euo pipefail

BUILD='gcc|command gcc
libc6-dev|header stdio.h
cmake|command cmake
ninja-build|command ninja
pkg-config|command pkg-config
libuv1-dev|library libuv
libssl-dev|library openssl
libjansson-dev|library jansson
uthash-dev|header uthash.h'

TEST='libcmocka-dev|library cmocka
openjdk-17-jdk-headless|command javac
maven|command mvn
python3|command python3
python3-venv|module ensurepip
python3-cffi|module cffi
g++|command g++
nodejs|command node
npm|command npm
golang-go|command go
haproxy|command haproxy
openssl|command openssl
bc|command bc
curl|command curl
procps|command ps'

LINT='clang|command clang
clang-tidy|command clang-tidy
clang-format|command clang-format
llvm|command llvm-profdata
libclang-rt-14-dev|runtime fuzzer'

# Debian's cargo is older than deadpool wants; bench/peers.py says so where it is the only one.
BENCH='openjdk-17-jdk-headless|command javac
maven|command mvn
python3|command python3
cargo|command cargo'

# there KIND NAME: is it here already?
there() {
    case $1 in
    command) command -v "$2" >/dev/null ;;
    header) compgen -G "/usr/include/$2" >/dev/null || compgen -G "/usr/include/*/$2" >/dev/null ;;
    library) command -v pkg-config >/dev/null && pkg-config --exists "$2" ;;
    module) python3 -c "import $2" 2>/dev/null ;;
    runtime) compgen -G "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.$2-*.a" >/dev/null ;;
    esac
}

wanted=
for job in "${@:-build}"; do
    case $job in
    build) wanted+=$BUILD$'\n' ;;
    test) wanted+=$BUILD$'\n'$TEST$'\n' ;;
    lint) wanted+=$BUILD$'\n'$LINT$'\n' ;;
    bench) wanted+=$BUILD$'\n'$BENCH$'\n' ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done

missing=()
while IFS='|' read -r package check; do
    # shellcheck disable=SC2086  # the check is two words
    [ -z "$package" ] || there $check || missing+=("$package")
done <<<"$wanted"
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" != 0 ]; then
    echo "sudo apt-get install -y --no-install-recommends ${missing[*]}"
    exit 1
fi

echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do    # a registry that stumbles once should not cost a whole run
    if { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        exit 0
    fi
    echo "setup: try $try failed" >&2
    sleep "$try"
done
tail -n 30 "$log" >&2
exit 1
