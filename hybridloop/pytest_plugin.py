"""A pytest plug-in: gives any project's tests a local Azure Quantum, on a clock that they set.

pytest loads it wherever this package is installed, so it imports nothing that pytest has not, until a fixture is used.
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
    """A running service. Every workspace name is a workspace of its own, so tests need not share theirs."""

    endpoint: str  # ends with a slash
    api_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    process: subprocess.Popen[str]

    def workspace(self, name: str = "", api_key: str | None = None) -> Workspace:
        """The unmodified SDK's workspace on this service; without a name a new, empty one."""
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
        """Let a virtual clock go forward; all that falls due on the way has been done when this returns."""
        self.admin("clock", {"advance": seconds})

    def admin(self, path: str, document: object | None = None) -> Any:
        """GET, or with a document POST, below /_admin/; the reply's JSON."""
        import urllib.request

        data = None if document is None else json.dumps(document).encode()
        headers = {"x-admin-key": self.admin_key, "content-type": "application/json"}
        request = urllib.request.Request(f"{self.endpoint}_admin/{path}", data, headers)
        # it is on this machine: a proxy that the environment names has no business with it
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            return json.load(reply)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and give the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


@contextmanager
def running_emulator(*options: str, state: Path | None = None) -> Iterator[Emulator]:
    """Hold a service with these options of its command line, in memory unless `state` is given, on a free port."""
    api_key, admin_key = secrets.token_urlsafe(), secrets.token_urlsafe()
    keys = {"HYBRIDLOOP_EMULATOR_API_KEY": api_key, "HYBRIDLOOP_EMULATOR_ADMIN_KEY": admin_key}
    where = ["--in-memory"] if state is None else ["--state", str(state)]
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", *where, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys})
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on "):
                raise RuntimeError(f"the service did not start; its first line was {line!r}, see also standard error")
            yield Emulator(line.split()[-1], api_key, admin_key, process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def azure_quantum_emulator() -> Iterator[Emulator]:
    """A local Azure Quantum for the whole run, in memory, whose time stands still until `.advance(seconds)`.

    `.workspace()` is the SDK's own Workspace, each one new and empty; `.endpoint`, `.api_key` and `.admin_key` are for
    other clients, `.admin(path, document)` for what lies below /_admin/.
    """
    with running_emulator("--clock", "virtual") as running:
        yield running


@pytest.fixture
def start_azure_quantum_emulator() -> Iterator[Callable[..., Emulator]]:
    """Starts services of a test's own, ended with it: `start_azure_quantum_emulator("--clock", "real", state=folder)`.

    For what would be in the way of other tests: faults, conditions of targets, restarts, other options.
    """
    with ExitStack() as running:
        yield lambda *options, state=None: running.enter_context(running_emulator(*options, state=state))
