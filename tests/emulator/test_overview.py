"""The portal's lists: they read what they show and no more; and sign-ins do not pile up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hybridloop.emulator.overview import FIRST, newest_lone_jobs, newest_sessions
from hybridloop.emulator.requests import SessionRequest
from hybridloop.emulator.session import JobFailurePolicy, SessionState
from hybridloop.emulator.store import Store
from hybridloop.emulator.visits import MOST_VISITS, Visits


class Explained(Store):
    """Books that keep how SQLite would look up each query."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[str] = []

    def rows(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        self.plans += [row["detail"] for row in super().rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().rows(sql, parameters)


def test_the_overviews_lists_scan_and_sort_nothing(tmp_path: Path) -> None:
    store = Explained(tmp_path / "books.sqlite")
    opening = SessionRequest("one", "rigetti", "rigetti.sim.qvm", JobFailurePolicy.ABORT, None, None)
    store.add_session("a/b/c", "1", opening, SessionState(JobFailurePolicy.ABORT, opened=0.0))
    for before in (FIRST, 7):
        newest_sessions(store, before, 25)
        newest_lone_jobs(store, before, 25)
    store.close()
    assert len(store.plans) >= 6
    assert [plan for plan in store.plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == []


def test_the_oldest_sign_in_gives_way() -> None:
    visits = Visits()
    first, *others = [visits.begin() for _ in range(MOST_VISITS + 1)]
    assert visits.find(first.token) is None
    assert [visits.find(visit.token) for visit in others] == others
    assert visits.find(None) is None
    assert visits.find("") is None
