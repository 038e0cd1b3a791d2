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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybridloop.errors import BundleDamaged, InputError
from hybridloop.journal import Event, Ping, RunRecord, SessionRow, Span, open_journal
from hybridloop.reports.bundle.manifest import FORMAT, build_manifest, seal_of
from hybridloop.reports.bundle.rounds import UNREADABLE, pack_rounds, unpack_rounds
from hybridloop.reports.export import RUN_FIELDS, run_fields
from hybridloop.runs.stored_run import StoredRun, load_run

MANIFEST, RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS = (
    *("manifest.json", "run.json", "result.json", "rounds.json", "rounds.npz", "programs.json"),
)
FILES = (RUN, RESULT, ROUNDS, ARRAYS, PROGRAMS)
MAX_BYTES = 1 << 30  # of a file of a bundle; a run of 100,000 jobs takes a tenth of it
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
    files = _BundleFiles(path)
    manifest = files.json(MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("run", f"{path} is not a bundle of a run ({FORMAT})", "Give a path of `runs export`.")
    if manifest.get("seal") != seal_of(manifest):
        raise BundleDamaged(str(path), f"{MANIFEST} was changed after it was written")
    checksums = manifest.get("files")
    for name in FILES:
        if not isinstance(checksums, dict) or checksums.get(name) != _checksum(files.data(name)):
            raise BundleDamaged(str(path), f"{name} does not match its checksum in {MANIFEST}")
    try:
        return _unpack(files, path), manifest
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleDamaged(str(path), f"its files hold no run: {error}") from error


@contextmanager
def open_run(name: str) -> Iterator[StoredRun]:
    """Open a run by its key, or read a bundle at a path, without opening or creating a journal."""
    if is_bundle(name):
        yield read_bundle(Path(name))[0]
        return
    with open_journal() as journal:
        yield load_run(journal, name)


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


def _unpack(files: _BundleFiles, path: Path) -> StoredRun:
    stored = files.json(RUN)
    programs = {str(key): str(text).encode() for key, text in files.json(PROGRAMS).items()}
    rounds = unpack_rounds(files.json(ROUNDS), files.data(ARRAYS), stored["uid"], str(path))
    numbers = {"seed": int(stored["seed"]), **{name: float(stored[name]) for name in ("created_at", "updated_at")}}
    record = RunRecord(
        **{**{name: stored[name] for name in (*RUN_FIELDS, "settings", "versions")}, **numbers},
        result=files.json(RESULT),
        owner=None,
        lease_expires_at=None,
        epoch=0,
        stop_requested=False,
        resume_requested=False,
    )
    return StoredRun(
        record,
        [SessionRow(**session) for session in stored["sessions"]],
        [Ping(**ping) for ping in stored["pings"]],
        [Event(**event) for event in stored["events"]],
        {key: Span(*times) for key, times in stored["spans"].items()},
        lambda: iter(rounds),
        programs.get,
    )


class _BundleFiles:
    """The files of a bundle by name. No other name is read, and nothing is unpacked to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, bytes] = {}
        if not path.exists():
            raise InputError("run", f"there is no bundle {path}", "Give a folder or zip file of `runs export`.")

    def data(self, name: str) -> bytes:
        """Read a file once."""
        if name not in self._read:
            try:
                self._read[name] = self._from_folder(name) if self._path.is_dir() else self._from_zip(name)
            except UNREADABLE as error:
                raise BundleDamaged(str(self._path), f"{name} can't be read: {error}") from error
        return self._read[name]

    def json(self, name: str) -> Any:
        """Parse a JSON file."""
        try:
            document = json.loads(self.data(name))
            json.dumps(document, ensure_ascii=False).encode()  # raises for half a surrogate pair, which is not text
            return document
        except (ValueError, RecursionError) as error:
            raise BundleDamaged(str(self._path), f"{name} is not JSON: {error}") from error

    def _from_folder(self, name: str) -> bytes:
        path = self._path / name
        self._check(name, path.stat().st_size)
        return path.read_bytes()

    def _from_zip(self, name: str) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            info = archive.getinfo(name)
            self._check(name, info.file_size)
            with archive.open(info) as file:
                return file.read(MAX_BYTES)

    def _check(self, name: str, size: int) -> None:
        if size > MAX_BYTES:
            raise BundleDamaged(str(self._path), f"{name} has {size:,} bytes, more than any run's")


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with path.open("xb") as file, _removed_on_error([path]), zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)


def _write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    path.mkdir(parents=True, exist_ok=path.is_dir() and not any(path.iterdir()))
    with _removed_on_error([path / name for name in files]):
        for name, data in files.items():
            (path / name).write_bytes(data)


@contextmanager
def _removed_on_error(paths: Iterable[Path]) -> Iterator[None]:
    """Delete an incomplete bundle, so that the next attempt finds the path free."""
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
