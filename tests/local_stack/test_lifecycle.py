"""Lifecycle of a component of the stack, with real processes of a small server that starts in a tenth of a second."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hybridloop.errors import StackError
from hybridloop.local_stack.components import EMULATOR, Component, Launch, launch_emulator
from hybridloop.local_stack.lifecycle import (
    ComponentFiles,
    ComponentState,
    component_status,
    ensure_running,
    stop_component,
)
from hybridloop.local_stack.processes import is_leader_alive, marked_processes
from hybridloop.local_stack.state_files import ProcessRecord, read_record, write_record
from tests.waiting import PATIENCE_S, eventually

# Checks the admin key and has a child process, as the emulator does.
SERVER = """
import http.server, os, subprocess, sys
subprocess.Popen(["sleep", "600"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_valid = self.headers["x-admin-key"] == os.environ["HYBRIDLOOP_EMULATOR_ADMIN_KEY"]
        self.send_response(200 if is_valid else 401)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
"""


def _component(script: str) -> Component:
    def launch(home: Path, environ: Mapping[str, str], previous: ProcessRecord | None) -> Launch:
        return replace(launch_emulator(home, environ, previous), command=(sys.executable, "-c", script))

    return replace(EMULATOR, name="stand-in", launch=launch, start_timeout_s=30.0)


COMPONENT = _component(SERVER)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_component(COMPONENT, tmp_path)


def _pids(home: Path) -> set[int]:
    return {process.pid for process in marked_processes(ComponentFiles(home, COMPONENT.name).mark)}


def _is_alive(pid: int) -> bool:
    # a dead orphan stays listed until the init process reaps it
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _stored(home: Path) -> ProcessRecord:
    record = read_record(ComponentFiles(home, COMPONENT.name).record)
    assert record is not None
    return record


def _ensure(home: Path, component: Component = COMPONENT) -> ProcessRecord:
    return ensure_running(component, home, os.environ)


def test_a_running_component_is_found_again(home: Path) -> None:
    first = _ensure(home)
    assert _ensure(home) == first
    assert component_status(COMPONENT, home).state is ComponentState.RUNNING


def test_of_several_threads_that_start_it_only_one_does(home: Path) -> None:
    with ThreadPoolExecutor(4) as starters:
        records = list(starters.map(lambda _: _ensure(home), range(4)))
    assert len(set(records)) == 1
    assert len({os.getpgid(pid) for pid in _pids(home)}) == 1


def test_of_several_processes_that_start_it_only_one_does(home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; "
        "from tests.local_stack.test_lifecycle import COMPONENT, ensure_running; "
        "print(ensure_running(COMPONENT, Path(sys.argv[1]), os.environ).url)"
    )
    starters = [
        subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    urls = {starter.communicate(timeout=PATIENCE_S)[0].strip() for starter in starters}
    assert urls == {_stored(home).url}
    assert len({os.getpgid(pid) for pid in _pids(home)}) == 1


def test_a_dead_process_is_replaced_on_its_port_with_its_keys_and_its_children_are_stopped(home: Path) -> None:
    first = _ensure(home)
    orphans = _pids(home) - {first.pid}
    psutil.Process(first.pid).kill()
    eventually(lambda: not is_leader_alive(first))
    assert component_status(COMPONENT, home).state is ComponentState.STOPPED
    second = _ensure(home)
    assert second.pid != first.pid
    assert (second.url, second.api_key, second.admin_key) == (first.url, first.api_key, first.admin_key)
    assert orphans
    assert not orphans & _pids(home)


def test_another_port_is_used_if_the_previous_one_is_taken(home: Path) -> None:
    first = _ensure(home)
    os.killpg(first.pid, signal.SIGKILL)
    eventually(lambda: not is_leader_alive(first))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()
        assert _ensure(home).port != first.port


def test_an_upgrade_replaces_the_process(home: Path) -> None:
    first = _ensure(home)
    upgraded = replace(COMPONENT, release=lambda: "2.0")
    assert component_status(upgraded, home).state is ComponentState.OUTDATED
    second = _ensure(home, upgraded)
    assert second.pid != first.pid
    assert second.release == "2.0"
    assert not is_leader_alive(first)


def test_a_process_that_is_silent_too_long_is_replaced(home: Path) -> None:
    impatient = replace(COMPONENT, health_timeout_s=0.2, recovery_timeout_s=0.2)
    first = _ensure(home)
    os.killpg(first.pid, signal.SIGSTOP)
    assert component_status(impatient, home).state is ComponentState.SILENT
    second = _ensure(home, impatient)
    assert second.pid != first.pid
    assert not is_leader_alive(first)


def test_a_process_with_another_key_is_not_ours(home: Path) -> None:
    ours = _ensure(home)
    files = ComponentFiles(home, COMPONENT.name)
    write_record(files.record, replace(ours, admin_key="another"))
    assert component_status(COMPONENT, home).state is ComponentState.SILENT


def test_a_process_with_a_broken_state_file_is_replaced(home: Path) -> None:
    first = _ensure(home)
    ComponentFiles(home, COMPONENT.name).record.write_text("{ cut off")
    second = _ensure(home)
    assert second.pid != first.pid
    assert not is_leader_alive(first)


def test_a_state_file_with_a_reused_process_id_is_not_trusted(home: Path) -> None:
    first = _ensure(home)
    stop_component(COMPONENT, home)
    write_record(ComponentFiles(home, COMPONENT.name).record, replace(first, pid=os.getpid()))
    assert component_status(COMPONENT, home).state is ComponentState.STOPPED
    assert _ensure(home).pid != os.getpid()


@pytest.mark.claim("`hybridloop down` stops both")
def test_down_leaves_no_process_and_no_state_file(home: Path) -> None:
    _ensure(home)
    running = _pids(home)
    assert stop_component(COMPONENT, home) == len(running) == 2
    assert not any(_is_alive(pid) for pid in running)
    assert not ComponentFiles(home, COMPONENT.name).record.exists()
    assert stop_component(COMPONENT, home) == 0


def test_down_kills_a_process_that_ignores_sigterm(home: Path) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    stubborn = replace(_component(script), stop_timeout_s=0.2)
    _ensure(home, stubborn)
    stop_component(stubborn, home)
    assert not _pids(home)


def test_keys_are_in_no_argument_no_repr_and_no_file_that_others_can_read(home: Path) -> None:
    record = _ensure(home)
    keys = (record.api_key, record.admin_key)
    seen = [str(psutil.Process(pid).cmdline()) for pid in _pids(home)] + [
        repr(record),
        str(component_status(COMPONENT, home)),
    ]
    assert not any(key in text for key in keys for text in seen)
    files = ComponentFiles(home, COMPONENT.name)
    assert files.folder.stat().st_mode & 0o077 == 0
    assert [path for path in files.folder.iterdir() if path.stat().st_mode & 0o077 and path.stat().st_size] == []


def test_a_process_that_ends_while_it_starts_is_an_error_with_the_reason(home: Path) -> None:
    with pytest.raises(StackError, match=r"exit code 1: the disk is full.*stand-in\.log"):
        _ensure(home, _component("raise SystemExit('the disk is full')"))
    assert not _pids(home)


def test_a_process_that_is_not_ready_in_time_is_an_error_and_is_stopped(home: Path) -> None:
    idle = replace(_component("import signal; signal.pause()"), start_timeout_s=0.3)
    with pytest.raises(StackError, match=r"not ready 0\.3 s after its start"):
        _ensure(home, idle)
    assert not _pids(home)


def test_ctrl_c_during_the_start_leaves_no_process(home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; "
        "from tests.local_stack.test_lifecycle import _component, ensure_running; "
        "ensure_running(_component('import signal; signal.pause()'), Path(sys.argv[1]), os.environ)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(home)], stderr=subprocess.DEVNULL)
    eventually(lambda: bool(_pids(home)))
    starter.send_signal(signal.SIGINT)
    assert starter.wait(timeout=PATIENCE_S) != 0
    assert not _pids(home)


def test_an_unusable_folder_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="HYBRIDLOOP_HOME"):
        _ensure(tmp_path / "file")
