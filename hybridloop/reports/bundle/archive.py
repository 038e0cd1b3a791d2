"""A run as a bundle: files that hold all of it, for an archive and for whoever checks it on another machine.

`manifest.json` says what the run was, what its answer may depend on, and the checksums of the other files:
`run.json` (settings, sessions, pings, events), `result.json`, `rounds.json` with `rounds.npz` (points, angles and
counts; plain arrays, no pickles), and `programs.json`. There is no secret in it, because the journal holds none.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridloop.errors import BundleDamaged, InputError
from hybridloop.journal import Event, Ping, RunRecord, SessionRow, Span, open_journal
from hybridloop.reports.bundle.manifest import FORMAT, manifest_of, seal_of, sealed
from hybridloop.reports.bundle.rounds import UNREADABLE, packed_rounds, unpacked_rounds
from hybridloop.reports.export import run_fields
from hybridloop.runs.stored_run import KeptRun, kept_in_journal

MANIFEST, RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS = (
    *("manifest.json", "run.json", "result.json", "rounds.json", "rounds.npz", "programs.json"),
)
FILES = (RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS)
MOST_BYTES = 1 << 30  # of a file of a bundle; a run of 100,000 jobs takes a tenth of it
_EPOCH = (1980, 1, 1, 0, 0, 0)  # in a zip: the same run gives the same bytes


def write_bundle(run: KeptRun, path: Path) -> dict[str, Any]:
    """Write a run as a zip file, where `path` ends so, else as a folder, which must be new or empty; the manifest.

    Raises InputError where there is something already.
    """
    rounds, arrays, programs = packed_rounds(run)
    files = {
        RUN: _json(_run(run)),
        RESULT: _json(None if run.record.result is None else dict(run.record.result)),
        ROUNDS: _json(rounds),
        ARRAYS: arrays,
        PROGRAMS: _json(programs),
    }
    sums = {name: _sums(data) for name, data in files.items()}
    manifest = sealed({**manifest_of(run, rounds, programs), "files": sums})
    files = {MANIFEST: _json(manifest), **files}
    try:
        if path.suffix == ".zip":
            _write_zip(path, files)
        else:
            _write_folder(path, files)
    except FileExistsError as error:
        raise InputError("--output", f"{path} is there already", "Give a name that is free.") from error
    except OSError as error:
        raise InputError("--output", f"{path} can't be written ({error.strerror})", "Check the path.") from error
    return manifest


def read_bundle(path: Path) -> tuple[KeptRun, dict[str, Any]]:
    """The run of a bundle, and its manifest.

    Raises BundleDamaged where a file is missing, is not what the manifest says, or can't be read; InputError for what
    is no bundle.
    """
    files = _Files(path)
    manifest = files.json(MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("run", f"{path} is no bundle of a run ({FORMAT})", "Give what `runs export` wrote.")
    if manifest.get("seal") != seal_of(manifest):
        raise BundleDamaged(str(path), f"{MANIFEST} is not as it was written")
    stated = manifest.get("files")
    for name in FILES:
        if not isinstance(stated, dict) or stated.get(name) != _sums(files.data(name)):
            raise BundleDamaged(str(path), f"{name} is not what {MANIFEST} says of it")
    try:
        return _unpacked(files, path), manifest
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleDamaged(str(path), f"what it holds is no run: {error}") from error


@contextmanager
def opened(name: str) -> Iterator[KeptRun]:
    """The run of a key, or of a bundle at a path; of a bundle no journal is looked at, nor made."""
    if is_bundle(name):
        yield read_bundle(Path(name))[0]
        return
    with open_journal() as journal:
        yield kept_in_journal(journal, name)


def is_bundle(name: str) -> bool:
    """Whether it is a bundle's path rather than a run's key, which has no slashes."""
    path = Path(name)
    return path.name != name or (path.suffix == ".zip" and path.exists()) or (path / MANIFEST).is_file()


def _run(run: KeptRun) -> dict[str, Any]:
    return {
        **run_fields(run.record),
        "settings": dict(run.record.settings),
        "versions": dict(run.record.versions),
        "sessions": [asdict(each) for each in run.sessions],
        "pings": [asdict(each) for each in run.pings],
        "events": [asdict(each) for each in run.events],
        "spans": {place: [span.begun_at, span.ended_at] for place, span in run.spans.items()},
    }


def _unpacked(files: _Files, path: Path) -> KeptRun:
    stored = files.json(RUN)
    programs = {str(key): str(text).encode() for key, text in files.json(PROGRAMS).items()}
    rounds = unpacked_rounds(files.json(ROUNDS), files.data(ARRAYS), stored["uid"], str(path))
    own = ("uid", "key", "algorithm", "problem", "target", "settings", "flow_run_id", "versions", "status", "reason")
    record = RunRecord(
        **{name: stored[name] for name in own},
        seed=int(stored["seed"]),
        result=files.json(RESULT),
        created_at=float(stored["created_at"]),
        updated_at=float(stored["updated_at"]),
        owner=None,
        lease_expires_at=None,
        epoch=0,
        stop_requested=False,
        resume_requested=False,
    )
    return KeptRun(
        record,
        [SessionRow(**each) for each in stored["sessions"]],
        [Ping(**each) for each in stored["pings"]],
        [Event(**each) for each in stored["events"]],
        {place: Span(*moments) for place, moments in stored["spans"].items()},
        lambda: iter(rounds),
        programs.get,
    )


class _Files:
    """The files of a bundle by name; no other name is ever looked at, and nothing is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, bytes] = {}
        if not path.exists():
            raise InputError("run", f"there is no bundle {path}", "Give a folder or zip file that `runs export` wrote.")

    def data(self, name: str) -> bytes:
        """The file's content."""
        if name not in self._read:
            try:
                self._read[name] = self._from_folder(name) if self._path.is_dir() else self._from_zip(name)
            except UNREADABLE as error:
                raise BundleDamaged(str(self._path), f"{name} can't be read: {error}") from error
        return self._read[name]

    def json(self, name: str) -> Any:
        """What a file of JSON says."""
        try:
            found = json.loads(self.data(name))
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text, and was never written
            return found
        except (ValueError, RecursionError) as error:
            raise BundleDamaged(str(self._path), f"{name} is no JSON: {error}") from error

    def _from_folder(self, name: str) -> bytes:
        path = self._path / name
        self._check(name, path.stat().st_size)
        return path.read_bytes()

    def _from_zip(self, name: str) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            info = archive.getinfo(name)
            self._check(name, info.file_size)
            with archive.open(info) as file:
                return file.read(MOST_BYTES)

    def _check(self, name: str, size: int) -> None:
        if size > MOST_BYTES:
            raise BundleDamaged(str(self._path), f"{name} has {size:,} bytes, more than any run's")


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with path.open("xb") as file, _gone_if_cut_off([path]), zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    path.mkdir(parents=True, exist_ok=path.is_dir() and not any(path.iterdir()))
    with _gone_if_cut_off([path / name for name in files]):
        for name, data in files.items():
            (path / name).write_bytes(data)


@contextmanager
def _gone_if_cut_off(paths: Iterable[Path]) -> Iterator[None]:
    """Have no half bundle stand in the way of the next attempt."""
    try:
        yield
    except BaseException:  # a full disk, an interruption
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def _sums(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()
