"""Pytest plug-in with fixtures for the Azure Quantum emulator, on a clock that the tests advance.

pytest loads it in every project where this package is installed, so it imports nothing heavy until a fixture is used.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from azure.quantum import Workspace

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
RESOURCE_GROUP = "tests"


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator. Each workspace name is a separate workspace, so tests need not share one."""

    endpoint: str  # ends with a slash
    api_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    process: subprocess.Popen[str]

    def workspace(self, name: str = "", api_key: str | None = None) -> Workspace:
        """Return the SDK's unmodified Workspace on this emulator; without a name, a new and empty one."""
        from azure.core.credentials import AzureKeyCredential
        from azure.quantum import Workspace

        return Workspace(
            subscription_id=SUBSCRIPTION,
            resource_group=RESOURCE_GROUP,
            name=name or f"ws-{secrets.token_hex(6)}",
            location="eastus",
            credential=AzureKeyCredential(api_key or self.api_key),
            _quantum_endpoint=self.endpoint,
        )

    def advance(self, seconds: float) -> None:
        """Advance a virtual clock; all that is due until then has happened when this returns."""
        self.admin("clock", {"advance": seconds})

    def admin(self, path: str, document: object | None = None) -> Any:
        """Send GET, or POST if there is a document, to a path below /_admin/; return the JSON of the response."""
        import urllib.request

        data = None if document is None else json.dumps(document).encode()
        headers = {"x-admin-key": self.admin_key, "content-type": "application/json"}
        request = urllib.request.Request(f"{self.endpoint}_admin/{path}", data, headers)
        # without the environment's proxy: the emulator is on this machine
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.load(response)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


@contextmanager
def running_emulator(*options: str, state: Path | None = None) -> Iterator[Emulator]:
    """Run an emulator with these command line options on a free port; in memory unless `state` names a folder."""
    api_key, admin_key = secrets.token_urlsafe(), secrets.token_urlsafe()
    keys = {"HYBRIDLOOP_EMULATOR_API_KEY": api_key, "HYBRIDLOOP_EMULATOR_ADMIN_KEY": admin_key}
    storage = ["--in-memory"] if state is None else ["--state", str(state)]
    command = [sys.executable, "-P", "-m", "hybridloop.emulator", "--port", "0", *storage, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys})
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError(f"the emulator did not start; its first line was {line!r}, see also standard error")
            yield Emulator(line.split()[-1], api_key, admin_key, process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def azure_quantum_emulator() -> Iterator[Emulator]:
    """An Azure Quantum emulator for the whole test run, in memory; its time stands still until `.advance(seconds)`.

    `.workspace()` returns the SDK's Workspace, a new and empty one each time. `.endpoint`, `.api_key` and `.admin_key`
    are for other clients, `.admin(path, document)` sends requests below /_admin/.
    """
    with running_emulator("--clock", "virtual") as running:
        yield running


@pytest.fixture
def start_azure_quantum_emulator() -> Iterator[Callable[..., Emulator]]:
    """Start emulators for one test, stopped after it: `start_azure_quantum_emulator("--clock", "real", state=folder)`.

    For tests that would disturb others: with faults, target status, restarts, other options.
    """
    with ExitStack() as running:
        yield lambda *options, state=None: running.enter_context(running_emulator(*options, state=state))
