"""Shells for the tests of the command line, and `hybridloop` inside this process for commands that start no process."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell, run_in_process
from tests.conftest import Emulator
from tests.journal.conftest import new_url, postgresql
from tests.prefect_server import own_environ

__all__ = ["new_url", "postgresql"]


@pytest.fixture(scope="module")
def shell(stack_environ: dict[str, str]) -> Shell:
    """Return the shell of a user without an account: runs use the tests' local stack, and the module's own journal."""
    return Shell(stack_environ)


@pytest.fixture(scope="module")
def plain_shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return the shell of a user without an account and a stack, for runs on the plain host; see `begin_plainly`."""
    return Shell(own_environ(tmp_path_factory.mktemp("plain")))


@pytest.fixture
def at_workspace(shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """Return the shell of a user with a new, empty workspace, set by a connection string."""
    return shell.at(emulator, f"cli-{secrets.token_hex(4)}")


@pytest.fixture
def plain_workspace(plain_shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """Return such a shell without a stack, for commands that need none, and runs that `begin_plainly` has begun."""
    return plain_shell.at(emulator, f"cli-{secrets.token_hex(4)}")


@pytest.fixture
def inside() -> Callable[..., CommandResult]:
    """Run `hybridloop` inside this process: `inside(environ, "sessions", "list")`."""
    return run_in_process


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a HYBRIDLOOP_HOME in which nothing runs."""
    return tmp_path / "home"


@pytest.fixture
def run_command(home: Path, inside: Callable[..., CommandResult]) -> Callable[..., CommandResult]:
    """Run `hybridloop` inside this process, with no stack and no workspace: `run_command("run", "vqe", "h2")`."""

    def hybridloop(*arguments: str, **variables: str) -> CommandResult:
        return inside({**own_environ(home), **variables}, *arguments)

    return hybridloop
