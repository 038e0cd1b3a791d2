"""Lifecycle of a component of the local stack: find it or start it under a lock, report its status, stop it."""

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
from hybridloop.local_stack.components import Component, Launch, is_healthy, log_path
from hybridloop.local_stack.processes import is_leader_alive, spawn, start_time, stop_groups, wait_until
from hybridloop.local_stack.state_files import ProcessRecord, private_folder, read_record, write_record
from hybridloop.runtime.stages import announce

_LISTENING = re.compile(r"^listening on (http://\S+?)/?$", re.MULTILINE)


class ComponentState(StrEnum):
    """The state of a component of the stack."""

    RUNNING = "running"
    OUTDATED = "outdated"
    """It runs other code than is installed now; the next call replaces it."""
    SILENT = "silent"
    """Its process is alive and does not answer."""
    STOPPED = "stopped"
    YOURS = "yours"
    """The user's settings name another server or workspace, so none is started."""


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """The status of a component; `url` is "" if it has none, `started` is in UTC, `output` its log file."""

    name: str
    state: ComponentState
    url: str = ""
    pid: int | None = None
    started: datetime | None = None
    release: str = ""
    output: Path | None = None


@dataclass(frozen=True, slots=True)
class ComponentFiles:
    """Paths of a component's state file, lock and log, and the mark of its processes."""

    home: Path
    component: str

    @property
    def folder(self) -> Path:
        """The folder of all components' state files, locks and logs."""
        return self.home / "stack"

    @property
    def record(self) -> Path:
        """The state file, which names the running process."""
        return self.folder / f"{self.component}.json"

    @property
    def output(self) -> Path:
        """The log file with the component's standard output and standard error."""
        return log_path(self.home, self.component)

    @property
    def mark(self) -> str:
        """The value of the environment variable that marks the component's processes."""
        return f"{self.component}@{self.home}"

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """Hold the component's lock: of two starters, the second waits and finds the process of the first."""
        folder = private_folder(self.folder)  # the state file has keys
        try:
            with FileLock(folder / f"{self.component}.lock", timeout=timeout_s):
                yield
        except Timeout as exc:
            raise StackError(
                f"another process has been starting or stopping the {self.component} for {timeout_s:g} s",
                "Find the `hybridloop` process that hangs, end it, and try again.",
            ) from exc


def ensure_running(component: Component, home: Path, environ: Mapping[str, str]) -> ProcessRecord:
    """Return the component's running process; start one if there is none that is healthy and up to date."""
    files = ComponentFiles(home, component.name)
    # without the lock: it runs already, as in most calls
    record = read_record(files.record)
    if record is not None and _is_current(component, record) and is_healthy(component, record):
        return record
    with files.locked(component.start_timeout_s + component.recovery_timeout_s):
        # another process may have started it meanwhile
        record = read_record(files.record)
        if record is not None and _is_current(component, record) and _recovers(component, record):
            return record
        stop_groups(files.mark, record, component.stop_timeout_s)
        started = _start(component, files, environ, record)
        write_record(files.record, started)
        return started


def _is_current(component: Component, record: ProcessRecord) -> bool:
    return record.release == component.release() and is_leader_alive(record)


def _recovers(component: Component, record: ProcessRecord) -> bool:
    """Wait for a process that is alive to answer; return False if it ends or stays silent."""
    announce(
        f"waiting for {component.title}, which does not answer; after {component.recovery_timeout_s:g} s it is replaced"
    )

    def is_decided() -> bool:
        return not is_leader_alive(record) or is_healthy(component, record)

    return wait_until(is_decided, component.recovery_timeout_s) and is_leader_alive(record)


def _start(
    component: Component, files: ComponentFiles, environ: Mapping[str, str], previous: ProcessRecord | None
) -> ProcessRecord:
    """Start the component, on its previous port if that is free: then its clients only see a pause."""
    announce(f"starting {component.title}")
    launch = component.launch(files.home, environ, previous)
    if previous is not None:
        try:
            return _start_on(previous.port, component, launch, files)
        except _EndedEarly:
            pass  # most likely the port is taken; another reason would show in the next attempt
    try:
        return _start_on(0, component, launch, files)
    except _EndedEarly as exc:
        raise StackError(
            f"the {component.name} ended before it was ready ({exc})", f"See {files.output} for the reason."
        ) from exc


class _EndedEarly(Exception):
    """The process ended before it was ready."""


def _start_on(port: int, component: Component, launch: Launch, files: ComponentFiles) -> ProcessRecord:
    try:  # an interrupt may come as soon as the process runs, within `spawn`
        process = spawn(
            [*launch.command, "--port", str(port)],
            mark=files.mark,
            environ=launch.environ,
            folder=files.folder,
            output=files.output,
        )
        return _wait_until_ready(process, component, launch, files)
    except BaseException:  # KeyboardInterrupt too: no state file names this process yet
        stop_groups(files.mark, None, component.stop_timeout_s)
        raise


def _wait_until_ready(
    process: subprocess.Popen[bytes], component: Component, launch: Launch, files: ComponentFiles
) -> ProcessRecord:
    """Wait until the process has printed its address and is healthy; _EndedEarly if it ends, StackError if too slow."""

    def read_log() -> str:
        return files.output.read_text(encoding="utf-8", errors="replace")

    def is_ready() -> bool:
        if process.poll() is not None:
            lines = [line.strip() for line in read_log().split("\n") if line.strip()]
            raise _EndedEarly(f"exit code {process.returncode}: {lines[-1] if lines else 'it wrote nothing'}")
        record = listening_record()
        return record is not None and is_healthy(component, record)

    def listening_record() -> ProcessRecord | None:
        address = _LISTENING.search(read_log())
        if address is None:
            return None
        return ProcessRecord(
            part=component.name,
            url=address.group(1),
            pid=process.pid,
            started=start_time(process.pid),
            release=component.release(),
            api_key=launch.api_key,
            admin_key=launch.admin_key,
        )

    # wait until it answers at the address that it printed
    ready = wait_until(is_ready, component.start_timeout_s)
    record = listening_record()
    if not ready or record is None:
        raise StackError(
            f"the {component.name} was not ready {component.start_timeout_s:g} s after its start",
            f"See {files.output}; the machine may be overloaded.",
        )
    return record


def stop_component(component: Component, home: Path) -> int:
    """Stop all processes of the component and delete its state file; return the number of processes stopped."""
    files = ComponentFiles(home, component.name)
    with files.locked(component.start_timeout_s + component.recovery_timeout_s):
        stopped = stop_groups(files.mark, read_record(files.record), component.stop_timeout_s)
        files.record.unlink(missing_ok=True)
    return stopped


def find_running(component: Component, home: Path) -> ProcessRecord | None:
    """Return the component's process if it is alive and healthy; change nothing."""
    record = read_record(ComponentFiles(home, component.name).record)
    return record if record is not None and is_leader_alive(record) and is_healthy(component, record) else None


def component_status(component: Component, home: Path) -> ComponentStatus:
    """Return the component's status; change nothing."""
    files = ComponentFiles(home, component.name)
    record = read_record(files.record)
    if record is None or not is_leader_alive(record):
        return ComponentStatus(component.name, ComponentState.STOPPED)
    if not is_healthy(component, record):
        state = ComponentState.SILENT
    elif record.release != component.release():
        state = ComponentState.OUTDATED
    else:
        state = ComponentState.RUNNING
    return ComponentStatus(
        component.name,
        state,
        url=record.url,
        pid=record.pid,
        started=datetime.fromtimestamp(record.started, UTC),
        release=record.release,
        output=files.output,
    )
