"""Finds a part of the local stack or starts it, one starter at a time; tells how it is, and ends it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from hybridloop.errors import StackError
from hybridloop.stack.parts import Launch, Part, answers, output_of
from hybridloop.stack.processes import leads, spawn, started_at, stop, wait_until
from hybridloop.stack.records import Record, private_folder, read_record, write_record

LISTENING = re.compile(r"^listening on (http://\S+?)/?$", re.MULTILINE)


class PartState(StrEnum):
    """How a part of the stack is found."""

    RUNNING = "running"
    OUTDATED = "outdated"
    """It runs other code than is installed now; the next call replaces it."""
    SILENT = "silent"
    """Its process lives and does not answer."""
    STOPPED = "stopped"
    YOURS = "yours"
    """Not ours to run: the user's settings name another."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """What is known about one part; `url` is "" where there is none to tell, `started` is in UTC."""

    name: str
    state: PartState
    url: str = ""
    pid: int | None = None
    started: datetime | None = None
    release: str = ""
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part keeps its record, its lock and its output, and the mark of its processes."""

    home: Path
    part: str

    @property
    def folder(self) -> Path:
        """The folder of records, locks and outputs."""
        return self.home / "stack"

    @property
    def record(self) -> Path:
        """The file that names the running process."""
        return self.folder / f"{self.part}.json"

    @property
    def output(self) -> Path:
        """The file that takes the part's standard output and standard error."""
        return output_of(self.home, self.part)

    @property
    def mark(self) -> str:
        """What the part's processes carry in their environment."""
        return f"{self.part}@{self.home}"

    @contextmanager
    def locked(self, within_s: float) -> Iterator[None]:
        """Hold the part alone: whoever comes second waits, and then finds what the first has started."""
        folder = private_folder(self.folder)  # for the keys
        try:
            with FileLock(folder / f"{self.part}.lock", timeout=within_s):
                yield
        except Timeout as exc:
            raise StackError(
                f"another process has held the start or stop of the {self.part} for {within_s:g} s",
                "Look whether a `hybridloop` hangs, end it, and try again.",
            ) from exc


def ensure(part: Part, home: Path, environ: Mapping[str, str]) -> Record:
    """The running part, started if there is none that is alive, up to date and well."""
    place = Place(home, part.name)
    record = read_record(place.record)
    if record is not None and _is_current(part, record) and answers(part, record):
        return record
    with place.locked(part.start_within_s + part.patience_s):
        record = read_record(place.record)
        if record is not None and _is_current(part, record) and _comes_round(part, record):
            return record
        stop(place.mark, record, part.stop_within_s)
        started = _start(part, place, environ, record)
        write_record(place.record, started)
        return started


def _is_current(part: Part, record: Record) -> bool:
    return record.release == part.release() and leads(record)


def _comes_round(part: Part, record: Record) -> bool:
    """Whether a part that lives answers after all."""
    return wait_until(lambda: not leads(record) or answers(part, record), part.patience_s) and leads(record)


def _start(part: Part, place: Place, environ: Mapping[str, str], previous: Record | None) -> Record:
    """Start the part, on the port it had before if that is still free: its clients then only see a pause."""
    launch = part.launch(place.home, environ, previous)
    if previous is not None:
        try:
            return _start_on(previous.port, part, launch, place)
        except _EndedEarly:
            pass  # most likely the port is taken by now; if it was another reason, the next attempt shows it
    try:
        return _start_on(0, part, launch, place)
    except _EndedEarly as exc:
        raise StackError(f"the {part.name} ended while it started ({exc})", f"See {place.output}.") from exc


class _EndedEarly(Exception):
    """The process ended before it was ready."""


def _start_on(port: int, part: Part, launch: Launch, place: Place) -> Record:
    process = spawn(
        [*launch.command, "--port", str(port)],
        mark=place.mark,
        environ=launch.environ,
        folder=place.folder,
        output=place.output,
    )
    try:
        return _when_ready(process, part, launch, place)
    except BaseException:  # Ctrl-C among them: nobody would know of this process
        stop(place.mark, None, part.stop_within_s)
        raise


def _when_ready(process: subprocess.Popen[bytes], part: Part, launch: Launch, place: Place) -> Record:
    def is_ready() -> bool:
        if process.poll() is not None:
            lines = place.output.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
            raise _EndedEarly(f"exit code {process.returncode}: {last}")
        record = starting()
        return record is not None and answers(part, record)

    def starting() -> Record | None:
        found = LISTENING.search(place.output.read_text(encoding="utf-8", errors="replace"))
        if found is None:
            return None
        return Record(
            part=part.name,
            url=found.group(1),
            pid=process.pid,
            started=started_at(process.pid),
            release=part.release(),
            api_key=launch.api_key,
            admin_key=launch.admin_key,
        )

    ready = wait_until(is_ready, part.start_within_s)
    record = starting()
    if not ready or record is None:
        raise StackError(
            f"the {part.name} was not ready {part.start_within_s:g} s after its start",
            f"See {place.output}; the machine may be overloaded.",
        )
    return record


def end(part: Part, home: Path) -> int:
    """Stop all processes of the part and forget it. Returns how many were stopped."""
    place = Place(home, part.name)
    with place.locked(part.start_within_s + part.patience_s):
        stopped = stop(place.mark, read_record(place.record), part.stop_within_s)
        place.record.unlink(missing_ok=True)
    return stopped


def running(part: Part, home: Path) -> Record | None:
    """The part's record, if its process lives and answers; changes nothing."""
    record = read_record(Place(home, part.name).record)
    return record if record is not None and leads(record) and answers(part, record) else None


def look(part: Part, home: Path) -> PartStatus:
    """How the part is now; changes nothing."""
    place = Place(home, part.name)
    record = read_record(place.record)
    if record is None or not leads(record):
        return PartStatus(part.name, PartState.STOPPED)
    if not answers(part, record):
        state = PartState.SILENT
    elif record.release != part.release():
        state = PartState.OUTDATED
    else:
        state = PartState.RUNNING
    return PartStatus(
        part.name,
        state,
        url=record.url,
        pid=record.pid,
        started=datetime.fromtimestamp(record.started, UTC),
        release=record.release,
        output=place.output,
    )
