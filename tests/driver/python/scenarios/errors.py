"""Errors: code, message and whether work goes on afterwards."""
from __future__ import annotations

import time
from typing import Any

import neo4j

from env import Env, raises, scenario


@scenario
def error_syntax(env: Env) -> Any:
    return raises(env, env.run, "RETURN 1 AS")


@scenario
def error_runtime(env: Env) -> Any:
    return [raises(env, env.run, query) for query in ("RETURN 1 / 0", "RETURN $missing", "CALL no.such.procedure()")]


@scenario
def error_constraint(env: Env) -> Any:
    env.run(f"CREATE CONSTRAINT {env.label} FOR (n:{env.label}) REQUIRE n.k IS UNIQUE")
    with env.session() as session:  # managed: constraints of other runs may make the server ask for a repetition
        create = f"CREATE (:{env.label} {{k: 1}})"
        session.execute_write(lambda tx: tx.run(create).consume())
        error = raises(env, session.execute_write, lambda tx: tx.run(create).consume())
    env.run(f"DROP CONSTRAINT {env.label}")
    return [error, env.count()]


@scenario
def error_then_continue(env: Env) -> Any:
    seen: list[Any] = []
    with env.session() as session:
        for i in range(5):
            seen.append(raises(env, lambda: session.run("RETURN x").consume())["code"])
            seen.append(session.run("RETURN $i AS i", i=i).single().value())
            seen.append(raises(env, lambda: session.run("RETURN 1 / 0 AS x").consume())["code"])
    return seen


@scenario
def error_in_tx(env: Env) -> Any:
    with env.session() as session:
        tx = session.begin_transaction()
        tx.run(f"CREATE (:{env.label})").consume()
        first = raises(env, lambda: tx.run("RETURN x").consume())
        second = raises(env, lambda: tx.run("RETURN 1").consume())
        third = raises(env, tx.commit)
        tx.close()
        after = session.execute_write(lambda tx: tx.run("RETURN 1").single().value())
    return [first, second, third, after, env.count()]


@scenario
def error_tx_timeout(env: Env) -> Any:
    """The servers look for timeouts every 100 ms (configured); the transaction is idle when it ends."""
    with env.session() as session:
        tx = session.begin_transaction(timeout=1.0, metadata={"why": "timeout"})
        tx.run(f"CREATE (:{env.label})").consume()
        time.sleep(2.2)
        error = raises(env, lambda: tx.run("RETURN 1").consume())
        tx.close()
        return [error, session.run("RETURN 1").single().value(), env.count()]


@scenario
def error_database(env: Env) -> Any:
    def run(database: str, explicit: bool) -> None:
        with env.session(database=database) as session:
            if explicit:
                with session.begin_transaction() as tx:
                    tx.run("RETURN 1").consume()
            else:
                session.run("RETURN 1").consume()

    seen = [raises(env, run, "nosuchdb", explicit) for explicit in (False, True)]
    with env.open(uri=env.with_scheme("neo4j")) as driver:
        with driver.session(database="nosuchdb") as session:
            seen.append(raises(env, lambda: session.run("RETURN 1").consume()))
        seen.append(driver.execute_query("RETURN 1 AS x", database_="neo4j").records[0].data())
    return seen


@scenario
def error_bookmark(env: Env) -> Any:
    def run() -> None:
        with env.session(bookmarks=neo4j.Bookmarks.from_raw_values(["not a bookmark"])) as session:
            session.run("RETURN 1").consume()

    return [raises(env, run), env.run("RETURN 1")]


@scenario
def error_read_mode(env: Env) -> Any:
    with env.session(default_access_mode=neo4j.READ_ACCESS) as session:
        first = raises(env, lambda: session.run(f"CREATE (:{env.label})").consume())
        second = raises(env, session.execute_read, lambda tx: tx.run(f"CREATE (:{env.label})").consume())
    return [first, second, env.count()]


@scenario
def error_impersonation(env: Env) -> Any:
    def run() -> None:
        with env.session(impersonated_user=env.alice[0]) as session:
            session.run("RETURN 1").consume()

    return [raises(env, run), env.run("RETURN 1")]


@scenario
def error_parameters(env: Env) -> Any:
    """Values that never reach the server, and one it refuses; the session goes on."""
    node = env.run(f"CREATE (n:{env.label}) RETURN n")[0][0]
    with env.session() as session:
        seen = [raises(env, lambda: session.run("RETURN $v", v=2**63).consume())]
        try:
            session.run("RETURN $v", v=node).consume()
        except Exception as caught:  # the type differs between driver versions
            seen.append(type(caught).__name__)
        seen.append(session.run("RETURN 1").single().value())
    return seen
