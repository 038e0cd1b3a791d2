"""Queries of the portal's lists use indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybridloop.emulator.model.requests import SessionRequest
from hybridloop.emulator.model.session import JobFailurePolicy, SessionState
from hybridloop.emulator.store.listing import START_CURSOR, newest_lone_jobs, newest_sessions
from hybridloop.emulator.store.store import Store


class ExplainingStore(Store):
    """Store that records SQLite's query plans."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.plans: list[str] = []

    def each_row(self, sql: str, parameters: Sequence[object]) -> Iterator[sqlite3.Row]:
        self.plans += [row["detail"] for row in super().each_row(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().each_row(sql, parameters)


def test_the_overviews_queries_neither_scan_nor_sort(tmp_path: Path) -> None:
    store = ExplainingStore(tmp_path / "service.sqlite")
    opening = SessionRequest("one", "rigetti", "rigetti.sim.qvm", JobFailurePolicy.ABORT, None, None)
    store.add_session("a/b/c", "1", opening, SessionState(JobFailurePolicy.ABORT, opened=0.0))
    for before in (START_CURSOR, 7):
        newest_sessions(store, before, 25)
        newest_lone_jobs(store, before, 25)
    store.close()
    assert len(store.plans) >= 6
    assert [plan for plan in store.plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == []
