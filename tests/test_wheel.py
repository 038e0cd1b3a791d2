"""The built wheel, without the checkout: it holds all data files, serves the emulator's portal and writes a report."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hybridloop.emulator.portal.pages import PORTAL_PREFIX, STATIC_FILES
from tests.conftest import running_emulator
from tests.emulator.portal_helpers import Visitor
from tests.paths import DATA, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the installed build backend, and unpack it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture
def only_the_wheel(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Python processes import hybridloop from the wheel: in another folder, which is not on their path."""
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def run_python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=dict(os.environ))
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
        assert (visitor.get("/").status, b'name="key"' in visitor.get("/").body) == (401, True)  # the sign-in page
        for name, media_type in STATIC_FILES.items():
            reply = visitor.get(f"{PORTAL_PREFIX}/{name}")
            assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, media_type)
            assert reply.body == (ROOT / "hybridloop" / "emulator" / "portal" / "static" / name).read_bytes()
        visitor.sign_in()
        assert 'name="form_token"' in visitor.page("/")


@pytest.mark.usefixtures("only_the_wheel")
def test_the_wheel_writes_a_report_of_a_stored_run(tmp_path: Path) -> None:
    bundle = DATA / "former" / "former-vqe.zip"
    run_python("-m", "hybridloop", "runs", "report", str(bundle), "--no-plan", "--output", "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") >= 2
