"""Transactions of every kind, sessions, many at once."""
from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import neo4j
from neo4j.exceptions import SessionExpired

from env import Env, check, raises, scenario


@scenario
def tx_commit(env: Env) -> Any:
    with env.session() as session:
        with session.begin_transaction() as tx:
            tx.run(f"CREATE (:{env.label} {{i: 1}})")
            inside = tx.run(f"MATCH (n:{env.label}) RETURN count(n)").single().value()
            outside = env.count()
            tx.commit()
    return [inside, outside, env.count()]


@scenario
def tx_rollback(env: Env) -> Any:
    with env.session() as session:
        tx = session.begin_transaction()
        tx.run(f"CREATE (:{env.label})").consume()
        tx.rollback()
        with session.begin_transaction() as tx:
            tx.run(f"CREATE (:{env.label})").consume()  # the end of the block commits
        with session.begin_transaction() as tx:
            empty = tx.closed()
    return [env.count(), empty]


@scenario
def tx_empty(env: Env) -> Any:
    with env.session() as session:
        for _ in range(5):
            session.begin_transaction().commit()
            session.begin_transaction().rollback()
        return session.run("RETURN 1").single().value()


@scenario
def tx_abandoned_stream(env: Env) -> Any:
    """Commit with a result still open."""
    with env.session() as session:
        tx = session.begin_transaction()
        result = tx.run(f"UNWIND range(1, 5000) AS i CREATE (n:{env.label} {{i: i}}) RETURN n.i")
        first = next(iter(result)).value()
        tx.commit()
    return [first, env.count()]


@scenario
def autocommit(env: Env) -> Any:
    with env.session() as session:
        session.run(f"CREATE (:{env.label})").consume()
        session.run(f"CREATE (:{env.label})")  # never looked at: the session's end must finish it
        inside = session.run(f"MATCH (n:{env.label}) RETURN count(n)").single().value()
    return [inside, env.count()]


@scenario
def autocommit_in_transactions(env: Env) -> Any:
    query = f"UNWIND range(1, 100) AS i CALL {{ WITH i CREATE (:{env.label} {{i: i}}) }} IN TRANSACTIONS OF 10 ROWS"
    with env.session() as session:
        counters = session.run(query).consume().counters.nodes_created

        def explicit() -> None:
            with session.begin_transaction() as tx:
                tx.run(query).consume()

        return [counters, env.count(), raises(env, explicit)]


@scenario
def managed(env: Env) -> Any:
    with env.session() as session:
        written = session.execute_write(
            lambda tx: tx.run(f"CREATE (n:{env.label} {{i: $i}}) RETURN n.i", i=7).single().value())
        read = session.execute_read(lambda tx: tx.run(f"MATCH (n:{env.label}) RETURN n.i").value())
        records, summary, keys = env.driver.execute_query(
            f"MATCH (n:{env.label}) RETURN n.i AS i", database_="neo4j", routing_=neo4j.RoutingControl.READ)
    return [written, read, [record.data() for record in records], keys, summary.query_type]


@scenario
def managed_retry(env: Env) -> Any:
    """A unit of work that fails once with a retryable error and then succeeds; nothing of the first try stays."""
    tries = []

    def unit(tx: neo4j.ManagedTransaction) -> int:
        tries.append(1)
        tx.run(f"CREATE (:{env.label} {{try: $n}})", n=len(tries)).consume()
        if len(tries) == 1:
            raise SessionExpired("made by the test")
        return len(tries)

    with env.session() as session:
        value = session.execute_write(unit)
    return [value, env.run(f"MATCH (n:{env.label}) RETURN n.try")]


@scenario
def managed_deadlock(env: Env) -> Any:
    """The server itself ends the managed transaction (a deadlock); the driver's retry makes it succeed."""
    env.run(f"CREATE (:{env.label} {{k: 'a', n: 0}}), (:{env.label} {{k: 'b', n: 0}})")
    lock = f"MATCH (n:{env.label} {{k: $k}}) SET n.n = n.n + 1"
    tries = []
    with env.session() as first, env.session() as second, ThreadPoolExecutor(1) as pool:
        other = first.begin_transaction()  # older than the managed one, so the managed one is the victim
        other.run(lock, k="b").consume()
        waiting = []

        def unit(tx: neo4j.ManagedTransaction) -> int:
            tries.append(1)
            tx.run(lock, k="a").consume()
            if not waiting:
                waiting.append(pool.submit(lambda: (other.run(lock, k="a").consume(), other.commit())))
                time.sleep(0.3)
            tx.run(lock, k="b").consume()
            return len(tries)

        value = second.execute_write(unit)
        waiting[0].result(timeout=60)
    return [value, env.run(f"MATCH (n:{env.label}) RETURN n.k, n.n ORDER BY n.k")]


@scenario
def managed_user_error(env: Env) -> Any:
    def unit(tx: neo4j.ManagedTransaction) -> None:
        tx.run(f"CREATE (:{env.label})").consume()
        raise ValueError("not retryable")

    with env.session() as session:
        error = raises(env, session.execute_write, unit)
        return [error, env.count(), session.run("RETURN 1").single().value()]


@scenario
def session_reuse(env: Env) -> Any:
    with env.session() as session:
        return sum(session.run("RETURN $i AS i", i=i).single().value() for i in range(200))


@scenario
def session_many(env: Env) -> Any:
    total = 0
    for i in range(100):
        with env.session() as session:
            total += session.run("RETURN $i AS i", i=i).single().value()
    return total


@scenario
def parallel(env: Env) -> Any:
    """20 tasks of 20 transactions over more connections than a pooler may have."""
    def task(number: int) -> int:
        total = 0
        with env.session() as session:
            for i in range(20):
                total += session.execute_write(
                    lambda tx: tx.run(f"CREATE (n:{env.label} {{id: $id}}) RETURN n.id AS id", id=number * 20 + i)
                    .single().value())
        return total

    with ThreadPoolExecutor(20) as pool:
        totals = list(pool.map(task, range(20)))
    rows = env.run(f"MATCH (n:{env.label}) RETURN count(n), count(DISTINCT n.id), sum(n.id)")
    return [totals, rows]


@scenario
def bookmarks(env: Env) -> Any:
    seen = []
    with env.session() as session:
        check(not session.last_bookmarks().raw_values)
        for i in range(5):
            session.execute_write(lambda tx: tx.run(f"CREATE (:{env.label} {{i: $i}})", i=i).consume())
            marks = session.last_bookmarks()
            with env.session(bookmarks=marks, default_access_mode=neo4j.READ_ACCESS) as reader:
                seen.append(reader.execute_read(lambda tx: tx.run(f"MATCH (n:{env.label}) RETURN count(n)").single().value()))
                seen.append(len(reader.last_bookmarks().raw_values))
    manager = neo4j.GraphDatabase.bookmark_manager()
    with env.session(bookmark_manager=manager) as session:
        session.run(f"CREATE (:{env.label})").consume()
    with env.session(bookmark_manager=manager) as session:
        seen.append(session.run(f"MATCH (n:{env.label}) RETURN count(n)").single().value())
    return seen


@scenario
def pause_in_tx(env: Env) -> Any:
    with env.session() as session, session.begin_transaction() as tx:
        tx.run(f"CREATE (:{env.label})").consume()
        time.sleep(0.5)
        value = tx.run(f"MATCH (n:{env.label}) RETURN count(n)").single().value()
        tx.commit()
    return value


@scenario
def liveness_check(env: Env) -> Any:
    """A driver that sends RESET before every reuse."""
    total = 0
    with env.open(liveness_check_timeout=0) as driver:
        for i in range(20):
            with driver.session(database="neo4j") as session:
                total += session.run("RETURN $i AS i", i=i).single().value()
    return total


@scenario
def connection_lifetime(env: Env) -> Any:
    """Connections that the driver replaces all the time."""
    total = 0
    with env.open(max_connection_lifetime=0) as driver:
        for i in range(10):
            with driver.session(database="neo4j") as session:
                total += session.run("RETURN $i AS i", i=i).single().value()
    return total


@scenario
def schemes(env: Env) -> Any:
    seen = []
    for scheme in ("bolt", "neo4j"):
        with env.open(uri=env.with_scheme(scheme)) as driver:
            driver.verify_connectivity()
            for mode in (neo4j.READ_ACCESS, neo4j.WRITE_ACCESS):
                for database in ("neo4j", None, "system"):
                    with driver.session(database=database, default_access_mode=mode) as session:
                        result = session.run("SHOW DEFAULT DATABASE YIELD name" if database == "system" else "RETURN 'x' AS name")
                        rows = result.value()
                        seen.append([scheme, mode, database, rows, result.consume().database])
    return seen


@scenario
def cancel_thread(env: Env) -> Any:
    """A session closed by its own thread while another transaction waits for a lock it holds."""
    env.run(f"CREATE (:{env.label} {{n: 0}})")
    started = threading.Event()
    outcome = []

    def waiter() -> None:
        with env.session() as session:
            started.set()
            outcome.append(session.run(f"MATCH (n:{env.label}) SET n.n = n.n + 1 RETURN n.n").single().value())

    holder = env.session()
    tx = holder.begin_transaction()
    tx.run(f"MATCH (n:{env.label}) SET n.n = 100").consume()
    thread = threading.Thread(target=waiter)
    thread.start()
    started.wait()
    time.sleep(0.2)
    holder.close()  # rolls back, so the waiter goes on from 0
    thread.join(60)
    return outcome
