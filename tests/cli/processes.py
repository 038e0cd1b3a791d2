"""The command line as a user's shell runs it: real processes, in an environment of the tests' own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from azure.quantum import Workspace

from hybridloop.pytest_plugin import RESOURCE_GROUP, SUBSCRIPTION
from tests.conftest import Emulator

PATIENCE_S = 120.0  # a bound for broken code, on a loaded machine; no test waits so long


@dataclass(frozen=True, slots=True)
class Shell:
    """Starts `hybridloop …` and other Python programs with this environment."""

    environ: Mapping[str, str]

    def with_variables(self, **variables: str) -> Shell:
        """The same with more variables set."""
        return replace(self, environ={**self.environ, **variables})

    def at(self, emulator: Emulator, name: str) -> WorkspaceShell:
        """The same with a connection string of the workspace of that name."""
        text = connection_string(emulator.endpoint, emulator.api_key, name)
        return WorkspaceShell(self.with_variables(AZURE_QUANTUM_CONNECTION_STRING=text), emulator.workspace(name))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `hybridloop` with these arguments; the caller ends it."""
        return self.start_python("-m", "hybridloop", *arguments)

    def start_python(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with these arguments; the caller ends it."""
        return subprocess.Popen(
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
        """The one JSON document that `hybridloop … --json` prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

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
    """A shell whose runs go to a workspace of their own, and that workspace as the SDK sees it."""

    shell: Shell
    workspace: Workspace

    def session_statuses(self) -> list[str]:
        """The statuses of all sessions that were ever opened in the workspace."""
        return [session.details.status for session in self.workspace.list_sessions()]


def connection_string(endpoint: str, api_key: str, workspace: str) -> str:
    """What a user copies from a workspace's page, here for a service on this machine."""
    return (
        f"SubscriptionId={SUBSCRIPTION};ResourceGroupName={RESOURCE_GROUP};"
        f"WorkspaceName={workspace};ApiKey={api_key};QuantumEndpoint={endpoint};"
    )
