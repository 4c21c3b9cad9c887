"""Where the pooler answers differently from a server on purpose, each with the reason.

A deviation names scripts by a pattern of `SERVER BOLT SCRIPT` and what the pooler
answers there instead. It is not a place for bugs.
"""
from __future__ import annotations

import re

DEVIATIONS: list[tuple[str, str, str]] = [
    # (pattern of the case, pattern of the pooler's whole answer, reason)
]


def permitted(case: str, answer: str) -> str | None:
    for name, wanted, reason in DEVIATIONS:
        if re.search(name, case) and re.search(wanted, answer, re.DOTALL):
            return reason
    return None
