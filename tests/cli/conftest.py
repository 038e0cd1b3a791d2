"""Shells for the tests of the command line, and a `hybridloop` inside this process for what starts nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.shell_helpers import Said, Shell, WorkspaceShell, said_inside
from tests.conftest import Emulator
from tests.prefect_server import own_environ


@pytest.fixture(scope="session")
def shell(stack_environ: dict[str, str]) -> Shell:
    """A user without an account: runs go to the session's local stack."""
    return Shell(stack_environ)


@pytest.fixture
def at_workspace(shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """A user with a workspace of their own, new and empty, named by a connection string."""
    return shell.at(emulator, f"cli-{secrets.token_hex(4)}")


@pytest.fixture
def inside() -> Callable[..., Said]:
    """Runs `hybridloop` inside this process: `inside(environ, "sessions", "list")`."""
    return said_inside


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
