"""Time of what reads a whole journal, of 5,000 runs: lists, costs, metrics, the status, a look of housekeeping.

One run is measured; its rows are copied under other keys and days. A tenth of the copies ended early.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.startup import COMMAND, own_environment, seconds
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.amounts import DAY_S, count, day_of
from hybridloop.journal.storage.rows import insert_rows, read_rows
from hybridloop.journal.storage.schema import (
    amounts,
    events,
    jobs,
    pings,
    program_uses,
    rounds,
    runs,
    scopes,
    sessions,
    spans,
    states,
    totals,
)
from hybridloop.runtime.signals import exit_on_sigterm

RUNS, QUICK, TURNS = 5000, 200, 3
DAYS = 365  # over which they are spread
EARLY = ("interrupted", "failed", "stopped")
LIMIT_S = 2.0
_OF_RUN = (rounds, jobs, program_uses, sessions, pings, spans, amounts, scopes, events)
COMMANDS = (
    "runs list",
    "runs list --status failed",
    "cost",
    "cost --since 2020-01-01 --by month",
    "status",
    "metrics",
)


def copies(journal: Journal, key: str, number: int) -> None:
    """Add copies of a run to its journal, spread over the days before now."""
    original, now = journal.run(key), time.time()
    with journal._database.write_transaction() as connection:
        of_run = {table: read_rows(connection, table, run_uid=original.uid) for table in (*_OF_RUN, states)}
        (run,) = read_rows(connection, runs, uid=original.uid)
        for table in (runs, states, *_OF_RUN):
            made = list[dict[str, Any]]()
            for n in range(number):
                back = DAYS * (number - n) // number
                uid = str(uuid.uuid5(uuid.UUID(original.uid), str(n)))
                if table is runs:
                    made.append(run | {"uid": uid, "key": f"{key}-{n}", "created_at": now - back * DAY_S})
                    continue
                made += (_moved(table.name, row, uid, n, back, now) for row in of_run[table])
            insert_rows(connection, table, made)
            if any(row["name"] == table.name for row in read_rows(connection, totals)):
                count(connection, table, len(made))


def _moved(table: str, row: Mapping[str, Any], uid: str, n: int, back: int, now: float) -> dict[str, Any]:
    changed = {**row, "run_uid": uid}
    if table in ("jobs", "pings", "sessions"):
        changed["id"] = str(uuid.uuid5(uuid.UUID(uid), str(row["id"])))
    if "day" in changed:
        changed["day"] = day_of(now - back * DAY_S)
    if table == "states" and n % 10 == 0:
        changed |= {"status": EARLY[n // 10 % len(EARLY)], "result": None, "reason": "as in the benchmark"}
    if table == "states":
        changed["updated_at"] = now - back * DAY_S
    return changed


def measured(number: int, turns: int) -> Iterator[tuple[str, float]]:
    """Yield the median of the seconds of each command and of a look of housekeeping, and the MB of the journal."""
    with tempfile.TemporaryDirectory() as home:
        environ = own_environment(home)
        run = [COMMAND, "run", "vqe", "h2", "--seed", "7", "--run-key", "first", "--precision", "0.01", "--quiet"]
        try:
            seconds(run, environ)
            for name in ("team", "night"):
                seconds([COMMAND, "limit", "set", name, "500USD", "--local"], environ)
            path = Path(home) / "journal.db"
            with Journal(journal_url(path)) as journal:
                began = time.perf_counter()
                copies(journal, "first", number - 1)
                print(f"made       {number} runs in {time.perf_counter() - began:.1f} s")
                yield "journal", journal.size_bytes / 1e6
            for command in COMMANDS:
                taken = [seconds([COMMAND, *command.split()], environ) for _ in range(turns)]
                yield f"hybridloop {command}", statistics.median(taken)
            yield "a look of housekeeping", statistics.median(_looks(environ, turns))
        finally:
            seconds([COMMAND, "down"], environ)


def _looks(environ: Mapping[str, str], turns: int) -> list[float]:
    """Return the seconds of looks of housekeeping, each of which looks at parked runs, too."""
    os.environ.update(environ)
    from hybridloop import local_stack
    from hybridloop.azure.workspace import local_workspace
    from hybridloop.flows.rescue import housekeeper
    from hybridloop.journal import open_journal

    os.environ.update(local_stack.ensure_prefect().environment)
    os.environ["HYBRIDLOOP_LOCAL_SERVICE"] = "1"
    local_workspace()
    taken = []
    with open_journal() as journal:
        housekeeper.PARKED_EVERY_S = 0.0
        keeper = housekeeper.Housekeeper(journal, "nights")
        for _ in range(turns):
            began = time.perf_counter()
            keeper.look()
            taken.append(time.perf_counter() - began)
    return taken


def main() -> int:
    """Measure, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_runs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} runs, measured once")
    is_quick = parser.parse_args().quick
    logging.disable(logging.WARNING)
    print(f"machine    {machine()}")
    with exit_on_sigterm():
        figures = dict(measured(QUICK if is_quick else RUNS, 1 if is_quick else TURNS))
    size = figures.pop("journal")
    print(f"journal    {size:.1f} MB\n")
    return conclude([Bound(name, taken, Side.AT_MOST, LIMIT_S, "s") for name, taken in figures.items()])


if __name__ == "__main__":
    sys.exit(main())
