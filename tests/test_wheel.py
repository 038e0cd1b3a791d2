"""The built wheel, without the checkout: its files, its portal, its report, and a run in fresh environments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit

from hybridloop.emulator.portal.pages import PORTAL_PREFIX, STATIC_FILES
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator, running_emulator
from tests.emulator.portal_helpers import Visitor
from tests.long_form import IS_LONG, long_form
from tests.paths import DOCS, ROOT, installed_python
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow

PYTHONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the installed build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_S)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """Unpack the wheel."""
    with zipfile.ZipFile(built) as archive:
        archive.extractall(built.parent / "unpacked")
    return built.parent / "unpacked"


@pytest.fixture
def only_the_wheel(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Python processes import hybridloop from the wheel: in another folder, which is not on their path."""
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run_python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


def package_files(package: Path) -> set[str]:
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    assert package_files(wheel / "hybridloop") == package_files(ROOT / "hybridloop")


@pytest.mark.usefixtures("only_the_wheel")
def test_processes_import_the_package_from_the_wheel(wheel: Path) -> None:
    assert run_python("-c", "import hybridloop; print(hybridloop.__file__)").startswith(f"{wheel}/hybridloop/")


@pytest.mark.usefixtures("only_the_wheel")
def test_the_emulator_of_the_wheel_serves_its_portal() -> None:
    with running_emulator() as emulator:
        visitor = Visitor(emulator)
        assert (visitor.get("/").status, b"Sign in" in visitor.get("/").body) == (401, True)
        for name, media_type in STATIC_FILES.items():
            reply = visitor.get(f"{PORTAL_PREFIX}/{name}")
            assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, media_type)
            assert reply.body == (ROOT / "hybridloop" / "emulator" / "portal" / "static" / name).read_bytes()
        visitor.sign_in()
        assert "Sessions" in visitor.page("/")


@pytest.mark.usefixtures("only_the_wheel")
def test_the_wheel_writes_a_report_of_a_stored_run(bundles: Path, tmp_path: Path) -> None:
    bundle = str(bundles / "vqe.zip")
    run_python("-m", "hybridloop", "runs", "report", bundle, "--no-plan", "--output", "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") >= 2


# the newest Python of those that are installed: the other tests run on another one
VERSIONS = PYTHONS if IS_LONG else [version for version in PYTHONS if installed_python(version)][-1:]


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uv", "--quiet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def made(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_service_runs_alone_with_the_requirements_that_its_guide_lists(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, python = (DOCS / "emulator.md").read_text("utf-8"), tmp_path / "environment" / "bin" / "python"
    (listed,) = re.findall(r"^    pip install (?!--)(.*)$", page, re.MULTILINE)
    made(uv("venv", "--python", sys.executable, python.parents[1]))
    made(uv("pip", "install", "--python", python, "--constraint", ROOT / "constraints.txt", *listed.split()))
    made(uv("pip", "install", "--python", python, "--no-deps", built))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))  # of the service's process
    finds = "import hybridloop; from importlib.util import find_spec; print(hybridloop.__file__, find_spec('prefect'))"
    assert re.fullmatch(rf"{python.parents[1]}/\S+ None\n", run_python("-P", "-c", finds))
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    names: dict[str, Any] = {"circuit": circuit}
    with running_emulator() as emulator:
        (code, *_) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        code = code.replace("the key it printed", emulator.api_key).replace("http://127.0.0.1:8099/", emulator.endpoint)
        exec(code, names)  # opens a session, submits a job, fetches its result, closes the session
        assert names["job"].result().get_counts() == {"1": 100}
        assert names["workspace"].get_session(names["session"].id).details.status == "Succeeded"


def test_an_index_takes_the_wheel(built: Path) -> None:
    (twine,) = re.findall(r"^TWINE = (\S+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    made(uv("tool", "run", "--from", twine, "twine", "check", "--strict", built))


def test_a_command_starts_from_the_wheel_without_an_environment_of_its_own(built: Path, tmp_path: Path) -> None:
    pinned = ("--constraints", ROOT / "constraints.txt")
    start = ("tool", "run", "--isolated", "--python", sys.executable, *pinned, "--from", built, "hybridloop")
    (line,) = made(uv(*start, "--version")).splitlines()
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", line)
    assert "vqe" in made(uv(*start, "run", "--help"))


@long_form
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.usefixtures("prefect_server")
def test_the_wheel_runs_in_a_fresh_environment(
    version: str, built: Path, emulator: Emulator, stack_environ: Mapping[str, str], tmp_path: Path
) -> None:
    environment, binaries = tmp_path / "environment", tmp_path / "environment" / "bin"
    python = installed_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    made(uv("venv", "--python", python, environment))
    to_it = ("--python", binaries / "python")
    made(uv("pip", "install", *to_it, "--constraint", ROOT / "constraints.txt", built))
    made(uv("pip", "check", *to_it))
    environ = {
        **{name: value for name, value in stack_environ.items() if not name.startswith("PYTHON")},
        "AZURE_QUANTUM_CONNECTION_STRING": connection_string(emulator.endpoint, emulator.api_key, "wheel"),
        "HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path}/journal.db",
    }
    run = [str(binaries / "hybridloop"), "run", "vqe", "h2", "--seed", "7", "--json", "--quiet"]
    printed = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE_S, env=environ, cwd=tmp_path)
    result = json.loads(made(printed))
    assert result["status"] == "converged"
    assert abs(result["error"]) <= 4 * result["standard_error"]
    report = [run[0], "runs", "report", result["run_key"], "--output", "report.html"]
    made(subprocess.run(report, capture_output=True, text=True, timeout=PATIENCE_S, env=environ, cwd=tmp_path))
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
