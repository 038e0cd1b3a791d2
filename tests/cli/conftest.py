"""Shells for the tests of the command line, and a `hybridloop` inside this process for what starts nothing."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hybridloop.cli import main
from tests.cli.processes import Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.prefect_server import own_environ


@dataclass(frozen=True, slots=True)
class Said:
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def shell(stack_environ: dict[str, str]) -> Shell:
    """A user without an account: runs go to the session's local stack."""
    return Shell(stack_environ)


@pytest.fixture
def at_workspace(shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """A user with a workspace of their own, new and empty, named by a connection string."""
    return shell.at(emulator, f"cli-{secrets.token_hex(4)}")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HYBRIDLOOP_HOME in which nothing runs, for this process."""
    folder = tmp_path / "home"
    kept = own_environ(str(folder), {})
    for name in ("AZURE_QUANTUM_CONNECTION_STRING", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")  # usage errors are set in a box, and broken where it ends
    return folder


@pytest.fixture
def say(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs `hybridloop` inside this process, with no stack running: `say("run", "vqe", "h2")`."""

    def hybridloop(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["hybridloop", *arguments])
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        code = leaving.value.code
        assert isinstance(code, int)
        return Said(code, captured.out, captured.err)

    return hybridloop
