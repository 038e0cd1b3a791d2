"""Command line as a user's shell runs it: real processes in the tests' environment.

A new interpreter imports for seconds, so processes are forked from one that has imported, and commands that do not need
a process run inside that of the tests.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import pytest
from azure.quantum import Workspace

from hybridloop.cli import main
from hybridloop.emulator.pytest_plugin import RESOURCE_GROUP, SUBSCRIPTION
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.settings import ProblemText
from tests.conftest import Emulator
from tests.flow_calls import begin_plainly
from tests.forked_processes import ForkedPython
from tests.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def run_in_process(environ: Mapping[str, str], *arguments: str) -> CommandResult:
    """Run `hybridloop` with these arguments inside this process."""
    # usage errors are printed in a box with broken lines
    with environment({**environ, "COLUMNS": "200"}), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hybridloop", *arguments])
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as leaving:
            main()
    assert isinstance(leaving.value.code, int)
    return CommandResult(leaving.value.code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


@contextmanager
def environment(environ: Mapping[str, str]) -> Iterator[None]:
    """Replace this process's environment, and restore it at the end."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True, slots=True)
class Shell:
    """Shell that starts `hybridloop …` and Python programs with one environment."""

    environ: Mapping[str, str]
    is_new: bool = False  # its processes are new interpreters, which import everything as a user's do

    def as_new(self) -> Shell:
        """Return a shell whose processes are new interpreters."""
        return replace(self, is_new=True)

    def with_variables(self, **variables: str) -> Shell:
        """Return a shell with more variables set."""
        return replace(self, environ={**self.environ, **variables})

    def at(self, emulator: Emulator, name: str) -> WorkspaceShell:
        """Return a shell with the connection string of the workspace of that name."""
        text = connection_string(emulator.endpoint, emulator.api_key, name)
        return WorkspaceShell(self.with_variables(AZURE_QUANTUM_CONNECTION_STRING=text), emulator.workspace(name))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `hybridloop` with these arguments; the caller ends it."""
        return self.start_python("-m", "hybridloop", *arguments)

    def start_python(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with these arguments; the caller ends it."""
        start: type[subprocess.Popen[str]] = subprocess.Popen if self.is_new else ForkedPython
        return start(
            [sys.executable, *arguments],
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `hybridloop` with these arguments to its end."""
        return self._finished(self.start(*arguments))

    def run_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments to its end."""
        return self._finished(self.start_python(*arguments))

    def json(self, *arguments: str) -> Any:
        """Run `hybridloop … --json` and return the document it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def json_inside(self, *arguments: str) -> Any:
        """Run `hybridloop … --json` inside this process; flows in Prefect need the fixture `prefect_server`."""
        result = run_in_process(self.environ, *arguments, "--json")
        assert result.code == 0, result.err
        return json.loads(result.out)

    @staticmethod
    def _finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        with process:
            try:
                out, err = process.communicate(timeout=PATIENCE_S)
            except BaseException:  # a test that is interrupted too must not leave the process behind
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class WorkspaceShell:
    """Shell whose runs use one workspace, and that workspace through the SDK."""

    shell: Shell
    workspace: Workspace

    def begin_plainly(self, key: str, algorithm: str, problem: str, **settings: Any) -> None:
        """Begin a run on the plain host without a job: `run` with the same settings and key, or `resume`, does it."""
        resolved = resolve_settings(algorithm, Layer(CALL, settings)).settings
        with environment(self.shell.environ):
            begin_plainly(algorithm, self.workspace, ProblemText(name=problem), resolved, key)

    def session_statuses(self) -> list[str]:
        """Return the statuses of all sessions of the workspace, open and ended."""
        return [session.details.status for session in self.workspace.list_sessions()]


def connection_string(endpoint: str, api_key: str, workspace: str) -> str:
    """Return a connection string, as on a workspace's page, for a service on this machine."""
    return (
        f"SubscriptionId={SUBSCRIPTION};ResourceGroupName={RESOURCE_GROUP};"
        f"WorkspaceName={workspace};ApiKey={api_key};QuantumEndpoint={endpoint};"
    )
