"""Clients of the Python driver that do managed transactions at random times, each at its own pace, and retry.

usage: paced.py URI CLIENTS RATE BEGIN WARMUP SECONDS SEED DEADLINE QUERY

RATE is of all together, BEGIN a time in seconds since 1970. A client whose last transaction took longer than its pace
goes on at once. Prints what ended in SECONDS behind the warm-up: {"good", "late", "failed", "retries"}. A commit is late
if its last attempt took longer than DEADLINE seconds; retries are attempts that the driver says it tries again, and
when that begins follows from its words. tests/driver/go/paced is the same in Go.
"""
from __future__ import annotations

import json
import logging
import os
import random
import sys
import threading
import time

import neo4j

RETRY_SECONDS = 120.0


class Retries(logging.Handler):
    """Counts the driver's own words about a retry, and notes for each thread when the next attempt begins."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0
        self.thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Transaction failed and will be retried in") and isinstance(record.args, tuple):
            self.count += 1  # under the handler's lock
            self.thread.attempt = time.monotonic() + float(str(record.args[0]))


class Counts:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.good = self.late = self.failed = 0

    def committed(self, good: bool) -> None:
        with self.lock:
            self.good += good
            self.late += not good


def client(driver: neo4j.Driver, counts: Counts, retries: Retries, deadline: float, draws: random.Random, pace: float, begin: float, query: str) -> None:
    due = begin
    while True:
        due += draws.expovariate(1 / pace)
        time.sleep(max(due - time.time(), 0))
        retries.thread.attempt = time.monotonic()
        try:
            with driver.session() as session:
                session.execute_write(lambda tx: tx.run(query).consume())
        except Exception:  # noqa: BLE001 - every end is counted
            with counts.lock:
                counts.failed += 1
        else:
            counts.committed(time.monotonic() - retries.thread.attempt <= deadline)


def main() -> None:
    uri, deadline, query = sys.argv[1], float(sys.argv[8]), sys.argv[9]
    clients, seed = int(sys.argv[2]), int(sys.argv[7])
    rate, begin, warmup, seconds = map(float, sys.argv[3:7])
    retries, counts = Retries(), Counts()
    logger = logging.getLogger("neo4j")
    logger.propagate = False
    logger.addHandler(retries)
    driver = neo4j.GraphDatabase.driver(uri, max_connection_pool_size=clients, max_transaction_retry_time=RETRY_SECONDS)
    for number in range(clients):
        draws = random.Random(seed * 100003 + number)
        threading.Thread(target=client, args=(driver, counts, retries, deadline, draws, clients / rate, begin, query), daemon=True).start()
    time.sleep(max(begin + warmup - time.time(), 0))
    before = counts.good, counts.late, counts.failed, retries.count
    time.sleep(max(begin + warmup + seconds - time.time(), 0))
    after = counts.good, counts.late, counts.failed, retries.count
    print(json.dumps(dict(zip(("good", "late", "failed", "retries"), (b - a for a, b in zip(before, after))))), flush=True)
    os._exit(0)  # the transactions that are under way would retry for minutes


main()
