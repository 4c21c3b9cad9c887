"""Results: large, read in parts, closed early, two at a time, failing midway."""
from __future__ import annotations

from typing import Any

from env import Env, raises, scenario


@scenario
def result_50000(env: Env) -> Any:
    with env.session() as session:
        result = session.run("UNWIND range(1, 50000) AS i RETURN i, toString(i) AS s, [i, i * 0.5] AS l")
        count = total = length = 0
        for record in result:
            count += 1
            total += record["i"] + int(record["l"][1] * 2)
            length += len(record["s"])
        return [count, total, length, result.keys()]


@scenario
def result_closed_early(env: Env) -> Any:
    seen = []
    for _ in range(3):
        session = env.session()
        result = session.run("UNWIND range(1, 100000) AS i RETURN i")
        seen.append([record.value() for record, _ in zip(result, range(10))])
        session.close()
        seen.append(env.run("RETURN 'next'"))
    with env.session() as session:
        result = session.run("UNWIND range(1, 100000) AS i RETURN i")
        seen.append(next(result).value())
        summary = result.consume()
        seen.append([summary.query_type, summary.database])
        seen.append(session.run("RETURN 'same session'").single().value())
    return seen


@scenario
def result_two_open(env: Env) -> Any:
    with env.session(fetch_size=5) as session, session.begin_transaction() as tx:
        first = tx.run("UNWIND range(1, 40) AS i RETURN i")
        second = tx.run("UNWIND range(101, 130) AS i RETURN i")
        pairs = [[a.value(), b.value()] for a, b in zip(first, second)]
        rest = [record.value() for record in first]
        tx.commit()
    return [pairs, rest]


@scenario
def result_small_fetch(env: Env) -> Any:
    with env.session(fetch_size=7) as session:
        rows = [record.value() for record in session.run("UNWIND range(1, 100) AS i RETURN i")]
        exact = [record.value() for record in session.run("UNWIND range(1, 14) AS i RETURN i")]
        none = session.run("UNWIND [] AS i RETURN i").values()
    with env.session(fetch_size=-1) as session:
        everything = len(session.run("UNWIND range(1, 3000) AS i RETURN i").values())
    return [rows, exact, none, everything]


@scenario
def result_pulled_after_next(env: Env) -> Any:
    """A new query in the session before the last result was read: the driver buffers it."""
    with env.session(fetch_size=10) as session:
        first = session.run("UNWIND range(1, 35) AS i RETURN i")
        second = session.run("UNWIND range(1, 35) AS i RETURN -i AS i")
        return [first.value(), second.value()]


@scenario
def result_error_midway(env: Env) -> Any:
    rows = []

    def read(session: Any) -> None:
        for record in session.run("UNWIND [4, 2, 1, 0] AS x RETURN 4 / x AS v"):
            rows.append(record.value())

    with env.session() as session:
        error = raises(env, read, session)
        return [rows, error, session.run("RETURN 1").single().value()]


@scenario
def result_shape(env: Env) -> Any:
    with env.session() as session:
        wide = session.run("RETURN " + ", ".join(f"{i} AS c{i}" for i in range(300))).single()
        empty = session.run(f"CREATE (:{env.label})")
        return [wide.values(), wide.keys()[-1], empty.keys(), empty.values()]
