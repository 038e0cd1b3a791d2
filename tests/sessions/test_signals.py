"""Signals: SIGTERM unwinds like Ctrl-C, and one that comes while the session opens leaves none open."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

import pytest
from azure.quantum import Workspace

from hybridloop.sessions.session import open_session
from hybridloop.sessions.signals import sigterm_unwinds
from tests.conftest import Emulator


class InterruptedAfter:
    """The SDK's client; a request of this method is answered, and then comes Ctrl-C before the answer is read."""

    def __init__(self, client: Any, method: str) -> None:
        self._client = client
        self._method = method
        self._config = client._config

    def send_request(self, request: Any, **options: Any) -> Any:
        response = self._client.send_request(request, **options)
        if request.method == self._method:
            signal.raise_signal(signal.SIGINT)
        return response


class WorkspaceOf:
    """A workspace with another client."""

    def __init__(self, workspace: Workspace, client: object) -> None:
        self.subscription_id = workspace.subscription_id
        self.resource_group = workspace.resource_group
        self.name = workspace.name
        self._client = client


def test_ctrl_c_in_the_midst_of_the_opening_leaves_no_session_open(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    interrupted = WorkspaceOf(workspace, InterruptedAfter(workspace._client, "PUT"))
    with pytest.raises(KeyboardInterrupt), open_session(interrupted):
        pass
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"]


def test_sigterm_unwinds_the_block_and_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as leaving, sigterm_unwinds():
        os.kill(os.getpid(), signal.SIGTERM)
    assert leaving.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before is signal.SIG_DFL


def test_sigterm_stays_with_whoever_handles_it_already() -> None:
    seen: list[int] = []

    def theirs(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with sigterm_unwinds():
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_thread_that_gets_no_signals_is_left_alone() -> None:
    handlers: list[object] = []

    def elsewhere() -> None:
        with sigterm_unwinds():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]
