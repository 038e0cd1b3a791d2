"""Hostile bundles: one error, BundleDamaged, before much time or memory is spent."""

from __future__ import annotations

import io
import json
import os
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridloop.errors import BundleDamaged, HybridloopError
from hybridloop.reports.bundle.archive import (
    ARRAYS,
    FILES,
    MANIFEST,
    PROGRAMS,
    RESULT,
    ROUNDS,
    RUN,
    read_bundle,
    reading,
)
from hybridloop.reports.bundle.files import MAX_MEMBERS
from hybridloop.reports.export import export_run
from hybridloop.reports.html import render_report
from hybridloop.reports.verify import verify_run
from tests.long_form import IS_LONG, long_form, short_or_long
from tests.reports.test_bundle import changed, files_of, zipped

MEMORY = 100 << 20  # bytes: a bomb is refused with less


_honest: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _read_honest_files(bundles: Path) -> None:
    _honest.update(files_of(bundles / "vqe.zip"))


def honest_files() -> dict[str, bytes]:
    """Return the files of a bundle, unchanged."""
    return dict(_honest)


def refused(path: Path, message: str | None = None) -> None:
    """Assert that a bundle is refused, with little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(BundleDamaged, match=message):
            read_bundle(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def packed(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a resealed bundle that is compressed."""
    zipped(path, files, resealed=True)
    unpacked = files_of(path)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in unpacked.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("name", [RUN, RESULT, ROUNDS, PROGRAMS])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(lambda: b"[" + b"[]," * 4_400_000 + b"[]]", "are packed in", id="a small file of many lists"),
        pytest.param(lambda: b'{"a":' * 50_000, "is not JSON", id="objects in objects"),
        pytest.param(lambda: b'[NaN, {"a": 1e999}]', "is not JSON", id="numbers that are not finite"),
        pytest.param(lambda: b"[1" + b"0" * 5000 + b"]", "is not JSON", id="a number of many digits"),
        pytest.param(lambda: b'"\xed\xa0\x80"', "is not JSON", id="half a surrogate pair in bytes"),
    ],
)
def test_hostile_json_is_refused(name: str, content: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    refused(packed(tmp_path / "b.zip", {**honest_files(), name: content()}), message)


def test_many_values_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "b.zip", {**honest_files(), PROGRAMS: b"[" + b"1," * 5_000_000 + b"1]"}, resealed=True)
    refused(bundle, "more values than any run's")


def test_the_json_files_are_bounded_together(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, data in honest_files().items():
        (tmp_path / "b" / name).write_bytes(data)
    (tmp_path / "b" / RUN).unlink()
    with (tmp_path / "b" / RUN).open("wb") as file:
        file.truncate(1 << 40)  # a file without content takes no space
    refused(tmp_path / "b", r"run\.json can't be read: it has more than")


def arrays_of(count: int) -> bytes:
    """Return an npz file whose arrays have so many zeros each."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind in {"points": "<f8", "angles": "<f8", "outcomes": "|u1", "counts": "<i8"}.items():
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": (count,)})
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(count * np.dtype(kind).itemsize))
    return file.getvalue()


def test_arrays_that_the_rounds_do_not_state_are_not_unpacked(tmp_path: Path) -> None:
    refused(packed(tmp_path / "b.zip", {**honest_files(), ARRAYS: arrays_of(2_000_000)}), "arrays can't be read")


@pytest.mark.parametrize("shape", [[10**9, 0], [10**6, 10**5], [-1, 1], [1], [1.5, 2], [], "12", [10**30, 1]])
def test_shapes_that_no_run_has_are_refused(shape: object, tmp_path: Path) -> None:
    def reshape(rounds: list[Any]) -> None:
        rounds[0]["circuits"][0]["points"] = shape

    files = {**honest_files(), ROUNDS: changed(honest_files()[ROUNDS], reshape)}
    refused(zipped(tmp_path / "b.zip", files, resealed=True))


def test_rows_of_no_values_are_counted(tmp_path: Path) -> None:
    def repeat(rounds: list[Any]) -> None:
        empty = {**rounds[0]["circuits"][0], "points": [9_000_000, 0], "angles": [0, 0]}
        rounds[0]["circuits"] += [empty, empty]

    files = {**honest_files(), ROUNDS: changed(honest_files()[ROUNDS], repeat)}
    refused(zipped(tmp_path / "b.zip", files, resealed=True), "more than 10,000,000 points")


def test_members_are_counted_before_the_directory_is_read(tmp_path: Path) -> None:
    files = {**honest_files(), **{f"more-{i}": b"" for i in range(MAX_MEMBERS)}}
    refused(zipped(tmp_path / "b.zip", files), f"more than {MAX_MEMBERS} members")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for i in range(70_000):  # has a directory of the format zip64
            archive.writestr(f"{i}", b"")
    refused(tmp_path / "c.zip", f"more than {MAX_MEMBERS} members")


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(compression: int, tmp_path: Path) -> None:
    refused(packed(tmp_path / "b.zip", honest_files(), compression), "compressed in another way")


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / MANIFEST).symlink_to("/dev/zero")
    refused(tmp_path / "b", "it is not a file")
    os.mkfifo(tmp_path / "b.zip")
    refused(tmp_path / "b.zip", "neither a folder nor a file")


@pytest.mark.parametrize(
    "change",
    [{"key": "../../night"}, {"key": "a\x1b[2J"}, {"seed": -1}, {"created_at": 1e300}, {"uid": 5}, {"settings": []}],
)
def test_facts_that_no_run_has_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    files = {**honest_files(), RUN: changed(honest_files()[RUN], lambda run: run.update(change))}
    refused(zipped(tmp_path / "b.zip", files, resealed=True))


VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, -1e308, 1e308, 5e-324, "", "x", "\x1b[2J", "../..", "0" * 9999),
    *([], {}, [[]], [None], {"a": None}, {"": {}}, [1, 2, 3], [[1, 2], [3]], {"USD": "x"}, {"USD": -1}),
)


def mutated(document: Any, chance: random.Random) -> Any:
    """Change one place of a JSON document: another value, a missing or doubled entry, or one from elsewhere."""
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in entries:
            places.append((value, key))
            visit(inner)

    visit(document)
    if not places:
        return chance.choice(VALUES)
    parent, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del parent[key]
        case 1:
            other, at = chance.choice(places)
            parent[key] = json.loads(json.dumps(other[at]))
        case 2 if isinstance(parent, list):
            parent.insert(key, json.loads(json.dumps(parent[key])))
        case _:
            parent[key] = chance.choice(VALUES)
    return document


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Change, remove or repeat some bytes."""
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 1, 4, 64, 4096)))
    return (
        data[:start] + chance.choice((b"", bytes(end - start), data[start:end] * 2, chance.randbytes(8))) + data[end:]
    )


@long_form
@settings(max_examples=short_or_long(40, 2000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_mutated_bundle_is_used_or_refused(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    files, path = dict(honest_files()), tmp_path / "b.zip"
    kind = chance.choice(("bytes", "zip", "json", "json", "json", "json"))
    for _ in range(chance.choice((1, 1, 1, 3))):
        name = chance.choice((*FILES, MANIFEST) if kind == "bytes" else (RUN, RESULT, ROUNDS, PROGRAMS, MANIFEST))
        if kind == "bytes":
            files[name] = mutated_bytes(files[name], chance)
        elif kind == "json":
            files[name] = json.dumps(mutated(json.loads(files[name]), chance)).encode()
    try:
        zipped(path, files, resealed=True)
    except (ValueError, TypeError, KeyError, AttributeError):  # a manifest that can't be sealed
        zipped(path, files)
    if kind == "zip":
        path.write_bytes(mutated_bytes(path.read_bytes(), chance))
    with suppress(HybridloopError):
        run, _ = read_bundle(path)
        with reading(str(path)):
            export_run(run)
            verify_run(run)
            if IS_LONG:
                render_report(run)
