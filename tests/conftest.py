"""Shared by all tests: a real local service, as a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.quantum import Workspace

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running service. Every workspace name is a workspace of its own, so tests need not share theirs."""

    endpoint: str  # ends with a slash
    api_key: str
    admin_key: str
    process: subprocess.Popen[str]

    def workspace(self, name: str = "", api_key: str | None = None) -> Workspace:
        """The unmodified SDK's workspace on this service; without a name a new, empty one."""
        return Workspace(
            subscription_id=SUBSCRIPTION,
            resource_group="tests",
            name=name or f"ws-{secrets.token_hex(6)}",
            location="eastus",
            credential=AzureKeyCredential(api_key or self.api_key),
            _quantum_endpoint=self.endpoint,
        )

    def advance(self, seconds: float) -> None:
        """Let a virtual clock go forward."""
        self.admin("clock", {"advance": seconds})

    def admin(self, path: str, document: object | None = None) -> Any:
        """GET, or with a document POST, below /_admin/."""
        data = None if document is None else json.dumps(document).encode()
        headers = {"x-admin-key": self.admin_key, "content-type": "application/json"}
        request = urllib.request.Request(f"{self.endpoint}_admin/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and give the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


@contextmanager
def running_emulator(*options: str, state: Path | None = None) -> Iterator[Emulator]:
    """Hold a service with these options, in memory unless `state` is given."""
    api_key, admin_key = "test-api-key", "test-admin-key"
    keys = {"HYBRIDLOOP_EMULATOR_API_KEY": api_key, "HYBRIDLOOP_EMULATOR_ADMIN_KEY": admin_key}
    where = ["--in-memory"] if state is None else ["--state", str(state)]
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", *where, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys})
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), f"the service did not start: {line!r}"
            yield Emulator(line.split()[-1], api_key, admin_key, process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """One service for the whole run: in memory, real clock, seed 0. Ask it for workspaces of your own."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., Emulator]]:
    """Starts special services: `start_emulator("--clock", "virtual")`, `start_emulator(state=folder)`."""
    with ExitStack() as running:
        yield lambda *options, state=None: running.enter_context(running_emulator(*options, state=state))
