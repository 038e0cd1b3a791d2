"""The command line: arguments in, exit codes out; the only room that prints."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybridloop.cli.app import build_app
from hybridloop.cli.output import say
from hybridloop.errors import HybridloopError, InputError
from hybridloop.runtime.signals import TERMINATED, exit_on_sigterm

_EXIT_S = 5.0
INTERRUPTED = 128 + signal.SIGINT


def program() -> None:
    """The program `hybridloop`: `main`, and a bounded exit, for Prefect waits long for a server that is gone."""
    try:
        main()
    except SystemExit as leaving:
        sys.stdout.flush()
        timer = threading.Timer(_EXIT_S, os._exit, [leaving.code if isinstance(leaving.code, int) else 0])
        timer.daemon = True
        timer.start()
        raise


def main() -> None:
    """Run the command of `sys.argv` and exit with its code."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without ± still gets its result
    gc.set_threshold(100_000, 20, 50)  # importing Qiskit and Prefect sets off 1,100 collections, a sixth of a short run
    try:
        with exit_on_sigterm(), _warnings_shown():
            build_app()(prog_name="hybridloop")
    except InputError as error:
        say(f"hybridloop: {error.short_message}")
        sys.exit(error.exit_code)
    except HybridloopError as error:
        say(f"hybridloop: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        of = f"{error.filename}: " if error.filename and error.strerror else ""
        say(f"hybridloop: {of}{error.strerror or error}")
        sys.exit(1)
    except KeyboardInterrupt:  # while typer, which makes it the code 130, was not in charge
        _leave(INTERRUPTED)
    except SystemExit as leaving:
        if leaving.code in (INTERRUPTED, TERMINATED):
            _leave(leaving.code)
        raise


def _leave(code: int) -> None:
    """Exit after a signal; all is closed by now, so that a further one may end the process at once, and silently.

    What became of a run was said by whoever showed it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    say("hybridloop: interrupted" if code == INTERRUPTED else "hybridloop: told to end")
    sys.stdout.flush()
    os._exit(code)  # at an orderly exit Prefect waits for a server that may be gone


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show our own warnings, whatever is done to the root logger: Prefect sets it up anew when it is imported."""
    handler = _OnStandardError(logging.WARNING)
    handler.setFormatter(logging.Formatter("hybridloop: %(message)s"))
    logger = logging.getLogger("hybridloop")
    logger.addHandler(handler)
    show = warnings.showwarning

    def show_warning(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if category is FutureWarning:  # a former name: a line without its place in our code
            say(f"hybridloop: {message}")
        else:
            show(message, category, *place, **named)

    warnings.showwarning = show_warning
    try:
        yield
    finally:
        warnings.showwarning = show
        logger.removeHandler(handler)


class _OnStandardError(logging.Handler):
    """Says each record where standard error is at the moment: above a live view, while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say(self.format(record))
