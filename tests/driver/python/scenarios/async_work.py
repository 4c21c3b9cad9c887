"""The asyncio driver: the same wire, other code; and cancelled work."""
from __future__ import annotations

import asyncio
from typing import Any

import neo4j

from env import Env, check, scenario

# Looks for termination while it runs, on 5.x and later; would take minutes.
LONG = "UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)"


def with_driver(env: Env, work: Any) -> Any:
    async def main() -> Any:
        driver = neo4j.AsyncGraphDatabase.driver(env.uri, auth=env.auth, **env.options)
        async with driver:
            return await work(driver)

    return asyncio.run(main())


@scenario
def async_basic(env: Env) -> Any:
    async def work(driver: neo4j.AsyncDriver) -> Any:
        async with driver.session(database="neo4j") as session:
            tx = await session.begin_transaction()
            result = await tx.run(f"UNWIND range(1, 2500) AS i CREATE (n:{env.label} {{i: i}}) RETURN n.i AS i")
            total = 0
            async for record in result:
                total += record["i"]
            await tx.commit()
            result = await session.run(f"MATCH (n:{env.label}) RETURN count(n)")
            return [total, (await result.single()).value()]

    return with_driver(env, work)


@scenario
def async_parallel(env: Env) -> Any:
    async def work(driver: neo4j.AsyncDriver) -> Any:
        async def task(number: int) -> int:
            async with driver.session(database="neo4j") as session:
                for i in range(20):
                    async def unit(tx: neo4j.AsyncManagedTransaction) -> None:
                        await (await tx.run(f"CREATE (:{env.label} {{id: $id}})", id=number * 20 + i)).consume()
                    await session.execute_write(unit)
            return number

        done = await asyncio.gather(*(task(n) for n in range(20)))
        records, _, _ = await driver.execute_query(
            f"MATCH (n:{env.label}) RETURN count(n) AS n, count(DISTINCT n.id) AS ids, sum(n.id) AS s", database_="neo4j")
        return [sum(done), records[0].data()]

    return with_driver(env, work)


@scenario
def cancel_running(env: Env) -> Any:
    """A cancelled task drops its connection in mid-query; new work must succeed at once."""
    if env.server_major < 5:
        return "not on this server"  # its running queries do not notice that their client is gone
    async def work(driver: neo4j.AsyncDriver) -> Any:
        async def forever(explicit: bool) -> None:
            async with driver.session(database="neo4j") as session:
                if explicit:
                    tx = await session.begin_transaction()
                    await (await tx.run(LONG)).consume()
                else:
                    await (await session.run(LONG)).consume()

        seen = []
        for explicit in (False, True) * 3:
            task = asyncio.create_task(forever(explicit))
            await asyncio.sleep(0.15)
            check(not task.done())
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                seen.append("cancelled")
            records, _, _ = await driver.execute_query("RETURN 1 AS x", database_="neo4j")
            seen.append(records[0]["x"])
        return seen

    return with_driver(env, work)
