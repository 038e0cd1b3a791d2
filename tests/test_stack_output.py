"""A part's output is begun anew once it is long, and no line of it is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hybridloop.stack.bounded_output import previous

# the module that is run: its lines come in steps, each once the file is seen to be begun anew
CHATTY = """
import os, sys
from pathlib import Path
from hybridloop.stack import bounded_output
output = Path(sys.argv[1])
for line in range(400):
    print(f"line {line}", flush=True)
    os.write(2, b"error\\n")
    if line % 100 == 99:
        bounded_output._begin_anew(output)
"""
QUICK = """
import sys, threading
from pathlib import Path
from hybridloop.stack.bounded_output import bounded, previous
output, stop = Path(sys.argv[1]), threading.Event()
watching = threading.Thread(target=bounded, args=(output, 1000, stop, 0.001), daemon=True)
watching.start()
for line in range(100_000):
    print("x" * 99, flush=True)
    if previous(output).exists():
        break
stop.set()
watching.join()
"""


def run(script: str, output: Path) -> None:
    with output.open("ab") as file:
        command = [sys.executable, "-c", script, str(output)]
        subprocess.run(command, stdout=file, stderr=file, check=True, timeout=60, env={**os.environ})


def test_what_is_written_after_goes_to_the_new_file_and_the_last_one_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    run(CHATTY, output)
    assert output.read_text() == ""
    kept = previous(output).read_text().splitlines()
    assert [line for line in kept if line != "error"] == [f"line {n}" for n in range(300, 400)]
    assert kept.count("error") == 100
    assert output.stat().st_mode & 0o077 == 0


def test_a_long_output_is_noticed(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    run(QUICK, output)
    assert previous(output).stat().st_size > 1000


def test_a_module_is_run_as_if_it_was_called_itself(tmp_path: Path) -> None:
    output = tmp_path / "part.log"
    command = [sys.executable, "-m", "hybridloop.stack.bounded_output", str(output), "100", "platform", "--terse"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip()
