"""Shells for the tests of the command line, and a `hybridloop` inside this process for what starts nothing."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
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
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs `hybridloop` inside this process: `inside(environ, "sessions", "list")`."""

    def hybridloop(environ: Mapping[str, str], *arguments: str) -> Said:
        with monkeypatch.context() as patch:
            for name in os.environ.keys() - environ.keys():
                patch.delenv(name)
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setenv("COLUMNS", "200")  # usage errors are set in a box, and broken where it ends
            patch.setattr(sys, "argv", ["hybridloop", *arguments])
            with pytest.raises(SystemExit) as leaving:
                main()
        captured = capsys.readouterr()
        assert isinstance(leaving.value.code, int)
        return Said(leaving.value.code, captured.out, captured.err)

    return hybridloop


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HYBRIDLOOP_HOME in which nothing runs."""
    return tmp_path / "home"


@pytest.fixture
def say(home: Path, inside: Callable[..., Said]) -> Callable[..., Said]:
    """Runs `hybridloop` inside this process, with no stack and no workspace: `say("run", "vqe", "h2")`."""

    def hybridloop(*arguments: str, **variables: str) -> Said:
        return inside({**own_environ(str(home), os.environ), **variables}, *arguments)

    return hybridloop
