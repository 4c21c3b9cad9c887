"""Writes unique ids in managed transactions with the Python driver, as many at once as there are workers.

usage: load.py URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS

Prints {"ok": [ids], "failed": [[id, type, text]]}; see tests/driver/go/load for why
nodes hold the number of the attempt.
"""
from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import neo4j


async def main(uri: str, user: str, password: str, label: str, *numbers: str) -> None:
    first, count, workers, retry = map(int, numbers)
    ids = iter(range(first, first + count))
    ok: list[int] = []
    failed: list[list[Any]] = []

    async def work(driver: neo4j.AsyncDriver) -> None:
        for number in ids:
            attempt = 0

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

    driver = neo4j.AsyncGraphDatabase.driver(uri, auth=(user, password), max_connection_pool_size=workers, max_transaction_retry_time=retry,
                                             connection_acquisition_timeout=300)
    async with driver:
        await asyncio.gather(*(work(driver) for _ in range(workers)))
    json.dump({"ok": ok, "failed": failed}, sys.stdout)


logging.getLogger("neo4j").setLevel(logging.ERROR)
asyncio.run(main(*sys.argv[1:]))
