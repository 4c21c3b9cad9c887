"""Two users in turns through one address, each checking its own name in every transaction (Python driver).

usage: identity_load.py URI COUNT SEED NAME:PASSWORD NAME:PASSWORD

Prints {"right": n, "wrong": [[expected, seen]], "sizes": {size: n}}.
"""
from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

import neo4j

WORKERS = 24  # of each user: three times the links
# How often each size of parameter is sent: mostly none, now and then more than a link may be given before its log-in.
SIZES = {0: 70, 1_000: 15, 10_000: 10, 300_000: 4, 4_000_000: 1}
# In the system database the server names the user; in another, its list of transactions does.
BY_NAME = "SHOW CURRENT USER YIELD user RETURN user, size($big) AS size"
BY_LIST = "SHOW TRANSACTIONS YIELD username, metaData WHERE metaData.tag = $tag RETURN username AS user, size($big) AS size"


async def main(uri: str, count: str, seed: str, *users: str) -> None:
    dice = random.Random(int(seed))
    jobs = iter(range(int(count)))
    right = 0
    wrong: list[list[Any]] = []
    sizes: Counter[int] = Counter()

    async def work(driver: neo4j.AsyncDriver, name: str) -> None:
        nonlocal right
        for number in jobs:
            size = dice.choices(list(SIZES), list(SIZES.values()))[0]
            parameters = {"big": "x" * size, "tag": f"{name}-{number}"}
            how = dice.randrange(3)
            database, query = ("system", BY_NAME) if how < 2 else ("neo4j", BY_LIST)
            async with driver.session(database=database) as session:
                if how == 0:
                    result = await session.run(query, parameters)
                    record = await result.single(strict=True)
                else:
                    tx = await session.begin_transaction(metadata={"tag": parameters["tag"]})
                    result = await tx.run(query, parameters)
                    record = await result.single(strict=True)
                    await tx.commit()
            sizes[size] += 1
            if record["user"] == name and record["size"] == size:
                right += 1
            else:
                wrong.append([name, record["user"], size, record["size"]])

    drivers = []
    for user in users:
        name, password = user.split(":")
        drivers.append((neo4j.AsyncGraphDatabase.driver(uri, auth=(name, password), max_connection_pool_size=WORKERS,
                                                        connection_acquisition_timeout=300), name))
    await asyncio.gather(*(work(driver, name) for driver, name in drivers for _ in range(WORKERS)))
    for driver, _ in drivers:
        await driver.close()
    json.dump({"right": right, "wrong": wrong, "sizes": sizes}, sys.stdout)


asyncio.run(main(*sys.argv[1:]))
