"""A forked process behaves as a new interpreter: arguments, environment, folder, streams, signals and exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.forked_processes import ForkedPython
from tests.waiting import PATIENCE_S

STARTS: tuple[type[subprocess.Popen[str]], ...] = (subprocess.Popen, ForkedPython)
SHOWS = """
import atexit, os, sys, threading
from tests.waiting import PATIENCE_S
atexit.register(print, "last")
threading.Thread(target=lambda: threading.main_thread().join() or print("thread")).start()
print(sys.argv[1:], __name__, sorted(os.environ), os.getcwd(), os.getsid(0) == os.getpid(), sys.stdin.read())
print("é", file=sys.stderr)
"""


@pytest.fixture(params=STARTS, ids=["new", "forked"])
def start(request: pytest.FixtureRequest) -> Any:
    """Return each class of process: what is claimed holds for both."""
    return request.param


def ended(start: Any, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run Python with these arguments to its end."""
    pipe = subprocess.PIPE
    with start([sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options) as process:
        out, err = process.communicate("asked", timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.parametrize("is_file", [False, True])
def test_a_program_sees_its_own_arguments_environment_folder_and_streams(
    start: Any, *, is_file: bool, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(SHOWS)
    program = ["program.py"] if is_file else ["-c", SHOWS]
    options = {"cwd": tmp_path, "env": {"OWN": "1", "LC_CTYPE": "C.UTF-8"}, "start_new_session": True}
    shown = f"['a', '-b'] __main__ ['LC_CTYPE', 'OWN'] {tmp_path} True asked\nthread\nlast\n"
    assert ended(start, *program, "a", "-b", **options) == (0, shown, "é\n")


@pytest.mark.parametrize(
    ("program", "status", "err"),
    [
        ("raise SystemExit('no')", 1, "no\n"),
        ("raise SystemExit(7)", 7, ""),
        ("import os; os._exit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT); signal.pause()", -signal.SIGINT, "KeyboardInterrupt"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_program_ends_with_its_status(start: Any, program: str, status: int, err: str) -> None:
    code, out, told = ended(start, "-c", program)
    assert (code, out, err in told, bool(told)) == (status, "", True, bool(err))


def test_a_process_is_found_running_until_it_is_killed(start: Any) -> None:
    with start([sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"], stdout=-1) as process:
        assert process.stdout.readline()
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0)
        assert os.getpgid(process.pid) == os.getpgid(0)
        process.kill()
        assert process.wait(timeout=PATIENCE_S) == process.poll() == -signal.SIGKILL


def test_prefect_takes_the_settings_that_a_program_sets_before_its_import(start: Any, tmp_path: Path) -> None:
    program = (
        "import os, logging; os.environ['PREFECT_API_URL'] = 'http://127.0.0.1:9/api'\n"
        "os.environ['PREFECT_LOGGING_LEVEL'] = 'ERROR'; print(logging.root.handlers)\n"
        "import prefect.main; from prefect.settings import get_current_settings\n"
        "print(get_current_settings().api.url, logging.getLogger('prefect').level)\n"
    )
    environ = {"PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    assert ended(start, "-c", program, env=environ) == (0, "[]\nhttp://127.0.0.1:9/api 40\n", "")
