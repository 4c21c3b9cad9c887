"""Work: results in parts, several results, errors, pipelines, RESET in every place, routing."""
from __future__ import annotations

import time

from bolt import Raw, message, pack
from scripts.talk import (ADDRESS, BAD, BEGIN, COMMIT, DISCARD, GOODBYE, PULL, RESET, ROLLBACK, RUN1, RUN10, SCRIPTS, Script, Talk, begin,
                          discard, pull, route, run, script)

LONG = run("UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)")
RACE = 12


@script("has_more with every n")
def has_more(talk: Talk) -> None:
    for n in (1, 3, 5, 9, 10, 11, 1000, -1):
        talk.call(RUN10)
        while talk.call(pull(n)) and "has_more" in talk.seen[-1]:
            pass


@script("PULL in parts and DISCARD of the rest")
def pull_discard(talk: Talk) -> None:
    talk.each(RUN10, pull(3), DISCARD)
    talk.each(BEGIN, RUN10, pull(3), DISCARD, COMMIT)


@script("partial DISCARD", since=(5, 0))
def discard_part(talk: Talk) -> None:
    talk.each(RUN10, discard(3), pull(2), discard(1), PULL)


@script("DISCARD at once")
def discard_all(talk: Talk) -> None:
    talk.call(RUN10, DISCARD)
    talk.call(run("CREATE (n:Conf) DELETE n"), DISCARD)
    talk.call(BEGIN, RUN10, DISCARD, COMMIT)


@script("two results by qid")
def two_results(talk: Talk) -> None:
    talk.call(BEGIN, RUN10, run("UNWIND range(101, 105) AS x RETURN x"))
    talk.each(pull(2, qid=0), pull(2, qid=1), pull(2), pull(3, qid=0), pull(-1, qid=1), pull(-1, qid=0))
    talk.each(run("RETURN 7 AS x"), pull(), COMMIT)


@script("a result that is over, by qid")
def finished_qid(talk: Talk) -> None:
    talk.call(BEGIN, RUN10, PULL)
    talk.call(pull(-1, qid=0))
    talk.alive()


@script("qid in auto-commit", since=(5, 0))
def qid_auto(talk: Talk) -> None:
    talk.each(RUN10, pull(2, qid=0), pull(-1, qid=-1))


@script("COMMIT with unread results")
def commit_unread(talk: Talk) -> None:
    talk.each(BEGIN, RUN10, pull(1), RUN10, COMMIT)
    talk.each(BEGIN, RUN10, pull(1), ROLLBACK)
    talk.alive()


@script("no work in a transaction")
def empty_tx(talk: Talk) -> None:
    talk.each(BEGIN, COMMIT, BEGIN, ROLLBACK)
    talk.call(BEGIN, COMMIT, BEGIN, ROLLBACK, BEGIN, COMMIT)


@script("a whole transaction in one write")
def pipelined_tx(talk: Talk) -> None:
    talk.call(BEGIN, run("CREATE (n:Conf {a: 1}) RETURN n.a"), PULL, run("MATCH (n:Conf) DETACH DELETE n"), PULL, COMMIT)
    talk.call(BEGIN, RUN1, PULL, ROLLBACK, RUN1, PULL, BEGIN, RUN10, PULL, COMMIT)


@script("50 queries in one write")
def pipelined_queries(talk: Talk) -> None:
    talk.call(*[one for i in range(50) for one in (run("RETURN $i AS i", {"i": i}), PULL)])


@script("FAILURE, and IGNORED behind it")
def ignored(talk: Talk) -> None:
    talk.call(BAD, PULL, RUN1, PULL)
    talk.call(RUN1, PULL)
    talk.alive()


@script("FAILURE in a pipelined transaction")
def ignored_tx(talk: Talk) -> None:
    talk.call(BEGIN, RUN1, PULL, BAD, PULL, COMMIT)
    talk.call(ROLLBACK)
    talk.alive()


@script("rows, then FAILURE")
def rows_then_failure(talk: Talk) -> None:
    bad = run("UNWIND [2, 1, 0] AS x RETURN 2 / x AS v")
    talk.call(bad, PULL)
    talk.alive()
    talk.call(BEGIN, bad, pull(1))
    talk.call(pull(1), pull(1), COMMIT)
    talk.alive()


@script("FAILURE when the first rows are pulled in parts")
def failure_late(talk: Talk) -> None:
    talk.call(run("UNWIND range(3, 0, -1) AS x RETURN 6 / x AS v"), pull(1))
    talk.each(pull(1), pull(1), pull(1))
    talk.alive()


@script("RESET in READY")
def reset_ready(talk: Talk) -> None:
    talk.each(RESET, RESET)
    talk.alive()


@script("RESET rolls back")
def reset_rolls_back(talk: Talk) -> None:
    label = f"Reset{id(talk)}"
    talk.quietly(BEGIN, run(f"CREATE (:{label})"), PULL)
    talk.call(RESET)
    talk.call(run(f"MATCH (n:{label}) RETURN count(n)"), PULL)


@script("RESET before work, in one write")
def reset_first(talk: Talk) -> None:
    talk.call(RESET, RUN1, PULL)
    talk.call(RESET, BEGIN, RUN1, PULL, COMMIT)


@script("RESET of a half-read result")
def reset_stream(talk: Talk) -> None:
    talk.each(RUN10, pull(2), RESET)
    talk.each(BEGIN, RUN10, pull(2), RESET)
    talk.alive()


@script("five RESETs in one write", times=RACE)
def resets(talk: Talk) -> None:
    talk.call(*[RESET] * 5)
    talk.call(RUN1, PULL)


@script("RUN, PULL and RESET in one write", times=RACE)
def run_reset(talk: Talk) -> None:
    talk.call(RUN1, PULL, RESET)
    talk.call(RUN1, PULL)


@script("a failing RUN and RESET in one write", times=RACE)
def bad_reset(talk: Talk) -> None:
    talk.call(BAD, PULL, RESET)
    talk.call(RUN1, PULL)


@script("BEGIN and RESET in one write", times=RACE)
def begin_reset(talk: Talk) -> None:
    if talk.call(BEGIN, RESET):
        talk.call(RUN1, PULL)


@script("BEGIN, RUN, PULL and RESET in one write", times=RACE)
def tx_reset(talk: Talk) -> None:
    if talk.call(BEGIN, RUN1, PULL, RESET):
        talk.call(RUN1, PULL)


@script("COMMIT and RESET in one write", times=RACE)
def commit_reset(talk: Talk) -> None:
    talk.quietly(BEGIN, RUN1, PULL)
    talk.call(COMMIT, RESET)
    talk.call(RUN1, PULL)


@script("ROLLBACK and RESET in one write", times=RACE)
def rollback_reset(talk: Talk) -> None:
    talk.quietly(BEGIN, RUN1, PULL)
    talk.call(ROLLBACK, RESET)
    talk.call(RUN1, PULL)


@script("RESET of a running query", since=(5, 0), times=3)
def reset_running(talk: Talk) -> None:
    for prepare in ((), (BEGIN,)):
        if prepare:
            talk.quietly(*prepare)
        talk.send(LONG, PULL)
        time.sleep(0.2)
        talk.send(RESET)
        talk.answers(3)
        talk.call(RUN1, PULL)


@script("GOODBYE in a stream and in a transaction")
def goodbye(talk: Talk) -> None:
    for before in ((RUN10, pull(1)), (BEGIN, RUN10), (BAD,), ()):
        talk.open()
        talk.connection.call(*before) if before else None
        talk.send(GOODBYE)
        talk.gone()


@script("GOODBYE behind work in one write")
def goodbye_behind(talk: Talk) -> None:
    talk.call(RUN1, PULL)
    talk.send(RESET, GOODBYE)
    talk.gone()


@script("ROUTE in its forms", since=(4, 4))
def routes(talk: Talk) -> None:
    for context in ({"address": ADDRESS}, {"address": "1.2.3.4"}, {"address": ADDRESS, "policy": "x"}):
        for database in ({}, {"db": None}, {"db": "neo4j"}, {"db": "system"}, {"db": "NEO4J"}):
            talk.call(message("ROUTE", context, [], database))
    talk.call(message("ROUTE", {"address": ADDRESS}, [], {"db": "nosuchdb"}))
    talk.alive()
    talk.call(message("ROUTE", {"address": ADDRESS}, ["not a bookmark"], {}))
    talk.alive()
    talk.call(message("ROUTE", {"address": ADDRESS}, [], {"imp_user": "somebody"}))
    talk.alive()


@script("ROUTE in the form of 4.3", since=(4, 3), until=(4, 3))
def routes43(talk: Talk) -> None:
    for database in (None, "neo4j", "system"):
        talk.call(message("ROUTE", {"address": ADDRESS}, [], database))


@script("ROUTE between queries in one write", since=(4, 3))
def route_between(talk: Talk) -> None:
    talk.call(RUN1, PULL, route(talk.version), RUN1, PULL)


@script("TELEMETRY of every kind", since=(5, 4))
def telemetry(talk: Talk) -> None:
    for api in (0, 1, 2, 3):
        talk.call(message("TELEMETRY", api))
    talk.call(message("TELEMETRY", 1), RUN1, PULL)
    talk.call(message("TELEMETRY", -1))
    talk.alive()
    talk.call(message("TELEMETRY", "x"))
    talk.alive()


@script("extras of RUN and BEGIN")
def extras(talk: Talk) -> None:
    for extra in ({"db": "neo4j"}, {"db": None}, {"db": ""}, {"mode": "r"}, {"mode": "w"}, {"mode": None}, {"bookmarks": []}, {"bookmarks": None},
                  {"tx_timeout": 5000}, {"tx_timeout": None}, {"tx_timeout": 0}, {"tx_metadata": {"a": 1}}, {"tx_metadata": None},
                  {"imp_user": None}, {"colour": "blue"}, {"db": "neo4j", "mode": "r", "tx_timeout": 9000, "tx_metadata": {}, "bookmarks": []}):
        talk.call(message("RUN", "RETURN 1 AS n", {}, extra), PULL)
        talk.call(message("BEGIN", extra), RUN1, PULL, COMMIT)


@script("the system database")
def system(talk: Talk) -> None:
    show = "SHOW DATABASES YIELD name RETURN name ORDER BY name"
    talk.call(run(show, db="system"), PULL)
    talk.call(begin(db="system"), run(show), PULL, COMMIT)


WRONG_EXTRAS = {
    "an unknown db": {"db": "nosuchdb"},
    "db is a number": {"db": 1},
    "mode x": {"mode": "x"},
    "mode is a number": {"mode": 1},
    "a bad bookmark": {"bookmarks": ["not a bookmark"]},
    "bookmarks is a string": {"bookmarks": "x"},
    "bookmarks with a number": {"bookmarks": [1]},
    "a negative timeout": {"tx_timeout": -1},
    "timeout is a string": {"tx_timeout": "x"},
    "metadata is a list": {"tx_metadata": [1]},
    "imp_user": {"imp_user": "somebody"},
    "imp_user is a number": {"imp_user": 1},
}


def wrong_extra(extra: dict[str, object]) -> object:
    def act(talk: Talk) -> None:
        if talk.call(message("RUN", "RETURN 1 AS n", {}, extra), PULL):
            talk.alive()
        else:
            talk.open()
        if talk.call(message("BEGIN", extra), RUN1, PULL):
            talk.alive()

    return act


SCRIPTS.extend(Script(f"RUN and BEGIN with {name}", wrong_extra(extra), since=(4, 4) if "imp_user" in name else (0, 0))  # type: ignore[arg-type]
               for name, extra in WRONG_EXTRAS.items())


@script("a write in mode r")
def write_in_read(talk: Talk) -> None:
    talk.call(run("CREATE (:Conf)", mode="r"), PULL)
    talk.alive()
    talk.call(begin(mode="r"), run("CREATE (:Conf)"), PULL, COMMIT)
    talk.alive()


@script("db and mode of a RUN inside a transaction do nothing")
def extra_inside(talk: Talk) -> None:
    talk.call(BEGIN, run(db="nosuchdb", mode="r"), PULL, COMMIT)


@script("tx_timeout of an idle transaction")
def timeout_idle(talk: Talk) -> None:
    talk.call(begin(tx_timeout=200), RUN1, PULL)
    time.sleep(1.0)
    talk.call(RUN1, PULL, COMMIT)
    talk.alive()


@script("tx_timeout of a running query", since=(5, 0))
def timeout_running(talk: Talk) -> None:
    talk.call(run("UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)", tx_timeout=300), PULL)
    talk.alive()


@script("a bookmark is taken back")
def bookmark(talk: Talk) -> None:
    records, _, body = talk.connection.call(run("CREATE (n:Conf) DELETE n"), PULL)[1]
    mark = body["bookmark"]
    talk.call(run(bookmarks=[mark]), PULL)
    talk.call(begin(bookmarks=[mark]), RUN1, PULL, COMMIT)
    if talk.version >= (4, 4):
        talk.call(message("ROUTE", {"address": ADDRESS}, [mark], {}))


@script("a key twice in the parameters")
def duplicate_key(talk: Talk) -> None:
    twice = Raw(b"\xa2" + pack("a") + pack(1) + pack("a") + pack(2))
    talk.call(message("RUN", "RETURN $a AS a", twice, {}), PULL)
    talk.alive()


@script("a key twice in extra")
def duplicate_extra(talk: Talk) -> None:
    twice = Raw(b"\xa2" + pack("mode") + pack("r") + pack("mode") + pack("w"))
    talk.call(message("RUN", "RETURN 1 AS n", {}, twice), PULL)
    talk.alive()


@script("EXPLAIN, PROFILE and notifications")
def plans(talk: Talk) -> None:
    talk.call(run("EXPLAIN RETURN 1 AS n"), PULL)
    talk.call(run("MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a"), PULL)


@script("schema and data counters")
def counters(talk: Talk) -> None:
    for query in ("CREATE (a:Conf {x: 1})-[:R]->(b:Conf:Two)", "MATCH (n:Conf) SET n.x = 2", "MATCH (n:Conf) DETACH DELETE n"):
        talk.call(begin(), run(query), PULL, ROLLBACK)
