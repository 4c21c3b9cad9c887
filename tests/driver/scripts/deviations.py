"""Where the pooler answers differently from a server on purpose, each with the reason.

A deviation names cases by a pattern of `SERVER BOLT SCRIPT` and the pooler's whole
answer by another: it permits that answer and no other. It is not a place for bugs.
"""
from __future__ import annotations

import re

INVALID = r"FAILURE \{'code': 'Neo\.ClientError\.Request\.Invalid(Format)?'[^\n]*"
REFUSED = rf"({INVALID}|IGNORED|closed)"
STOPPED = r"(IGNORED|FAILURE [^\n]*Transaction\.Terminated'[^\n]*)"

# Messages that no driver sends. A server refuses each in its own way and goes on as if nothing had come, or closes;
# servers of different versions differ. The pooler must refuse them (never SUCCESS, never silence) and may close.
MALFORMED = (r"with (one field|four fields|no field|a field)|whose .*|no structure|a structure in a list|"
             r"cut short|a byte too many|TELEMETRY 99|PULL 0|PULL -2|PULL without n|an unknown tag|a SUCCESS")

DEVIATIONS: list[tuple[str, str, str]] = [
    # (pattern of the case, pattern of the pooler's whole answer, reason)
    (rf" / .*({MALFORMED})$", rf"^{REFUSED}(\n|$)", "a malformed message is refused"),
    (r"a parameter that is |a key twice|RUN and BEGIN with |a null filter", rf"^{INVALID}\n{REFUSED}", "a malformed message is refused"),
    (r"a parameter that is ", r"^closed$", "a malformed message ends the connection"),
    (r"TELEMETRY of every kind", rf"\n{INVALID}\nSUCCESS .*\n{INVALID}\nSUCCESS ", "a malformed message is refused"),
    (r"handshake .*4\.0", r"^00000000, closed$", "Bolt 4.0 is not spoken: it has neither NOOPs nor ROUTE"),
    (r"handshake drivers|manifest, choice", r"^(000001ff0[34]|)(00000003|)00030404", "Bolt 4.0 is not spoken"),
    (r"^(5|2026)\S+ \d\.\d BEGIN(, RUN, PULL)? and RESET in one write", r"^(IGNORED\n)+SUCCESS \{\}\nSUCCESS ", "as 4.4: never a lost connection"),
    (r"^4\S+ handshake 3\.0", r"^00000000, closed$", "Bolt 3 is not spoken"),
    (r"^4\S+ handshake range above the minor", r"^, closed$", "as the newer servers"),
    (r" (4\.\d|5\.0) HELLO ", rf"^({INVALID}|closed)$", "HELLO is judged as the newer servers judge it"),
    (r" (4\.\d|5\.\d) HELLO (classifications|categories|severity).* null", r"^SUCCESS ", "a key of later versions is nothing to 5.0"),
    (r"^4\S+ 4\.\d LOGON with credentials are bytes", rf"^{INVALID}\nclosed$", "says why before it closes"),
    (r"RESET of a running query", rf"^((SUCCESS [^\n]*|{STOPPED})\n{STOPPED}\nSUCCESS \{{\}}\n"
     r"SUCCESS [^\n]*\n1 records [^\n]*\nSUCCESS [^\n]*(\n|$)){2}$", "a stopped statement is IGNORED or Terminated, whichever comes first"),
    (r"4\.2 HELLO .*patch", r"^SUCCESS ", "patches begin with 4.3"),
    (r" 4\.\d NEGOTIATION / RESET", r"^closed$", "as 4.4"),
    (r"AUTHENTICATION / HELLO|LOGGED OFF / HELLO", rf"^{INVALID}(\nclosed)?$", "the servers' own words name a bug of theirs"),
    (r"LOGOFF, then a message of 9,000 bytes|a bomb before the login", rf"{INVALID}\nclosed$", "closed sooner than the server does"),
]


def permitted(case: str, answer: str) -> str | None:
    for name, wanted, reason in DEVIATIONS:
        if re.search(name, case) and re.search(wanted, answer, re.DOTALL):
            return reason
    return None
