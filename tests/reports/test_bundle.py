"""Bundles: round trip, verification from the bundle alone, and detection of changed files."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridloop.errors import BundleDamaged, HybridloopError, InputError
from hybridloop.reports.bundle.archive import (
    ARRAYS,
    FILES,
    MANIFEST,
    RESULT,
    ROUNDS,
    RUN,
    is_bundle,
    read_bundle,
    reading,
    write_bundle,
)
from hybridloop.reports.bundle.manifest import seal_of
from hybridloop.reports.verify import verify_run
from hybridloop.runs.stored_run import StoredRun
from tests.journal.journal_helpers import round_values
from tests.stored_run_helpers import KEYS


def files_of(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, files: dict[str, bytes], *, resealed: bool = False) -> Path:
    """Write a bundle of these files; `resealed`: with matching checksums and seal."""
    if resealed:
        manifest = json.loads(files[MANIFEST])
        for name in FILES:
            manifest["files"][name] = {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])}
        manifest["seal"] = seal_of(manifest)
        files = {**files, MANIFEST: json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    document = json.loads(data)
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", ["vqe", "scan", "qaoa", "stopped", "idled-ping"])
def test_a_run_comes_back_whole_from_a_zip_and_from_a_folder(name: str, bundles: Path, tmp_path: Path) -> None:
    run, manifest = read_bundle(bundles / f"{name}.zip")
    again = write_bundle(run, tmp_path / "folder")
    same, _ = read_bundle(tmp_path / "folder")
    assert [round_values(round_) for round_ in same.rounds()] == [round_values(round_) for round_ in run.rounds()]
    for part in ("record", "sessions", "pings", "events", "spans", "result"):
        assert getattr(same, part) == getattr(run, part)
    assert again["files"] == manifest["files"]
    write_bundle(run, tmp_path / "again.zip")
    write_bundle(run, tmp_path / "and-again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "and-again.zip").read_bytes()


@pytest.mark.parametrize("kept", ["vqe", "scan", "qaoa"], indirect=True)
def test_the_answer_is_computed_from_the_bundle_alone(kept: StoredRun) -> None:
    found = verify_run(kept)
    assert found.agrees
    assert kept.result is not None
    assert (found.value, found.rounds) == (kept.result.value, kept.result.rounds)


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_texts_of_another_version_are_no_difference_and_numbers_are(kept: StoredRun) -> None:
    assert kept.record.result is not None
    first, *others = kept.record.result["table"]

    def differences(version: str, **changed: object) -> tuple[str, ...]:
        result = {**kept.record.result, "table": [{**first, **changed}, *others]}  # type: ignore[dict-item]
        there = {**kept.record.versions, "hybridloop": version}
        return verify_run(replace(kept, record=replace(kept.record, result=result, versions=there))).differences

    words: dict[str, object] = {"start": "newton", "reason": "in other words", "choices": ["search: another"]}
    assert differences("0.0.1", **words) == ()
    assert differences(kept.record.versions["hybridloop"], **words) == ("table",)
    assert differences("0.0.1", energy=first["energy"] + 1e-15) == ("table",)


@pytest.mark.parametrize("kept", ["stopped", "idled-ping"], indirect=True)
def test_a_run_without_a_result_has_nothing_to_verify(kept: StoredRun) -> None:
    is_script = kept.record.algorithm == "session"
    with pytest.raises(InputError, match="is a script, whose values" if is_script else "has no result to verify"):
        verify_run(kept)


def test_the_manifest_has_jobs_seed_versions_and_program_hashes(bundles: Path) -> None:
    run, manifest = read_bundle(bundles / "vqe.zip")
    assert run.result is not None
    jobs = [job for each in manifest["jobs"] for job in each["jobs"]]
    assert len(jobs) == len(set(jobs)) == run.result.jobs
    assert {each["session"] for each in manifest["jobs"]} == {session.id for session in run.result.sessions}
    assert manifest["seed"] == 7
    assert manifest["settings"]["precision"] == 0.005
    assert {"qiskit", "numpy", "azure-quantum"} <= manifest["versions"].keys()
    assert manifest["prices_dated"]
    assert manifest["problem"]["built_in"]
    for circuit in manifest["circuits"]:
        body = run.program(circuit["program"])
        assert body is not None
        assert hashlib.sha256(body).hexdigest() == circuit["program_sha256"]


@pytest.mark.parametrize("name", ["b.zip", "folder"])
def test_an_interrupted_export_leaves_no_files_behind(name: str, vqe_run: StoredRun, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))  # as if the disk were full
    try:
        with pytest.raises(InputError, match="can't be written"):
            write_bundle(vqe_run, tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    write_bundle(vqe_run, tmp_path / name)
    assert read_bundle(tmp_path / name)[0].record == vqe_run.record


def test_no_secret_is_in_a_bundle(bundles: Path) -> None:
    keys = (bundles / KEYS).read_bytes().split()
    assert len(keys) == 4
    for bundle in bundles.glob("*.zip"):
        for data in files_of(bundle).values():
            assert [key for key in keys if key in data] == []


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_file_that_was_changed_or_is_missing_is_noticed(name: str, bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    cut = {**files, name: files[name][:-2]}
    with pytest.raises(BundleDamaged, match=name):
        read_bundle(zipped(tmp_path / "cut.zip", cut))
    del cut[name]
    with pytest.raises(BundleDamaged, match=name):
        read_bundle(zipped(tmp_path / "missing.zip", cut))


def test_a_seed_that_was_changed_in_the_manifest_is_noticed(bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    files[MANIFEST] = changed(files[MANIFEST], lambda manifest: manifest.update(seed=8))
    with pytest.raises(BundleDamaged, match=r"manifest\.json was changed after it was written"):
        read_bundle(zipped(tmp_path / "b.zip", files))


def lower_value(result: dict[str, Any]) -> None:
    result["value"] -= 1e-3


def other_shots(rounds: list[Any]) -> None:
    rounds[0]["circuits"][0]["shots"] += 1


def swapped_job_ids(rounds: list[Any]) -> None:
    first, second = rounds[0]["jobs"][:2]
    first["id"], second["id"] = second["id"], first["id"]


def other_seed(run: dict[str, Any]) -> None:
    run["uid"] = "0" * 8 + run["uid"][8:]


def test_a_forged_result_is_detected_despite_new_checksums(bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    files[RESULT] = changed(files[RESULT], lower_value)
    found = verify_run(read_bundle(zipped(tmp_path / "b.zip", files, resealed=True))[0])
    assert found.differences == ("value", "error", "correlation_recovered")


def other(value: Any) -> Any:
    """Return another value of a result's field, of its type where it has one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x" if value != "converged" else "finished"
        case [first, *_]:
            return [other(first) if isinstance(first, int | float | str) else first, *value]
        case []:
            return ["of nothing"]
        case {"amount": _}:
            return {"amount": 7.0, "unit": "USD"}
        case dict():
            return {"USD": 7.0} if all(isinstance(each, float) for each in value.values()) else value
    return 0.5


@pytest.mark.parametrize("name", ["vqe", "scan", "qaoa"])
def test_no_field_of_a_result_can_be_forged(name: str, bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / f"{name}.zip")
    whole = verify_run(read_bundle(bundles / f"{name}.zip")[0])
    assert (whole.differences, whole.stated) == ((), ("wall_seconds", "resumed"))
    result = json.loads(files[RESULT])
    # derived again from others wherever a result is read
    free = {"error", "correlation_recovered", "cost", "parameters"} - {"parameters"}
    for field, value in result.items():
        forged = {**result, field: other(value)}
        if field in free or forged == result:
            continue
        files[RESULT] = json.dumps(forged).encode()
        path = zipped(tmp_path / f"{field}.zip", files, resealed=True)
        try:
            run, _ = read_bundle(path)
            with reading(str(path)):
                found = verify_run(run)
        except HybridloopError:
            continue
        if field == "jobs" and found.agrees:
            continue  # it is made of its parts
        assert field in found.stated or not found.agrees, field


@pytest.mark.parametrize("key", ["x}\\immediate\\write18{touch /tmp/x}", "..", "-rf", ""])
def test_a_key_that_no_run_can_have_is_refused(key: str, bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    for changed_in in ((RUN,), (RESULT,), (RUN, RESULT)):
        forged = dict(files)
        for name in changed_in:
            field = "key" if name == RUN else "run_key"
            forged[name] = changed(files[name], lambda document, field=field: document.update({field: key}))  # type: ignore[misc]
        path = zipped(tmp_path / f"{'-'.join(changed_in)}.zip", forged, resealed=True)
        with pytest.raises(BundleDamaged):
            read_bundle(path)


def test_a_status_that_there_is_not_is_refused(bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    files[RUN] = changed(files[RUN], lambda document: document.update(status="\x1b[2J"))
    with pytest.raises(BundleDamaged):
        read_bundle(zipped(tmp_path / "b.zip", files, resealed=True))


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        (ROUNDS, other_shots, "shots"),
        (ROUNDS, swapped_job_ids, "belongs to another run, or to another job key in it"),
        (RUN, other_seed, "belongs to another run"),
    ],
)
def test_rounds_of_another_run_are_detected_despite_new_checksums(
    name: str, change: Callable[[Any], None], complaint: str, bundles: Path, tmp_path: Path
) -> None:
    files = files_of(bundles / "unbatched.zip")
    files[name] = changed(files[name], change)
    with pytest.raises(HybridloopError, match=complaint):
        verify_run(read_bundle(zipped(tmp_path / "b.zip", files, resealed=True))[0])


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, points=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def of_a_petabyte() -> bytes:
    """Return arrays whose headers state more data than there is."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 47,)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("points", "angles", "outcomes", "counts"):
            archive.writestr(f"{name}.npy", header.getvalue())
    return file.getvalue()


@pytest.mark.parametrize("arrays", [pickled, of_a_petabyte, lambda: b"", lambda: b"PK\x05\x06" + b"\0" * 18])
def test_malicious_arrays_are_refused_and_not_executed(
    arrays: Callable[[], bytes], bundles: Path, tmp_path: Path
) -> None:
    files = {**files_of(bundles / "vqe.zip"), ARRAYS: arrays()}
    with pytest.raises(BundleDamaged, match="arrays can't be read"):
        read_bundle(zipped(tmp_path / "b.zip", files, resealed=True))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_zip_in_which_a_bit_flips_is_read_as_it_was_or_refused(
    at: float, bit: int, bundles: Path, tmp_path: Path
) -> None:
    stored = bytearray((bundles / "vqe.zip").read_bytes())
    stored[int(at * len(stored))] ^= 1 << bit
    (tmp_path / "b.zip").write_bytes(stored)
    try:
        found, _ = read_bundle(tmp_path / "b.zip")
    except HybridloopError:
        return
    right, _ = read_bundle(bundles / "vqe.zip")
    assert [round_values(round_) for round_ in found.rounds()] == [round_values(round_) for round_ in right.rounds()]
    assert (found.record, found.events) == (right.record, right.events)


def test_half_a_surrogate_pair_is_refused(bundles: Path, tmp_path: Path) -> None:
    files = files_of(bundles / "vqe.zip")
    files[RUN] = changed(files[RUN], lambda run: run.update(problem="h\udce92"))
    with pytest.raises(BundleDamaged, match=r"run\.json is not JSON"):
        read_bundle(zipped(tmp_path / "b.zip", files, resealed=True))


def test_existing_files_are_not_overwritten(bundles: Path, tmp_path: Path) -> None:
    run, _ = read_bundle(bundles / "qaoa.zip")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    (tmp_path / "mine.zip").write_text("mine")
    for path in (tmp_path / "mine", tmp_path / "mine.zip"):
        with pytest.raises(InputError, match="exists already"):
            write_bundle(run, path)
    with pytest.raises(InputError, match="can't be written"):
        write_bundle(run, tmp_path / "nowhere" / "b.zip")
    assert (tmp_path / "mine" / "notes").read_text() == (tmp_path / "mine.zip").read_text() == "mine"


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleDamaged, match=r"manifest\.json can't be read"):
        read_bundle(tmp_path)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(InputError, match="is not a bundle of a run"):
        read_bundle(tmp_path)
    with pytest.raises(InputError, match="there is no bundle"):
        read_bundle(tmp_path / "nowhere")


def test_a_path_is_distinguished_from_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_bundle("night")
    assert not is_bundle("night.zip")
    assert is_bundle("./night.zip")
    (tmp_path / "night").mkdir()
    assert not is_bundle("night")
    (tmp_path / "night" / MANIFEST).touch()
    (tmp_path / "night.zip").touch()
    assert is_bundle("night")
    assert is_bundle("night.zip")
