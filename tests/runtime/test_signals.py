"""Signals: SIGTERM raises an exception like Ctrl-C, and Ctrl-C while a session opens leaves no session open."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Any

import pytest
from azure.quantum import Workspace

from hybridloop.runtime.signals import exit_on_sigterm, is_by_a_signal, signals_while_closing
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.waiting import PATIENCE_S


class InterruptedAfter:
    """The SDK's client, with Ctrl-C after the response to a request of one HTTP method, before it is read."""

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


def test_ctrl_c_while_a_session_opens_leaves_none_open(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    interrupted = WorkspaceOf(workspace, InterruptedAfter(workspace._client, "PUT"))
    with pytest.raises(KeyboardInterrupt), open_run_session(interrupted):
        pass
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"]


ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.mark.claim("Ctrl-C, SIGTERM, cancelled in Prefect")
@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_ends_processes_raises_system_exit_and_its_handler_is_restored(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in ENDING]
    with pytest.raises(SystemExit) as leaving, exit_on_sigterm():
        os.kill(os.getpid(), number)
    assert leaving.value.code == 143
    assert [signal.getsignal(each) for each in ENDING] == before == [signal.SIG_DFL] * 3


def wait_for_signals(numbers: tuple[signal.Signals, ...]) -> None:
    """Wait for an event while another thread sends the signals at once."""

    def send() -> None:
        for number in numbers:
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    sending = threading.Timer(0.01, send)
    try:
        sending.start()
        while not threading.Event().wait(0.1):  # a signal just before a wait is seen after it
            pass
    finally:
        sending.join()


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_two_signals_at_once_are_one_and_break_no_lock(numbers: tuple[signal.Signals, ...]) -> None:
    """The second would be raised in what the first one's exception leaves, such as the lock of this event."""
    before = signal.getsignal(signal.SIGINT)
    for _ in range(20):
        with pytest.raises((KeyboardInterrupt, SystemExit)), exit_on_sigterm():
            wait_for_signals(numbers)
    assert signal.getsignal(signal.SIGINT) is before


class Finalized:
    """An object with a weak reference."""


def wait_after_a_signal_in_a_finalizer(number: signal.Signals) -> None:
    """Receive the signal in a weak reference's callback, whose exceptions Python swallows, then wait for another."""
    finalized, received = Finalized(), threading.Event()

    def receive(_reference: object) -> None:
        received.set()
        signal.raise_signal(number)

    reference = weakref.ref(finalized, receive)
    del finalized
    assert reference() is None
    assert received.is_set()
    threading.Event().wait(PATIENCE_S)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_in_a_finalizer_is_not_lost(number: signal.Signals, error: type[BaseException]) -> None:
    before = sys.unraisablehook
    with pytest.raises(error), exit_on_sigterm():
        wait_after_a_signal_in_a_finalizer(number)
    assert sys.unraisablehook is before


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with exit_on_sigterm():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_while_a_session_is_closed_a_closed_terminal_hurries_it(number: signal.Signals) -> None:
    hurried = threading.Event()
    with exit_on_sigterm(), signals_while_closing(hurried.set):
        os.kill(os.getpid(), number)
    assert hurried.is_set()


def test_an_existing_handler_of_sigterm_stays() -> None:
    seen: list[int] = []

    def theirs(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with exit_on_sigterm():
            for number in ENDING:
                os.kill(os.getpid(), number)
        assert seen == [signal.SIGTERM] * 3
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_no_handler_is_set() -> None:
    handlers: list[object] = []

    def elsewhere() -> None:
        with exit_on_sigterm():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


def test_an_exit_of_the_program_is_no_signal() -> None:
    assert [is_by_a_signal(error) for error in (KeyboardInterrupt(), SystemExit(143), SystemExit(3), None)] == [
        True,
        True,
        False,
        False,
    ]
