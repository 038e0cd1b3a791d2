"""Books that an earlier version wrote are brought up to date and lose nothing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from hybridloop.emulator.schema import FIRST_TABLES, STEPS, UnknownSchema
from hybridloop.emulator.store import Store

REQUEST = {
    "name": "old",
    "provider_id": "rigetti",
    "target": "rigetti.sim.qvm",
    "container": "job-1",
    "input_blob": "inputData",
    "input_format": "qir.v1",
    "output_format": "microsoft.quantum-results.v2",
    "params": {"shots": 7},
    "metadata": {"place": "uid/main/0/0/0/0", "attempt": "0"},
    "session_id": None,
    "priority": None,
    "tags": None,
}


def test_books_of_the_first_form_are_read_with_their_places_and_shots(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as books:
        books.executescript(f"BEGIN; {FIRST_TABLES} PRAGMA user_version = 1; COMMIT;")
        books.execute(
            "INSERT INTO jobs (workspace, id, provider_id, target, status, created, ended, output_blob, request)"
            " VALUES ('w', 'job', 'rigetti', 'rigetti.sim.qvm', 'Succeeded', 1.0, 2.0, 'outputData', ?)",
            (json.dumps(REQUEST),),
        )
        books.commit()
    store = Store(path)
    job = store.job("w", "job")
    assert job is not None
    assert job.request.params == {"shots": 7}
    (row,) = store.rows("SELECT place, attempt, shots, price, duplicate_of FROM jobs", ())
    assert tuple(row) == ("uid/main/0/0/0/0", "0", 7, None, None)
    store.close()
    Store(path).close()  # a second look finds nothing to do


def test_books_of_a_later_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as books:
        books.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(UnknownSchema, match=f"form {len(STEPS) + 1}"):
        Store(path)
