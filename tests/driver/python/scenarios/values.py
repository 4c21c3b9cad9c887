"""Every type of value there and back: what was sent must come back equal, and print the same."""
from __future__ import annotations

import hashlib
import math
from typing import Any

import pytz
from neo4j import spatial, time as ntime

from env import DRIVER_MAJOR, Env, check, scenario


def same(sent: Any, got: Any) -> bool:
    """Equality that knows NaN, tells -0.0 from 0.0 and 1 from 1.0 and True."""
    if isinstance(sent, float) and isinstance(got, float):
        return repr(sent) == repr(got)
    if isinstance(sent, list) and isinstance(got, list):
        return len(sent) == len(got) and all(map(same, sent, got))
    if isinstance(sent, dict) and isinstance(got, dict):
        return sent.keys() == got.keys() and all(same(sent[key], got[key]) for key in sent)
    return type(sent) is type(got) and sent == got


def echo(env: Env, values: list[Any]) -> list[str]:
    """Sends each value alone and all in one list."""
    shown = []
    with env.session() as session:
        for value in values:
            got = session.run("RETURN $v AS v", v=value).single()["v"]
            check(same(value, got), f"{value!r} came back as {got!r}")
            shown.append(repr(got) if len(repr(got)) < 200 else hashlib.sha256(repr(got).encode()).hexdigest())
        together = session.run("RETURN $v AS v", v=values).single()["v"]
        check(same(values, together), "the list differs")
    return shown


@scenario
def values_scalars(env: Env) -> Any:
    edges = [0, 1, -1, -16, -17, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536]
    edges += [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63)]
    floats = [0.0, -0.0, 1.1, -1e308, 5e-324, math.pi, math.inf, -math.inf, math.nan]
    return echo(env, [None, True, False, *edges, *floats])


@scenario
def values_strings(env: Env) -> Any:
    lengths = [0, 1, 15, 16, 255, 256, 65535, 65536, 100_000]
    texts = ["x" * n for n in lengths] + ["é" * 8, "\u0000", "日本語", "😀👩‍👩‍👧", "\ud7ff\ue000", "a\r\n\t\"'\\"]
    return echo(env, texts)


@scenario
def values_bytes(env: Env) -> Any:
    return echo(env, [bytes(n % 256 for n in range(length)) for length in (0, 1, 255, 256, 65535, 65536, 70_000)])


@scenario
def values_containers(env: Env) -> Any:
    nested: Any = 1
    for _ in range(20):
        nested = [{"deeper": nested}]
    lists = [[], [None], list(range(15)), list(range(16)), list(range(255)), list(range(256)), list(range(70_000))]
    maps = [{}, {"": 0}, *({f"k{i}": i for i in range(n)} for n in (15, 16, 255, 256, 1000))]
    return echo(env, [*lists, *maps, nested, {"mixed": [1, "a", 2.5, None, [True, {"ü": [b"\x00"]}]]}])


@scenario
def values_graph(env: Env) -> Any:
    query = (f"CREATE p = (a:{env.label}:Second {{name: 'a', n: 1}})-[:KNOWS {{since: 2000}}]->"
             f"(b:{env.label} {{name: 'b'}})<-[:KNOWS]-(c:{env.label}) RETURN a, b, c, relationships(p)[0] AS r, p")
    with env.session() as session:
        record = session.run(query).single()
    path = record["p"]
    check(path.start_node == record["a"] and path.end_node == record["c"])
    check(record["r"].nodes[0] == record["a"])
    return {
        "nodes": [[sorted(label.replace(env.tag, "TAG") for label in record[key].labels), dict(record[key])] for key in "abc"],
        "relationship": [record["r"].type, dict(record["r"])],
        "path": [[dict(node) for node in path.nodes], [[r.type, dict(r), r.start_node == record["a"]] for r in path]],
        "ids": [type(record["a"].element_id).__name__, record["a"].element_id != record["b"].element_id],
    }


@scenario
def values_temporal(env: Env) -> Any:
    offset = pytz.FixedOffset(-210)
    values = [
        ntime.Date(1, 1, 1), ntime.Date(1970, 1, 1), ntime.Date(9999, 12, 31),
        ntime.Time(0, 0, 0), ntime.Time(23, 59, 59, 999_999_999),
        ntime.Time(12, 34, 56, 789, tzinfo=offset),
        ntime.DateTime(1970, 1, 1), ntime.DateTime(2024, 2, 29, 23, 59, 59, 123_456_789),
        ntime.DateTime(1883, 11, 18, 12, 3, 58, tzinfo=offset),
        ntime.Duration(months=1, days=-2, seconds=3, nanoseconds=4),
        ntime.Duration(months=-14, days=400, seconds=-1, nanoseconds=-999_999_999),
    ]
    shown = echo(env, values)
    zoned = ["Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
    for zone in zoned:
        query = "WITH datetime({year: 2024, month: 7, day: 1, hour: 3, minute: 0, second: 0, nanosecond: 42, timezone: $zone}) AS d RETURN d"
        got = env.run(query, zone=zone)[0][0]
        again, text = env.run("RETURN $d AS d, toString($d) AS t", d=got)[0]
        check(got == again)
        shown.append([str(again), str(again.tzinfo), text])
    shown.append(env.run("RETURN [x IN $all | toString(x)] AS t", all=values)[0][0])
    return shown


@scenario
def values_spatial(env: Env) -> Any:
    points = [spatial.CartesianPoint((1.5, -2.5)), spatial.CartesianPoint((1.0, 2.0, 3.0)),
              spatial.WGS84Point((12.99, 55.6)), spatial.WGS84Point((12.99, 55.6, 100.0))]
    return [echo(env, points), sorted(p.srid for p in env.run("RETURN $p", p=points)[0][0])]


@scenario
def values_vector(env: Env) -> Any:
    """Vectors from Bolt 6 on; below, the server says what it could not send."""
    if DRIVER_MAJOR < 6 or env.driver.get_server_info().protocol_version < (6, 0):
        if env.server_major < 2025:
            return "not on this server"
        return repr(env.run("CYPHER 25 RETURN vector([1, 2, 3], 3, INTEGER8) AS v")[0][0])
    from neo4j.vector import Vector, VectorDType

    shown = []
    for kind in VectorDType:
        sent = Vector.from_native([1, 2, 3] if kind.value.startswith("i") else [1.5, -2.0, 0.25], kind)
        got = env.run("RETURN $v", v=sent)[0][0]
        check(got.raw() == sent.raw() and str(got) == str(sent), f"{sent} came back as {got}")
        shown.append(str(got))
    return shown


@scenario
def values_large(env: Env) -> Any:
    """Parameters of 10 KB, 300 KB and 4 MB, and a single value of 5 MB."""
    shown = []
    for size in (10_000, 300_000, 4_000_000):
        sent = hashlib.sha256(str(size).encode()).hexdigest() * (size // 64)
        got, length = env.run("RETURN $v AS v, size($v)", v=sent)[0]
        check(got == sent and length == len(sent))
        shown.append(length)
    big = env.run("RETURN reduce(s = $s, i IN range(1, 4) | s + s) AS v", s="0123456789abcdef" * 20_480)[0][0]
    check(big == "0123456789abcdef" * 20_480 * 16)
    rows = env.run("UNWIND range(1, 20) AS i RETURN i, $v", v="y" * 200_000)
    return [*shown, len(big), [[i, len(v)] for i, v in rows]]
