"""The life of a part of the stack, with real processes: a stand-in that starts in a tenth of a second."""

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
from hybridloop.stack.lifecycle import PartState, Place, end, ensure, look
from hybridloop.stack.parts import EMULATOR, Launch, Part, launch_emulator
from hybridloop.stack.processes import leads, marked, wait_until
from hybridloop.stack.records import Record, read_record, write_record

# Answers who has the key, as the emulator does, and has a child, as the emulator has workers.
STAND_IN = """
import http.server, os, subprocess, sys
subprocess.Popen(["sleep", "600"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["x-admin-key"] == os.environ["HYBRIDLOOP_EMULATOR_ADMIN_KEY"]
        self.send_response(200 if known else 401)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
"""


def _running(script: str) -> Part:
    def launch(home: Path, environ: Mapping[str, str], previous: Record | None) -> Launch:
        return replace(launch_emulator(home, environ, previous), command=(sys.executable, "-c", script))

    return replace(EMULATOR, name="stand-in", launch=launch, start_within_s=30.0)


PART = _running(STAND_IN)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end(PART, tmp_path)


def _processes(home: Path) -> set[int]:
    return {process.pid for process in marked(Place(home, PART.name).mark)}


def _lives(pid: int) -> bool:
    # an orphan that has ended stays listed until the machine's first process collects it
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _stored(home: Path) -> Record:
    record = read_record(Place(home, PART.name).record)
    assert record is not None
    return record


def _ensured(home: Path, part: Part = PART) -> Record:
    return ensure(part, home, os.environ)


def test_what_runs_is_found_again(home: Path) -> None:
    first = _ensured(home)
    assert _ensured(home) == first
    assert look(PART, home).state is PartState.RUNNING


def test_of_two_starters_the_second_waits_and_finds_what_the_first_started(home: Path) -> None:
    with ThreadPoolExecutor(4) as starters:
        records = list(starters.map(lambda _: _ensured(home), range(4)))
    assert len(set(records)) == 1
    assert len({os.getpgid(pid) for pid in _processes(home)}) == 1


def test_starters_in_several_processes_end_with_one_part(home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tests.test_stack import PART, ensure; "
        "print(ensure(PART, Path(sys.argv[1]), os.environ).url)"
    )
    starters = [
        subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    urls = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    assert urls == {_stored(home).url}
    assert len({os.getpgid(pid) for pid in _processes(home)}) == 1


def test_a_dead_one_is_replaced_on_its_port_and_with_its_keys_and_its_children_are_gone(home: Path) -> None:
    first = _ensured(home)
    orphans = _processes(home) - {first.pid}
    psutil.Process(first.pid).kill()
    assert wait_until(lambda: not leads(first), within_s=10.0)
    assert look(PART, home).state is PartState.STOPPED
    second = _ensured(home)
    assert second.pid != first.pid
    assert (second.url, second.api_key, second.admin_key) == (first.url, first.api_key, first.admin_key)
    assert orphans
    assert not orphans & _processes(home)


def test_a_port_that_is_taken_meanwhile_is_given_up(home: Path) -> None:
    first = _ensured(home)
    os.killpg(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not leads(first), within_s=10.0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()
        assert _ensured(home).port != first.port


def test_an_upgrade_replaces_what_runs(home: Path) -> None:
    first = _ensured(home)
    upgraded = replace(PART, release=lambda: "2.0")
    assert look(upgraded, home).state is PartState.OUTDATED
    second = _ensured(home, upgraded)
    assert second.pid != first.pid
    assert second.release == "2.0"
    assert not leads(first)


def test_one_that_is_silent_for_too_long_is_replaced(home: Path) -> None:
    impatient = replace(PART, answer_within_s=0.2, patience_s=0.2)
    first = _ensured(home)
    os.killpg(first.pid, signal.SIGSTOP)
    assert look(impatient, home).state is PartState.SILENT
    second = _ensured(home, impatient)
    assert second.pid != first.pid
    assert not leads(first)


def test_one_that_answers_another_key_is_not_taken_for_ours(home: Path) -> None:
    ours = _ensured(home)
    place = Place(home, PART.name)
    write_record(place.record, replace(ours, admin_key="another"))
    assert look(PART, home).state is PartState.SILENT


def test_one_whose_record_was_lost_is_replaced_not_doubled(home: Path) -> None:
    first = _ensured(home)
    Place(home, PART.name).record.write_text("{ cut off")
    second = _ensured(home)
    assert second.pid != first.pid
    assert not leads(first)


def test_a_record_of_a_process_number_used_again_is_not_trusted(home: Path) -> None:
    first = _ensured(home)
    end(PART, home)
    write_record(Place(home, PART.name).record, replace(first, pid=os.getpid()))
    assert look(PART, home).state is PartState.STOPPED
    assert _ensured(home).pid != os.getpid()


def test_down_leaves_no_process_and_no_record(home: Path) -> None:
    _ensured(home)
    running = _processes(home)
    assert end(PART, home) == len(running) == 2
    assert not any(_lives(pid) for pid in running)
    assert not Place(home, PART.name).record.exists()
    assert end(PART, home) == 0


def test_down_ends_what_ignores_sigterm(home: Path) -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAND_IN
    deaf = replace(_running(script), stop_within_s=0.2)
    _ensured(home, deaf)
    end(deaf, home)
    assert not _processes(home)


def test_keys_are_in_no_argument_no_text_and_no_file_that_others_can_read(home: Path) -> None:
    record = _ensured(home)
    keys = (record.api_key, record.admin_key)
    seen = [str(psutil.Process(pid).cmdline()) for pid in _processes(home)] + [repr(record), str(look(PART, home))]
    assert not any(key in text for key in keys for text in seen)
    place = Place(home, PART.name)
    assert place.folder.stat().st_mode & 0o077 == 0
    assert [path for path in place.folder.iterdir() if path.stat().st_mode & 0o077 and path.stat().st_size] == []


def test_a_part_that_ends_while_it_starts_is_an_error_that_says_why(home: Path) -> None:
    with pytest.raises(StackError, match=r"exit code 1: the disk is full.*stand-in\.log"):
        _ensured(home, _running("raise SystemExit('the disk is full')"))
    assert not _processes(home)


def test_a_part_that_never_gets_ready_is_an_error_and_leaves_no_process(home: Path) -> None:
    idle = replace(_running("import signal; signal.pause()"), start_within_s=0.3)
    with pytest.raises(StackError, match=r"not ready 0\.3 s after its start"):
        _ensured(home, idle)
    assert not _processes(home)


def test_ctrl_c_while_a_part_starts_leaves_no_process(home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tests.test_stack import _running, ensure; "
        "ensure(_running('import signal; signal.pause()'), Path(sys.argv[1]), os.environ)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(home)], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: bool(_processes(home)), within_s=30.0)
    starter.send_signal(signal.SIGINT)
    assert starter.wait(timeout=30) != 0
    assert not _processes(home)


def test_a_folder_that_cannot_be_used_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="HYBRIDLOOP_HOME"):
        _ensured(tmp_path / "file")
