"""Reads that say which server answered, and writes that are read by their bookmark (Python driver).

usage: balance_load.py URI USER PASSWORD reads WORKERS RATE
       balance_load.py URI USER PASSWORD pairs WORKERS FIRST COUNT

reads: managed reads at random times, RATE a second, until standard input ends. Prints
{"reads": [[begin, seconds, server]], "failed": [[begin, seconds, text]]}.

pairs: COUNT times a write, a read by its bookmark, a read by none, and one by the bookmark of that, each in a session of its
own. Prints {"done": n, "missed": [[id, server, rows]], "elsewhere": [[issuer, server]], "plain": {server: n}, "failed": [text]}.
tests/driver/go/balance is the same in Go.
"""
from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import threading
import time
from collections import Counter
from typing import Any

import neo4j

READ = "MATCH (s:Server), (i:Item {id: $id}) RETURN s.n"
ITEMS = 100
# A pair of one worker every so often at most, so that half of the machine stays free.
PAIR_SECONDS = 0.11


async def read(driver: neo4j.AsyncDriver, query: str, bookmarks: Any = None, **parameters: Any) -> tuple[list[Any], Any]:
    """The single row of a managed read, and its bookmarks."""
    async def unit(tx: neo4j.AsyncManagedTransaction) -> list[Any]:
        row = await (await tx.run(query, parameters)).single(strict=True)
        return list(row.values())

    async with driver.session(database="neo4j", bookmarks=bookmarks, default_access_mode=neo4j.READ_ACCESS) as session:
        return await session.execute_read(unit), await session.last_bookmarks()


async def reads(driver: neo4j.AsyncDriver, workers: int, rate: int) -> dict[str, Any]:
    done: list[list[Any]] = []
    failed: list[list[Any]] = []
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

    async def work() -> None:
        due = time.time()
        while not ended.is_set():
            # Who was held up does not make up for it: the rate is never above what was asked for.
            due = max(due, time.time()) + random.expovariate(rate / workers)
            await asyncio.sleep(due - time.time())
            begin, clock = time.time(), time.monotonic()
            try:
                row, _ = await read(driver, READ, id=random.randrange(ITEMS))
            except Exception as caught:  # noqa: BLE001 - every end is written down
                failed.append([begin, time.monotonic() - clock, f"{type(caught).__name__}: {caught}"])
            else:
                done.append([begin, time.monotonic() - clock, row[0]])

    await asyncio.gather(*(work() for _ in range(workers)))
    return {"reads": done, "failed": failed}


async def pairs(driver: neo4j.AsyncDriver, workers: int, first: int, count: int) -> dict[str, Any]:
    ids = iter(range(first, first + count))
    missed: list[list[Any]] = []
    elsewhere: list[list[Any]] = []
    failed: list[str] = []
    plain: Counter[int] = Counter()
    done = 0

    async def write(number: int) -> Any:
        async def unit(tx: neo4j.AsyncManagedTransaction) -> None:
            await (await tx.run("CREATE (:Pair {id: $id})", id=number)).consume()

        async with driver.session(database="neo4j") as session:
            await session.execute_write(unit)
            return await session.last_bookmarks()

    async def pair(number: int) -> None:
        nonlocal done
        written = await write(number)
        (rows, server), _ = await read(driver, "MATCH (s:Server) OPTIONAL MATCH (p:Pair {id: $id}) RETURN count(p), s.n", written, id=number)
        if rows != 1:
            missed.append([number, server, rows])
        (issuer,), issued = await read(driver, READ, id=number % ITEMS)
        plain[issuer] += 1
        (server,), _ = await read(driver, READ, issued, id=number % ITEMS)
        if server != issuer:
            elsewhere.append([issuer, server])
        done += 1

    async def work() -> None:
        for number in ids:
            due = time.monotonic() + PAIR_SECONDS
            try:
                await pair(number)
            except Exception as caught:  # noqa: BLE001 - every end is written down
                failed.append(f"{number}: {type(caught).__name__}: {caught}")
            await asyncio.sleep(due - time.monotonic())

    await asyncio.gather(*(work() for _ in range(workers)))
    return {"done": done, "missed": missed, "elsewhere": elsewhere, "plain": plain, "failed": failed}


async def main(uri: str, user: str, password: str, what: str, workers: str, *numbers: str) -> None:
    driver = neo4j.AsyncGraphDatabase.driver(uri, auth=(user, password), max_connection_pool_size=int(workers), max_transaction_retry_time=30)
    async with driver:
        result = await {"reads": reads, "pairs": pairs}[what](driver, int(workers), *map(int, numbers))
    json.dump(result, sys.stdout)


logging.getLogger("neo4j").setLevel(logging.ERROR)
asyncio.run(main(*sys.argv[1:]))
