"""HELLO, LOGON and what a client may send before it is known."""
from __future__ import annotations

from typing import Any

from bolt import Raw, basic, message
from scripts.talk import (BEGIN, LOGOFF, LOGON, PASSWORD, PULL, RESET, RUN1, SCRIPTS, USER, Script, Talk, pull, run, script)

WHO = run("SHOW CURRENT USER YIELD user", db="system")
AUTH = basic(USER, PASSWORD)


def hello_with(**change: Any) -> Any:
    """A HELLO that differs from the usual one; a value of ... leaves the key out."""
    def act(talk: Talk) -> None:
        fields: dict[str, Any] = {"user_agent": "conformance/1"}
        if talk.version >= (5, 3):
            fields["bolt_agent"] = {"product": "conformance/1"}
        if talk.version < (5, 1):
            fields |= AUTH
        fields |= change
        fields = {key: value for key, value in fields.items() if value is not ...}
        if talk.call(message("HELLO", fields)) and talk.seen[-1].startswith("SUCCESS"):
            if talk.version >= (5, 1):
                talk.call(LOGON)
            talk.call(RUN1, PULL)

    return act


HELLOS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without user_agent": {"user_agent": ...},
    "user_agent is null": {"user_agent": None},
    "user_agent is a number": {"user_agent": 1},
    "without bolt_agent": {"bolt_agent": ...},
    "bolt_agent without product": {"bolt_agent": {"platform": "x"}},
    "bolt_agent with null": {"bolt_agent": {"product": "x", "platform": None}},
    "bolt_agent is a string": {"bolt_agent": "x"},
    "routing is null": {"routing": None},
    "routing is empty": {"routing": {}},
    "routing with an address": {"routing": {"address": "my.host:1234"}},
    "routing with a number": {"routing": {"address": 1}},
    "an unknown severity": {"notifications_minimum_severity": "LOUD"},
    "severity OFF": {"notifications_minimum_severity": "OFF"},
    "severity in small letters": {"notifications_minimum_severity": "warning"},
    "severity is null": {"notifications_minimum_severity": None},
    "an unknown category": {"notifications_disabled_categories": ["NOISE"]},
    "categories are null": {"notifications_disabled_categories": None},
    "a disabled category": {"notifications_disabled_categories": ["UNRECOGNIZED"]},
    "an unknown classification": {"notifications_disabled_classifications": ["NOISE"]},
    "classifications are null": {"notifications_disabled_classifications": None},
    "a disabled classification": {"notifications_disabled_classifications": ["UNRECOGNIZED"]},
    "utc patch": {"patch_bolt": ["utc"]},
    "an unknown patch": {"patch_bolt": ["utc", "fast"]},
    "patch_bolt is null": {"patch_bolt": None},
    "auth keys from the other age": {"scheme": "basic", "principal": USER, "credentials": PASSWORD},
    "an unknown key": {"colour": "blue"},
    "60 unknown keys": {f"k{i}": i for i in range(55)},
    "70 unknown keys": {f"k{i}": i for i in range(70)},
    "depth 4": {"x": [[1]]},
    "depth 5": {"x": [[[1]]]},
    "8,000 bytes": {"x": "y" * 7800},
    "9,000 bytes": {"x": "y" * 9000},
    "100,000 bytes": {"x": "y" * 100_000},
}
# "an unknown key" below 5.1 is part of the auth token, which the pooler keeps as the server does.
SCRIPTS.extend(Script(f"HELLO {name}", hello_with(**change), login=False) for name, change in HELLOS.items())

LOGONS: dict[str, Any] = {
    "wrong password": basic("nobody-here", "wrong"),
    "an unknown scheme": {"scheme": "magic", "principal": USER, "credentials": PASSWORD},
    "no scheme": {"principal": USER, "credentials": PASSWORD},
    "scheme none": {"scheme": "none"},
    "no principal": {"scheme": "basic", "credentials": PASSWORD},
    "no credentials": {"scheme": "basic", "principal": USER},
    "principal is a number": {"scheme": "basic", "principal": 1, "credentials": PASSWORD},
    "credentials are bytes": {"scheme": "basic", "principal": USER, "credentials": PASSWORD.encode()},
    "empty principal": basic("", "x"),
    "a realm": {**AUTH, "realm": "native"},
    "another realm": {**AUTH, "realm": "anything"},
    "parameters": {"scheme": "basic", "principal": USER, "credentials": PASSWORD, "parameters": {"a": 1}},
    "bearer": {"scheme": "bearer", "credentials": "token"},
    "an empty map": {},
    "an unknown key": {**AUTH, "colour": "blue"},
}


def logon_with(auth: dict[str, Any]) -> Any:
    def act(talk: Talk) -> None:
        for one in talk.connection.hello(auth):
            if not talk.call(one):
                return
        if talk.seen[-1].startswith("SUCCESS"):
            talk.call(WHO, PULL)
        else:
            talk.gone()

    return act


SCRIPTS.extend(Script(f"LOGON with {name}", logon_with(auth), login=False) for name, auth in LOGONS.items())
SCRIPTS.append(Script("LOGON with null", lambda talk: talk.each(*talk.connection.hello(None), message("LOGON", None)) and None,
                      since=(5, 1), login=False))


@script("HELLO and LOGON in one write with work behind them", login=False)
def all_at_once(talk: Talk) -> None:
    talk.call(*talk.connection.hello(AUTH), BEGIN, RUN1, PULL, message("COMMIT"))


@script("a wrong LOGON with work behind it", login=False)
def wrong_with_work(talk: Talk) -> None:
    login = talk.connection.hello(basic("nobody-here", "wrong"))
    talk.send(*login, RUN1, PULL)
    talk.answers(len(login))
    talk.gone()


@script("LOGOFF, LOGON and work in one write", since=(5, 1))
def logoff_logon(talk: Talk) -> None:
    for _ in range(5):
        talk.call(LOGOFF, LOGON, RUN1, PULL)


@script("LOGOFF and LOGON one by one", since=(5, 1))
def logoff_logon_slowly(talk: Talk) -> None:
    for _ in range(3):
        talk.each(LOGOFF, LOGON, RUN1, PULL)


@script("LOGOFF, then a wrong LOGON", since=(5, 1))
def logoff_wrong(talk: Talk) -> None:
    talk.each(LOGOFF, message("LOGON", basic("nobody-here", "wrong")))
    talk.gone()


@script("LOGOFF, then a message of 9,000 bytes", since=(5, 1))
def logoff_large(talk: Talk) -> None:
    talk.call(LOGOFF)
    talk.call(message("LOGON", {**AUTH, "x": "y" * 9000}))
    talk.gone()


@script("two LOGONs", since=(5, 1))
def two_logons(talk: Talk) -> None:
    talk.call(LOGON)
    talk.gone()


@script("a filter of HELLO and filters of RUN and BEGIN", since=(5, 2), login=False)
def filters(talk: Talk) -> None:
    noisy = "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a"
    key = "notifications_disabled_classifications" if talk.version >= (5, 6) else "notifications_disabled_categories"
    talk.call(*talk.connection.hello(AUTH, notifications_minimum_severity="WARNING", **{key: ["UNRECOGNIZED"]}))
    for extra in ({}, {"notifications_minimum_severity": "INFORMATION"}, {key: []}, {key: ["PERFORMANCE"]},
                  {"notifications_minimum_severity": "INFORMATION", key: []}):
        talk.call(run(noisy, **extra), PULL)
        talk.call(message("BEGIN", extra), run(noisy), PULL, message("COMMIT"))
    if talk.version >= (5, 1):
        talk.call(LOGOFF, LOGON, run(noisy), PULL)  # the filter outlives the user


@script("a null filter in RUN", since=(5, 2))
def null_filter(talk: Talk) -> None:
    if talk.call(run(notifications_minimum_severity=None), PULL):
        talk.alive()


@script("RUN before HELLO", login=False)
def run_first(talk: Talk) -> None:
    talk.send(RUN1)
    talk.answers(1)
    talk.gone()


@script("a bomb before the login: a list of 4 billion", login=False)
def bomb(talk: Talk) -> None:
    talk.send(message("HELLO", {"user_agent": "x", "bomb": Raw(b"\xd6\xff\xff\xff\xff")}))
    talk.answers(1)
    talk.gone()


@script("the current user after each login", since=(5, 1))
def who(talk: Talk) -> None:
    talk.call(WHO, pull())
    talk.call(LOGOFF, LOGON, WHO, pull())
    talk.call(RESET)
