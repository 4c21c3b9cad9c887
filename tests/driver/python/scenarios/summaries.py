"""What a driver tells beside the rows: counters, plans, notifications, the server."""
from __future__ import annotations

from typing import Any

import neo4j

from env import DRIVER_MAJOR, Env, raises, scenario


def operators(plan: dict[str, Any]) -> Any:
    return [plan["operatorType"], sorted(plan.get("identifiers", [])), [operators(child) for child in plan.get("children", [])]]


def status_codes(summary: neo4j.ResultSummary) -> list[str]:
    """Codes of the notifications; the classic list on old servers, else the GQL status objects."""
    codes = [notification["code"] for notification in summary.notifications or []]
    if hasattr(summary, "gql_status_objects"):
        codes += [status.gql_status for status in summary.gql_status_objects]
    return sorted(codes)


@scenario
def summary_counters(env: Env) -> Any:
    label = env.label
    queries = [
        f"CREATE (a:{label} {{k: 1}})-[:R {{x: 1}}]->(b:{label}:Second)",
        f"MATCH (a:{label} {{k: 1}}) SET a.k = 2, a:Third REMOVE a:{label}:Second",
        f"MATCH (a:{label})-[r]-() DELETE r",
        f"CREATE INDEX {label} FOR (n:{label}) ON (n.k)",
        f"DROP INDEX {label}",
        f"MATCH (n:{label}) RETURN count(n)",
        f"MATCH (n:{label}) DETACH DELETE n RETURN count(n)",
        "UNWIND [] AS x RETURN x",
    ]
    seen = []
    with env.session() as session:
        for query in queries:
            summary = session.run(query).consume()
            counters = summary.counters
            fields = sorted((k, v) for k, v in vars(counters).items() if isinstance(v, (int, bool)))
            seen.append([summary.query_type, fields, counters.contains_updates, counters.contains_system_updates])
            seen.append([summary.database, status_codes(summary), summary.query.replace(env.tag, "TAG")])
    return seen


@scenario
def summary_system(env: Env) -> Any:
    name = "summary" + env.tag.lower()
    seen = []
    with env.session(database="system") as session:
        for query in (f"CREATE USER {name} SET PASSWORD 'testpass1'", f"DROP USER {name}"):
            summary = session.run(query).consume()
            seen.append([summary.counters.system_updates, summary.counters.contains_system_updates, summary.database])
        seen.append(sorted(session.run("SHOW DATABASES YIELD name").value()))
    return seen


@scenario
def summary_notifications(env: Env) -> Any:
    query = "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b"
    seen = []
    with env.session() as session:
        summary = session.run(query).consume()
        seen.append([sorted(n) for n in map(dict, summary.notifications or [])][:1])
        seen.append(status_codes(summary))
        seen.append(status_codes(session.run("EXPLAIN " + query).consume()))
    return seen


@scenario
def notification_filters(env: Env) -> Any:
    """A filter of the driver goes with HELLO, so a pooler must carry it to whatever link is borrowed."""
    if env.driver.get_server_info().protocol_version < (5, 2):
        return "not on this server"
    query = "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b"
    off = neo4j.NotificationMinimumSeverity.OFF
    warning = neo4j.NotificationMinimumSeverity.WARNING
    category = neo4j.NotificationDisabledCategory.UNRECOGNIZED
    seen = []
    for driver_config in ({}, {"notifications_min_severity": off}, {"notifications_min_severity": warning},
                          {"notifications_disabled_categories": [category]}):
        with env.open(**driver_config) as driver:
            for session_config in ({}, {"notifications_min_severity": off},
                                   {"notifications_disabled_categories": [category]},
                                   {"notifications_disabled_categories": []}):
                with driver.session(database="neo4j", **session_config) as session:
                    one = status_codes(session.run(query).consume())
                    two = session.execute_read(lambda tx: status_codes(tx.run(query).consume()))
                    seen.append([sorted(driver_config), sorted(session_config), one, two])
    return seen


@scenario
def summary_plans(env: Env) -> Any:
    query = f"MATCH (a:{env.label}) WHERE a.k > 1 RETURN a.k ORDER BY a.k LIMIT 3"
    seen = []
    with env.session() as session:
        for word in ("EXPLAIN", "PROFILE"):
            summary = session.run(f"{word} {query}").consume()
            plan = summary.plan if word == "EXPLAIN" else summary.profile
            seen.append([word, summary.query_type, operators(plan), (summary.plan is None), (summary.profile is None)])
    return seen


@scenario
def server_info(env: Env) -> Any:
    info = env.driver.get_server_info()
    seen = [info.agent, list(info.protocol_version), env.driver.verify_connectivity()]
    with env.driver.session() as session:  # no database named: the server must tell the home database
        summary = session.run("RETURN 1").consume()
        seen.append([summary.server.agent, list(summary.server.protocol_version), summary.database, str(summary.query_type)])
        seen.append(session.execute_read(lambda tx: tx.run("RETURN 1").consume().database))
    with env.open(uri=env.with_scheme("neo4j")) as driver:
        info = driver.get_server_info(database="neo4j")
        seen.append([info.agent, list(info.protocol_version), driver.supports_multi_db()])
    return seen


@scenario
def tx_metadata(env: Env) -> Any:
    show = "SHOW TRANSACTIONS YIELD metaData, username, database WHERE metaData.tag = $tag RETURN metaData, username, database"
    metadata = {"tag": env.tag, "n": 1, "list": [1, 2]}
    with env.session() as session:
        with session.begin_transaction(metadata=metadata) as tx:
            tx.run("RETURN 1").consume()
            with env.session() as other:
                rows = other.run(show, tag=env.tag).values()
        rows += session.run(neo4j.Query(show, metadata=metadata, timeout=30), tag=env.tag).values()
        managed = neo4j.unit_of_work(metadata=metadata, timeout=30)(lambda tx: tx.run(show, tag=env.tag).values())
        rows += session.execute_read(managed)
    for row in rows:
        row[0]["tag"] = row[0]["tag"] == env.tag
    return rows
