#!/usr/bin/env python3
"""A Python binding: cffi in ABI mode, from the installed headers.

    apt-get install python3-cffi pkg-config gcc
    python3 boltpool_cffi.py bolt://neo4j:secret@127.0.0.1:7687

The headers are all that cffi needs: the C preprocessor expands their macros, and what came from boltpool's own files is
taken. Nothing is compiled. cffi lets other Python threads run while a call waits.

Prints:

    name: str 'Ann'
    age: int 45
    score: float 0.5
    member: bool True
    photo: bytes b'\\x00\\xff'
    born: date datetime.date(1980, 2, 29)
    tags: list ['a', 'b', [1, None]]
    address: dict {'city': 'Paris'}
    waits: str 'P1M2DT3S'
    20 rows from 4 threads
    refused: Neo.ClientError.Statement.SyntaxError
    6 leases of 6 are back; at most 2 connections: True
"""
import concurrent.futures
import datetime
import os
import re
import shlex
import subprocess
import sys

import cffi

WAIT_DEFAULT = 2**64 - 1    # BP_WAIT_DEFAULT; macros that aren't numbers don't reach cffi
EPOCH = datetime.date(1970, 1, 1)


def pkg_config(*options):
    return subprocess.run(["pkg-config", *options, "boltpool"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def declarations():
    """What boltpool's headers declare, as plain C without attributes."""
    command = [*shlex.split(os.environ.get("CC", "cc")), "-E", "-x", "c", *shlex.split(pkg_config("--cflags")), "-"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input="#include <boltpool/driver.h>\n").stdout
    ours, kept = False, []
    for line in text.splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            ours = os.path.basename(os.path.dirname(marker[1])) == "boltpool"
        elif ours:
            kept.append(line)
    return re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", "\n".join(kept))


ffi = cffi.FFI()
ffi.cdef(declarations())
lib = ffi.dlopen(os.path.join(pkg_config("--variable=libdir"), "libboltpool.so.0"))


class Failure(Exception):
    """What a function failed with, from a struct bp_failure or bp_refusal: `code` is the server's."""

    def __init__(self, error, failure=None):
        words = failure.text if failure and failure.text[0] != b"\0" else lib.bp_error_text(error)
        super().__init__(f"{ffi.string(lib.bp_error_name(error)).decode()}: {ffi.string(words).decode()}")
        self.error = error
        self.code = ffi.string(failure.code).decode() if hasattr(failure, "code") else ""


def check(error, failure=None):
    if error < 0:
        raise Failure(error, failure)
    return error


# ---- values ----

def text(some):
    """A struct bp_text as bytes. It is a view: it has to be copied before the next row."""
    return ffi.buffer(some.data, some.size)[:] if some.size else b""


def items(value):
    """What is in a LIST or MAP, as pairs of key and value."""
    iterator, key, item = ffi.new("struct bp_iter *"), ffi.new("struct bp_text *"), ffi.new("struct bp_value *")
    check(lib.bp_iter_init(iterator, value))
    while check(lib.bp_iter_next(iterator, key, item)) == 1:
        yield text(key).decode(), to_python(item)


def formatted(value):
    size = check(lib.bp_value_format(value, ffi.NULL, 0)) + 1
    words = ffi.new("char[]", size)
    check(lib.bp_value_format(value, words, size))
    return ffi.string(words).decode()


CONVERT = {
    lib.BP_TYPE_NULL: lambda value: None,
    lib.BP_TYPE_BOOL: lambda value: bool(getattr(value, "as").boolean),
    lib.BP_TYPE_INT: lambda value: getattr(value, "as").integer,
    lib.BP_TYPE_FLOAT: lambda value: getattr(value, "as").real,
    lib.BP_TYPE_STRING: lambda value: text(getattr(value, "as").text).decode(),
    lib.BP_TYPE_BYTES: lambda value: text(getattr(value, "as").text),
    lib.BP_TYPE_LIST: lambda value: [item for _, item in items(value)],
    lib.BP_TYPE_MAP: lambda value: dict(items(value)),
    lib.BP_TYPE_DATE: lambda value: EPOCH + datetime.timedelta(days=getattr(value, "as").date.days),
}


def to_python(value):
    """Nodes, durations and whatever else has no counterpart become text, as Cypher writes it."""
    return CONVERT.get(value.type, formatted)(value)


def write(params, key, value):
    """Adds a value; what is wrong is asked for once, at the end (bp_params_error)."""
    key = ffi.NULL if key is None else key.encode()
    if value is None:
        lib.bp_params_null(params, key)
    elif isinstance(value, bool):
        lib.bp_params_bool(params, key, value)
    elif isinstance(value, int):
        lib.bp_params_int(params, key, value)
    elif isinstance(value, float):
        lib.bp_params_float(params, key, value)
    elif isinstance(value, str):
        data = value.encode()
        lib.bp_params_text(params, key, data, len(data))
    elif isinstance(value, bytes):
        lib.bp_params_bytes(params, key, value, len(value))
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        lib.bp_params_date(params, key, {"days": (value - EPOCH).days})
    elif isinstance(value, (list, tuple)):
        lib.bp_params_list(params, key)
        for item in value:
            write(params, None, item)
        lib.bp_params_end(params)
    elif isinstance(value, dict):
        lib.bp_params_map(params, key)
        for name, item in value.items():
            write(params, name, item)
        lib.bp_params_end(params)
    else:
        raise TypeError(f"no parameter is made of {type(value).__name__}")


# ---- the driver ----

class Driver:
    def __init__(self, url, links_max=50):
        config, driver = ffi.new("struct bp_driver_config *"), ffi.new("struct bp_driver **")
        lib.bp_driver_config_init(config)
        address = ffi.new("char[]", url.encode())    # lives until the driver has copied it
        config.bolt.url = address
        config.pool.links_max = links_max
        config.pool.idle_min = 0
        check(lib.bp_driver_new(config, driver))
        self.driver = driver[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        driver, self.driver = self.driver, ffi.NULL
        check(lib.bp_driver_free(driver, 5_000_000))

    def query(self, query, **parameters):
        """The rows, each a dict. From any thread."""
        lease, bolt = ffi.new("struct bp_lease **"), ffi.new("struct bp_bolt **")
        params, result = ffi.new("struct bp_params **"), ffi.new("struct bp_result **")
        refusal = ffi.new("struct bp_refusal *")
        operation = ffi.new("struct bp_operation *", {"struct_size": ffi.sizeof("struct bp_operation"), "reterr_refusal": refusal})
        check(lib.bp_params_new(params))
        try:
            for name, value in parameters.items():
                write(params[0], name, value)
            error = lib.bp_driver_acquire(self.driver, operation, WAIT_DEFAULT, lease, bolt)
            if error != 0:
                raise Failure(error, refusal)
            try:
                check(lib.bp_bolt_run(bolt[0], query.encode(), params[0], ffi.NULL, result), lib.bp_bolt_failure(bolt[0]))
                try:
                    names = [text(lib.bp_result_column(result[0], i)).decode() for i in range(lib.bp_result_columns(result[0]))]
                    row, rows = ffi.new("const struct bp_value **"), []
                    while check(lib.bp_result_next(result[0], row), lib.bp_bolt_failure(bolt[0])) == 1:
                        rows.append({name: to_python(row[0] + i) for i, name in enumerate(names)})
                    return rows
                finally:
                    lib.bp_result_free(result[0])
            finally:
                check(lib.bp_driver_release(lease[0]))
        finally:
            lib.bp_params_free(params[0])

    def statistics(self):
        stats = ffi.new("struct bp_pool_stats *", {"struct_size": ffi.sizeof("struct bp_pool_stats")})
        check(lib.bp_pool_get_stats(lib.bp_driver_pool(self.driver), stats))
        return stats


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: boltpool_cffi.py URL")
    with Driver(sys.argv[1], links_max=2) as driver:
        row = driver.query("RETURN $name AS name, $age AS age, $score AS score, $member AS member, $photo AS photo, $born AS born,"
                           " $tags AS tags, $address AS address, duration('P1M2DT3S') AS waits",
                           name="Ann", age=45, score=0.5, member=True, photo=b"\0\xff", born=datetime.date(1980, 2, 29),
                           tags=["a", "b", [1, None]], address={"city": "Paris"})[0]
        for name, value in row.items():
            print(f"{name}: {type(value).__name__} {value!r}")
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            parts = list(threads.map(lambda first: driver.query("UNWIND range($first, $first + 4) AS i RETURN i", first=first),
                                     range(0, 20, 5)))
        assert [row["i"] for part in parts for row in part] == list(range(20)) or sys.exit("other rows came back")
        print(f"{sum(map(len, parts))} rows from 4 threads")
        try:
            driver.query("NO CYPHER AT ALL")
        except Failure as failure:
            print(f"refused: {failure.code}")
        stats = driver.statistics()
        print(f"{stats.returned} leases of {stats.acquired} are back; at most 2 connections: {stats.created <= 2}")


if __name__ == "__main__":
    main()
