"""Write and read bundles: all of a run in files, for archives and for verification on another machine.

`manifest.json` has the run's identity, all that its answer may depend on, and the checksums of the other files:
`run.json` (settings, sessions, pings, events), `result.json`, `rounds.json` with `rounds.npz` (points, angles and
counts; plain arrays, no pickles), and `programs.json`. A bundle holds no secret, because the journal holds none.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from hybridloop.data.states import State
from hybridloop.errors import BundleDamaged, InputError
from hybridloop.journal import Event, Ping, RunRecord, SessionRow, Span, open_journal
from hybridloop.journal.runs import KEY
from hybridloop.reports.bundle.files import BundleFiles
from hybridloop.reports.bundle.manifest import FORMAT, build_manifest, seal_of
from hybridloop.reports.bundle.rounds import pack_rounds, unpack_rounds
from hybridloop.reports.export import RUN_FIELDS, run_fields
from hybridloop.results.result import RunResult
from hybridloop.runs.recorded import recorded_settings
from hybridloop.runs.stored_run import StoredRun, load_run

MANIFEST, RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS = (
    *("manifest.json", "run.json", "result.json", "rounds.json", "rounds.npz", "programs.json"),
)
FILES = (RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS)
_OF_RECORD = ("run_key", "algorithm", "problem", "target", "seed", "status")  # fields of a result that the record has
_Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # until the year 10000
# exceptions that a bundle with valid checksums causes if its content is not that of a run
_UNUSABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, StopIteration)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # time of each file in a zip: the same run gives the same bytes


def write_bundle(run: StoredRun, path: Path) -> dict[str, Any]:
    """Write a run to a zip file (`path` ends with .zip) or to a new or empty folder; return the manifest.

    Raises InputError if the path exists or can't be written.
    """
    rounds, arrays, programs = pack_rounds(run)
    files = {
        RUN: _json(_run(run)),
        RESULT: _json(None if run.record.result is None else dict(run.record.result)),
        ROUNDS: _json(rounds),
        ARRAYS: arrays,
        PROGRAMS: _json(programs),
    }
    checksums = {name: _checksum(data) for name, data in files.items()}
    manifest = {**build_manifest(run, rounds, programs), "files": checksums}
    manifest["seal"] = seal_of(manifest)
    files = {MANIFEST: _json(manifest), **files}
    try:
        if path.suffix == ".zip":
            _write_zip(path, files)
        else:
            _write_folder(path, files)
    except FileExistsError as error:
        raise InputError("--output", f"{path} exists already", "Give another path.") from error
    except OSError as error:
        raise InputError("--output", f"{path} can't be written ({error.strerror})", "Check the path.") from error
    return manifest


def read_bundle(path: Path) -> tuple[StoredRun, dict[str, Any]]:
    """Read a bundle; return its run and manifest.

    Raises BundleDamaged if a file is missing, unreadable, or does not match its checksum; InputError for other files.
    """
    files = BundleFiles(path)
    manifest = files.json(MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("run", f"{path} is not a bundle of a run ({FORMAT})", "Give a path of `runs export`.")
    with _damaged_if_unusable(path):
        seal = seal_of(manifest)
    if manifest.get("seal") != seal:
        raise BundleDamaged(str(path), f"{MANIFEST} was changed after it was written")
    checksums = manifest.get("files")
    for name in FILES:
        if not isinstance(checksums, dict) or checksums.get(name) != _checksum(files.data(name)):
            raise BundleDamaged(str(path), f"{name} does not match its checksum in {MANIFEST}")
    with _damaged_if_unusable(path):
        return _unpack(files, path), manifest


@contextmanager
def open_run(name: str) -> Iterator[StoredRun]:
    """Open a run by its key, or read a bundle at a path, without opening or creating a journal."""
    if is_bundle(name):
        yield read_bundle(Path(name))[0]
        return
    with open_journal() as journal:
        yield load_run(journal, name)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Raise BundleDamaged for errors of a block that only reads the run of this name, if that is a bundle."""
    if is_bundle(name):
        with _damaged_if_unusable(Path(name)):
            yield
    else:
        yield


@contextmanager
def _damaged_if_unusable(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNUSABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleDamaged(str(path), f"its files hold no run: {type(error).__name__}: {reason}") from error


def is_bundle(name: str) -> bool:
    """Return True for a bundle's path; a run's key has no slashes."""
    path = Path(name)
    return path.name != name or (path.suffix == ".zip" and path.exists()) or (path / MANIFEST).is_file()


def _run(run: StoredRun) -> dict[str, Any]:
    return {
        **run_fields(run.record),
        "settings": dict(run.record.settings),
        "versions": dict(run.record.versions),
        "sessions": [asdict(session) for session in run.sessions],
        "pings": [asdict(ping) for ping in run.pings],
        "events": [asdict(event) for event in run.events],
        "spans": {key: [span.begun_at, span.ended_at] for key, span in run.spans.items()},
    }


class _Run(BaseModel):
    """The content of `run.json`."""

    uid: str
    key: str = Field(pattern=rf"^{KEY}$")  # it becomes the name of files
    algorithm: str
    problem: str
    target: str
    seed: Annotated[int, Field(ge=0, strict=True)]
    flow_run_id: str | None
    status: State | Literal["converged", "measured", "finished"]
    reason: str
    created_at: _Time
    updated_at: _Time
    settings: dict[str, Any]
    versions: dict[str, str]
    sessions: list[SessionRow]
    pings: list[Ping]
    events: list[Event]
    spans: dict[str, tuple[_Time, _Time | None]]


_PROGRAMS = TypeAdapter(dict[str, str])
_RESULT = TypeAdapter(dict[str, Any] | None)


def _unpack(files: BundleFiles, path: Path) -> StoredRun:
    stored = _Run.model_validate(files.json(RUN))
    programs = {key: text.encode() for key, text in _PROGRAMS.validate_python(files.json(PROGRAMS)).items()}
    rounds = unpack_rounds(files.json(ROUNDS), files.data(ARRAYS), stored.uid, str(path))
    record = RunRecord(
        **{name: getattr(stored, name) for name in (*RUN_FIELDS, "settings", "versions")},
        result=_RESULT.validate_python(files.json(RESULT)),
        owner=None,
        lease_expires_at=None,
        epoch=0,
        stop_requested=False,
        resume_requested=False,
    )
    spans = {key: Span(*times) for key, times in stored.spans.items()}
    run = StoredRun(record, stored.sessions, stored.pings, stored.events, spans, lambda: iter(rounds), programs.get)
    run = replace(run, is_foreign=True)
    if run.is_of_algorithm:  # these parse what the record holds
        _ = run.problem, recorded_settings(record)
        if (result := run.result) is not None and (wrong := _differing(result, record)):
            raise BundleDamaged(str(path), f"{RESULT} and {RUN} state another {wrong}")
    return run


def _differing(result: RunResult, record: RunRecord) -> str:
    """Return the first field of a result that is not as in the run's record; empty if there is none."""
    stated = {name: getattr(record, {"run_key": "key"}.get(name, name)) for name in _OF_RECORD}
    return next((name for name in _OF_RECORD if getattr(result, name) != stated[name]), "")


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with path.open("xb") as file, removed_on_error([path]), zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    path.mkdir(parents=True, exist_ok=path.is_dir() and not any(path.iterdir()))
    with removed_on_error([path / name for name in files]):
        for name, data in files.items():
            (path / name).write_bytes(data)


@contextmanager
def removed_on_error(paths: Iterable[Path]) -> Iterator[None]:
    """Delete incomplete files of a block that fails, so that the next attempt finds the path free."""
    try:
        yield
    except BaseException:  # such as a full disk, or an interrupt
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def _checksum(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
