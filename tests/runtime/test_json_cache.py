"""Cache of JSON values: kept across calls, bounded, private, and no error without a usable folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hybridloop.runtime import json_cache
from hybridloop.runtime.json_cache import keep, read_cached


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "values"


def test_a_value_is_kept_exactly_and_for_its_key_alone(folder: Path) -> None:
    keep("values", "a1", [0.1 + 0.2, None])
    assert read_cached("values", "a1") == [0.1 + 0.2, None]
    assert read_cached("values", "b2") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["a1.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_file_has_no_value_and_is_replaced(folder: Path, content: bytes) -> None:
    keep("values", "a1", 1)
    (folder / "a1.json").write_bytes(content)
    assert read_cached("values", "a1") is None
    keep("values", "a1", 2)
    assert read_cached("values", "a1") == 2


def test_the_oldest_values_are_removed_above_either_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_cache, "MAX_ENTRIES", 3)
    for number in range(5):
        keep("values", str(number), number)
        os.utime(folder / f"{number}.json", (number, number))
    assert sorted(path.stem for path in folder.iterdir()) == ["2", "3", "4"]
    monkeypatch.setattr(json_cache, "MAX_BYTES", 12)
    keep("values", "5", "0123456")
    assert sorted(path.stem for path in folder.iterdir()) == ["3", "4", "5"]


def test_without_a_folder_nothing_is_kept(folder: Path) -> None:
    folder.parent.write_text("a file")
    keep("values", "a1", 1)
    assert read_cached("values", "a1") is None
