# The front door: each target sets up what it needs (Debian 12) and runs to the end by itself.
#
#   make build        build/boltpool and build/libboltpool.so
#   make demo         200 clients on at most 48 connections for DEMO_SECONDS (30; 0 = until Ctrl-C)
#   make test         every test; ends with "N passed, N failed"
#   make lint         format, clang-tidy, layers, headers
#   make sanitize     the unit tests and 30,000 leases under ASan+UBSan and TSan, then each fuzz target for 30 seconds
#   make fmt          formats the C sources in place
#   make bench        every benchmark; make bench-NAME runs bench/NAME.sh alone
#   make install      to PREFIX (/usr/local), below DESTDIR if that is set
#   make symbols      writes down what programs rely on: packaging/libboltpool.symbols and .abi
#
# BOLTPOOL_WERROR=1 turns warnings into errors, as CI does.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test lint sanitize fmt bench install symbols clean

DEMO_SECONDS ?= 30
FUZZ_SECONDS ?= 30
PREFIX ?= /usr/local
WERROR := -DBOLTPOOL_WERROR=$(if $(BOLTPOOL_WERROR),ON,OFF)
BENCHES := $(patsubst bench/%.sh,bench-%,$(wildcard bench/*.sh))

# Without the tests, so that a first build needs no test library.
build:
	@scripts/setup.sh build
	@cmake --preset release $(WERROR) -DBOLTPOOL_TESTS=OFF >/dev/null
	@cmake --build --preset release

demo: build
	@build/boltpool demo --seconds $(DEMO_SECONDS)

test:
	@scripts/setup.sh test
	@cmake --preset release $(WERROR) -DBOLTPOOL_TESTS=ON >/dev/null
	@cmake --build --preset release
	@scripts/test.sh

lint:
	@scripts/setup.sh lint
	@scripts/lint.sh

sanitize:
	@scripts/setup.sh test lint
	@for preset in asan tsan; do \
		cmake --preset $$preset $(WERROR) >/dev/null; \
		cmake --build --preset $$preset; \
		ctest --preset $$preset; \
	done
	@python3 tests/sanitize/leases.py asan tsan
	@scripts/fuzz.sh $(FUZZ_SECONDS)

fmt:
	@scripts/setup.sh lint
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 -r clang-format -i

bench: $(BENCHES)

bench-%: build
	@bench/$*.sh

install: build
	@cmake --preset release -DCMAKE_INSTALL_PREFIX="$(PREFIX)" >/dev/null
	@DESTDIR="$(DESTDIR)" cmake --install build
	@[ -n "$(DESTDIR)" ] || echo "If programs don't find libboltpool.so.0: ldconfig, or name the folder in LD_LIBRARY_PATH"

symbols: build
	@scripts/check_symbols.sh build/libboltpool.so --update

clean:
	@rm -rf build build-asan build-tsan build-fuzz build-debug build-lint
