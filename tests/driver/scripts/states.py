"""Every state times every message: accepted, refused, or the end of the connection."""
from __future__ import annotations

from collections.abc import Callable

from bolt import Struct, basic, message, pack
from scripts.talk import (BAD, BEGIN, COMMIT, DISCARD, GOODBYE, LOGOFF, LOGON, PULL, RESET, ROLLBACK, RUN1, RUN10, SCRIPTS, Script, Talk,
                          USER, PASSWORD, discard, pull, route)


def hello(talk: Talk) -> list[bytes]:
    return talk.connection.hello(basic(USER, PASSWORD))


def negotiation(talk: Talk) -> None:
    pass


def authentication(talk: Talk) -> None:
    talk.quietly(*talk.connection.hello(None))


def ready(talk: Talk) -> None:
    talk.quietly(*hello(talk))


def then(*messages: bytes) -> Callable[[Talk], None]:
    def reach(talk: Talk) -> None:
        ready(talk)
        for one in messages:
            talk.connection.call(one)

    return reach


STATES: dict[str, Callable[[Talk], None]] = {
    "NEGOTIATION": negotiation,
    "AUTHENTICATION": authentication,
    "READY": ready,
    "AUTO_COMMIT": then(RUN10),
    "AUTO_COMMIT half read": then(RUN10, pull(3)),
    "TX": then(BEGIN),
    "TX with a result": then(BEGIN, RUN10),
    "TX half read": then(BEGIN, RUN10, pull(3)),
    "TX after a result": then(BEGIN, RUN10, PULL),
    "FAILED": then(BAD),
    "FAILED in TX": then(BEGIN, BAD),
    "LOGGED OFF": then(LOGOFF),
}

MESSAGES: dict[str, Callable[[Talk], bytes]] = {
    "HELLO": lambda talk: hello(talk)[0],
    "LOGON": lambda talk: LOGON,
    "LOGOFF": lambda talk: LOGOFF,
    "GOODBYE": lambda talk: GOODBYE,
    "RESET": lambda talk: RESET,
    "RUN": lambda talk: RUN1,
    "RUN bad": lambda talk: BAD,
    "BEGIN": lambda talk: BEGIN,
    "COMMIT": lambda talk: COMMIT,
    "ROLLBACK": lambda talk: ROLLBACK,
    "PULL": lambda talk: PULL,
    "PULL 1": lambda talk: pull(1),
    "PULL 0": lambda talk: pull(0),
    "PULL -2": lambda talk: pull(-2),
    "PULL without n": lambda talk: message("PULL", {}),
    "PULL qid 0": lambda talk: pull(-1, qid=0),
    "PULL qid -1": lambda talk: pull(-1, qid=-1),
    "PULL qid 7": lambda talk: pull(-1, qid=7),
    "DISCARD": lambda talk: DISCARD,
    "DISCARD 1": lambda talk: discard(1),
    "DISCARD qid 0": lambda talk: discard(-1, qid=0),
    "ROUTE": lambda talk: route(talk.version),
    "TELEMETRY": lambda talk: message("TELEMETRY", 2),
    "TELEMETRY 99": lambda talk: message("TELEMETRY", 99),
    "an unknown tag": lambda talk: message(0x55),
    "a SUCCESS": lambda talk: message(0x70, {}),
    "RUN with one field": lambda talk: message("RUN", "RETURN 1"),
    "RUN with four fields": lambda talk: message("RUN", "RETURN 1", {}, {}, 1),
    "PULL with no field": lambda talk: message("PULL"),
    "COMMIT with a field": lambda talk: message("COMMIT", 1),
    "RESET with a field": lambda talk: message("RESET", 1),
    "BEGIN with no field": lambda talk: message("BEGIN"),
    "RUN whose query is a number": lambda talk: message("RUN", 1, {}, {}),
    "RUN whose parameters are a list": lambda talk: message("RUN", "RETURN 1", [], {}),
    "BEGIN whose extra is null": lambda talk: message("BEGIN", None),
    "no structure": lambda talk: pack([1, 2]),
    "a structure in a list": lambda talk: pack([Struct(0x0F, ())]),
    "PULL with a byte too many": lambda talk: PULL + b"\x00",
    "RUN cut short": lambda talk: RUN1[:-3],
}

# Messages that are new in a version are unknown tags below it and stay in the table as such; but newer
# servers take ROUTE on all versions, which nobody sends.
MESSAGES_SINCE = {"ROUTE": (4, 3)}
LOGIN_STATES = {"AUTHENTICATION": (5, 1), "LOGGED OFF": (5, 1)}


def script_of(state: str, name: str) -> Script:
    def act(talk: Talk) -> None:
        STATES[state](talk)
        if name == "GOODBYE":
            talk.send(GOODBYE)
            talk.gone()
            return
        alive = talk.call(MESSAGES[name](talk))
        if alive and state != "NEGOTIATION" and not (state in LOGIN_STATES and name not in ("LOGON",)):
            talk.alive()
        elif alive and state in LOGIN_STATES:
            talk.call(LOGON)  # no RESET here: it would close

    since = max(LOGIN_STATES.get(state, (0, 0)), MESSAGES_SINCE.get(name, (0, 0)))
    return Script(f"{state} / {name}", act, since=since, login=False)


SCRIPTS.extend(script_of(state, name) for state in STATES for name in MESSAGES)
