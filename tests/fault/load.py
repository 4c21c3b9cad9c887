"""Writes unique ids in managed transactions with the Python driver, as many at once as there are workers.

usage: load.py URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS

COUNT 0: until standard input ends.
Prints {"ok": [ids], "failed": [[id, type, text]], "longest": seconds}; see tests/driver/go/load for why
nodes hold the number of the attempt.
"""
from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sys
import threading
import time
from typing import Any

import neo4j


async def main(uri: str, user: str, password: str, label: str, *numbers: str) -> None:
    first, count, workers, retry = map(int, numbers)
    ids = iter(range(first, first + count)) if count else itertools.count(first)
    longest = 0.0
    ended = threading.Event()
    if not count:
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    ok: list[int] = []
    failed: list[list[Any]] = []

    async def work(driver: neo4j.AsyncDriver) -> None:
        nonlocal longest
        for number in ids:
            if ended.is_set():
                break
            attempt = 0
            began = time.monotonic()

            async def unit(tx: neo4j.AsyncManagedTransaction) -> None:
                nonlocal attempt
                attempt += 1
                result = await tx.run(f"CREATE (:{label} {{id: $id, attempt: $attempt}})", id=number, attempt=attempt)
                await result.consume()

            try:
                async with driver.session(database="neo4j") as session:
                    await session.execute_write(unit)
            except Exception as caught:  # noqa: BLE001 - every end is written down
                failed.append([number, type(caught).__name__, str(caught)])
            else:
                ok.append(number)
            longest = max(longest, time.monotonic() - began)

    driver = neo4j.AsyncGraphDatabase.driver(uri, auth=(user, password), max_connection_pool_size=workers, max_transaction_retry_time=retry,
                                             connection_acquisition_timeout=300)
    async with driver:
        await asyncio.gather(*(work(driver) for _ in range(workers)))
    json.dump({"ok": ok, "failed": failed, "longest": longest}, sys.stdout)


logging.getLogger("neo4j").setLevel(logging.ERROR)
asyncio.run(main(*sys.argv[1:]))
