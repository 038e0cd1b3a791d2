"""Log rotation: a large log file is replaced by a new one, and no line is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hybridloop.local_stack.log_rotation import previous_log

# writes 100 lines into each of four files, with a rotation after each
CHATTY = """
import os, sys
from pathlib import Path
from hybridloop.local_stack import log_rotation
output = Path(sys.argv[1])
for line in range(400):
    print(f"line {line}", flush=True)
    os.write(2, b"error\\n")
    if line % 100 == 99:
        log_rotation._rotate(output)
"""
QUICK = """
import sys, threading
from pathlib import Path
from hybridloop.local_stack.log_rotation import previous_log, rotate_when_large
from tests.waiting import PATIENCE_S
output, stop = Path(sys.argv[1]), threading.Event()
rotation = threading.Thread(target=rotate_when_large, args=(output, 1000, stop, 0.001), daemon=True)
rotation.start()
for line in range(100_000):
    print("x" * 99, flush=True)
    if previous_log(output).exists():
        break
stop.set()
rotation.join()
"""


def run(script: str, output: Path) -> None:
    with output.open("ab") as file:
        command = [sys.executable, "-c", script, str(output)]
        subprocess.run(command, stdout=file, stderr=file, check=True, env={**os.environ})


def test_output_after_a_rotation_goes_to_the_new_file_and_the_previous_file_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    run(CHATTY, output)
    assert output.read_text() == ""
    kept = previous_log(output).read_text().splitlines()
    assert [line for line in kept if line != "error"] == [f"line {n}" for n in range(300, 400)]
    assert kept.count("error") == 100
    assert output.stat().st_mode & 0o077 == 0


def test_a_large_log_is_rotated(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    run(QUICK, output)
    assert previous_log(output).stat().st_size > 1000


def test_a_module_is_run_as_if_called_directly(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    command = [sys.executable, "-m", "hybridloop.local_stack.log_rotation", str(output), "100", "platform", "--terse"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip()
