"""Commands that are called in a folder that somebody else wrote run no code of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import copy_server, server_folder
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow
COMMAND = str(Path(sys.executable).with_name("hybridloop"))
LOGGING = """
version: 1
disable_existing_loggers: false
handlers:
  foreign:
    "()": os.system
    command: touch {marker}
"""
SWEEP = """
name: foreign
algorithm: vqe
problems: [h2]
deployment: none
settings: {seed: 7, precision: 0.1}
"""
# Prefect finds its settings in each of these
SETTINGS = {
    "prefect.toml": '[logging]\nconfig_path = "logging.yml"\n',
    "pyproject.toml": '[tool.prefect.logging]\nconfig_path = "logging.yml"\n',
    ".env": "PREFECT_LOGGING_SETTINGS_PATH=logging.yml\nPREFECT_LOGGING_CONFIG_PATH=logging.yml\n",
}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return a file that code of the folder would write."""
    return tmp_path / "code-of-the-folder-ran"


@pytest.fixture
def folder(tmp_path: Path, marker: Path) -> Path:
    """Return a folder with modules named like ours and settings of Prefect, all of which write the marker."""
    folder = tmp_path / "foreign"
    for package in ("hybridloop", "prefect", "qiskit", "uvicorn"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()\nraise SystemExit(9)\n")
    (folder / "logging.yml").write_text(LOGGING.format(marker=marker))
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def run(environ: Mapping[str, str], folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder."""
    return subprocess.run(command, env=dict(environ), cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)


# run a command, and print the files of the current folder that its process opened
AUDITED = """
import os, sys

folder, opened = os.getcwd(), set()

def record(event, values):
    if event == "open" and isinstance(values[0], str):
        path = os.path.abspath(values[0])
        opened.update([os.path.basename(path)] if os.path.dirname(path) == folder else [])

sys.addaudithook(record)
from hybridloop.cli import main

try:
    main()
finally:
    print("opened:", sorted(opened))
"""


def test_a_run_opens_no_settings_of_the_folder(folder: Path, marker: Path, shell: Shell, emulator: Emulator) -> None:
    environ = shell.at(emulator, "foreign").shell.environ
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
        run(environ, folder, sys.executable, "-P", "-c", "import prefect.main")
        assert marker.exists(), name  # Prefect alone runs the folder's code
        marker.unlink()
        (folder / name).unlink()
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    (folder / "matplotlibrc").write_text("text.usetex: True\n")
    options = ("--seed", "7", "--precision", "0.1", "--quiet", "--run-key", "opens-nothing")
    report = folder.with_suffix(".html")
    for command in (("run", "vqe", "h2", *options), ("runs", "report", "opens-nothing", "--output", str(report))):
        done = run(environ, folder, sys.executable, "-P", "-c", AUDITED, *command)
        assert (done.returncode, marker.exists()) == (0, False), done.stderr
        assert "opened: []" in done.stdout
    assert "<svg" in report.read_text()


@pytest.mark.claim("All state is in `HYBRIDLOOP_HOME`")
def test_a_run_leaves_nothing_outside_of_its_home_but_caches_of_libraries(
    shell: Shell, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "user").mkdir()
    own = shell.at(emulator, "leaves-nothing").shell.with_variables(HOME=str(tmp_path / "user"))
    done = own.run("run", "vqe", "h2", "--seed", "7", "--quiet", "--run-key", "mine")
    assert done.returncode == 0, done.stderr
    assert "mine" in [row["run_key"] for row in own.json_inside("runs", "list")]  # beside those of the module
    assert {path.name for path in (tmp_path / "user").iterdir()} <= {".cache", ".config"}
    assert Path(own.environ["HYBRIDLOOP_JOURNAL"].removeprefix("sqlite:///")).is_relative_to(
        own.environ["HYBRIDLOOP_HOME"]
    )


def test_processes_that_are_started_import_nothing_from_the_folder(
    folder: Path, marker: Path, shell: Shell, migrated_server: Path, tmp_path: Path
) -> None:
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    # a stack of its own, and points in processes: each kind of process is started by a command in the folder
    environ = {**shell.environ, "HYBRIDLOOP_HOME": str(tmp_path / "home"), "PYTHONPATH": ""}
    copy_server(migrated_server, server_folder(environ))
    try:
        done = run(environ, folder, COMMAND, "sweep", "sweep.yaml", "--quiet")
        assert (done.returncode, marker.exists()) == (0, False), done.stderr
    finally:
        run(environ, folder, COMMAND, "down")


def test_the_service_of_the_pytest_plugin_imports_nothing_from_the_folder(
    folder: Path, marker: Path, tmp_path: Path
) -> None:
    (folder / "hybridloop" / "__init__.py").unlink()
    (folder / "hybridloop").rmdir()  # pytest itself imports from there
    (folder / "test_it.py").write_text("def test_it(azure_quantum_emulator):\n    azure_quantum_emulator.advance(1)\n")
    environ = {**os.environ, "HYBRIDLOOP_HOME": str(tmp_path / "home")}
    done = run(environ, folder, sys.executable, "-P", "-m", "pytest", "-q", "--import-mode=importlib", "test_it.py")
    assert (done.returncode, marker.exists()) == (0, False), done.stdout
