"""Signal handling: SIGTERM as SystemExit, SIGHUP and SIGQUIT as SIGTERM, and signals while a session is closed."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import FrameType

STORED_END = ContextVar("hybridloop-stored-end", default="")  # status of the run that this context's work has ended
# note on the exception of a signal that came after that
AFTER_THE_END = "the run had ended, and its status is stored: hybridloop runs list"
TERMINATED = 128 + signal.SIGTERM  # what a shell shows for a process that SIGTERM ended
ONE_S = 0.3  # in which signals are one
AGAIN_S = ONE_S + 0.05  # by then the callback that swallowed a signal's exception has returned
_SIGNALS = {  # by the name of the exception that their handlers raise, Python's, ours and Prefect's
    "KeyboardInterrupt": signal.SIGINT,
    "SystemExit": signal.SIGTERM,
    "TerminationSignal": signal.SIGTERM,
}


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Raise `SystemExit(143)` in the block on SIGTERM, so that sessions are closed; by default the process just ends.

    SIGHUP (the terminal was closed) and SIGQUIT are passed on as SIGTERM. A signal that has a handler (Prefect's of
    SIGTERM in a flow run) or is ignored (SIGHUP by `nohup`) stays so. Python swallows what is raised in a finalizer,
    such as a weakref's callback: a signal that came there is sent again. A second signal within `ONE_S` is the same one
    (a pool's SIGTERM with a user's Ctrl-C): raised while the first is, it would break the locks that that one leaves.
    Does nothing outside the main thread, the only one that receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised_at = -math.inf

    def once(number: int, frame: FrameType | None) -> None:
        nonlocal raised_at
        before, raised_at = raised_at, time.monotonic()
        if raised_at - before < ONE_S:
            return
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        raise SystemExit(TERMINATED)

    handlers = {signal.SIGTERM: once, signal.SIGINT: once, signal.SIGHUP: _pass_on, signal.SIGQUIT: _pass_on}
    found = {number: signal.getsignal(number) for number in handlers}
    ours = {
        number: handler for number, handler in found.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in ours:
        signal.signal(number, handlers[number])
    before = sys.unraisablehook
    sys.unraisablehook = partial(_send_again, before)
    try:
        yield
    finally:
        sys.unraisablehook = before
        for number, handler in ours.items():
            signal.signal(number, handler)


def is_by_a_signal(error: BaseException | None) -> bool:
    """Return True for what handlers of signals raise; False for a program's own `sys.exit`."""
    return type(error).__name__ in _SIGNALS and not (isinstance(error, SystemExit) and error.code != TERMINATED)


def _send_again(otherwise: Callable[[sys.UnraisableHookArgs], object], swallowed: sys.UnraisableHookArgs) -> None:
    """Send the signal again whose exception Python has swallowed, once this callback has returned."""
    number = _SIGNALS.get(swallowed.exc_type.__name__)
    if number is None or not is_by_a_signal(swallowed.exc_value):
        otherwise(swallowed)
        return
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _pass_on(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def signals_while_closing(hurry: Callable[[], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM while a session is being closed: the first calls `hurry`, the second ends the process.

    `hurry` ends the wait for running jobs; the close itself has its own time limits. Does nothing outside the main
    thread, the only one that receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    counted = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal counted
        counted += 1
        if counted > 1:
            os._exit(128 + number)  # the third, as the first began the close; `sessions close-orphans` closes it
        hurry()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
