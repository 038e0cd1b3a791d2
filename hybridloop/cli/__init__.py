"""Command line: parse arguments, run a command, translate errors to exit codes. Only this package prints."""

from __future__ import annotations

import atexit
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
from hybridloop.cli.option_names import with_option
from hybridloop.cli.output import print_message
from hybridloop.cli.standard_streams import make_streams_safe
from hybridloop.errors import HybridloopError
from hybridloop.runtime.clock import beginning_now
from hybridloop.runtime.foreign_folder import shut_out_current_folder
from hybridloop.runtime.json_log import check_format, is_json
from hybridloop.runtime.messages import WarningLines, log_in_json
from hybridloop.runtime.signals import TERMINATED, exit_on_sigterm
from hybridloop.runtime.waits import COMMAND_EXIT_S

INTERRUPTED = 128 + signal.SIGINT


def program() -> None:
    """Entry point `hybridloop`: `main` with a quick exit.

    It is bounded, because Prefect waits long for a server that is gone. Python does not take its modules apart, which
    is a fifth of a short run's time.
    """
    make_streams_safe()
    logging.raiseExceptions = False  # Prefect prints one for each batch of log lines that its server does not take
    status = 1  # of an error that Python prints

    def leave() -> None:
        logging.shutdown()
        os._exit(status)

    atexit.register(leave)  # the first that is registered is called last
    try:
        main()
    except SystemExit as exit_:
        status = exit_status(exit_.code)
        timer = threading.Timer(COMMAND_EXIT_S, os._exit, [status])
        timer.daemon = True
        timer.start()
        raise


def exit_status(code: object) -> int:
    """Return the status with which Python ends after `SystemExit(code)`.

    >>> exit_status(None), exit_status(3), exit_status("the reason")
    (0, 3, 1)
    """
    return code if isinstance(code, int) else int(code is not None)


def main() -> None:
    """Run the command of `sys.argv` and exit with its code."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without ± still gets its result
    gc.set_threshold(100_000, 20, 50)  # importing Qiskit and Prefect sets off 1,100 collections, a sixth of a short run
    shut_out_current_folder()
    try:
        check_format()
        with beginning_now(), exit_on_sigterm(), _show_warnings():
            words = [] if "_HYBRIDLOOP_COMPLETE" in os.environ else sys.argv[1:3]
            build_app(*words)(prog_name="hybridloop")
    except HybridloopError as error:
        print_message(f"hybridloop: {with_option(error)}", logging.ERROR)
        sys.exit(error.exit_code)
    except OSError as error:
        file = f"{error.filename}: " if error.filename and error.strerror else ""
        print_message(f"hybridloop: {file}{error.strerror or error}", logging.ERROR)
        sys.exit(1)
    except KeyboardInterrupt:  # outside of typer, which would exit with 130
        _exit_after_signal(INTERRUPTED)
    except SystemExit as exit_:
        if exit_.code in (INTERRUPTED, TERMINATED):
            _exit_after_signal(exit_.code)
        raise


def _exit_after_signal(code: int) -> None:
    """Exit at once: everything is closed, and an orderly exit of Prefect may wait for a server that is gone.

    A further signal ends the process silently.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    print_message(f"hybridloop: {'interrupted' if code == INTERRUPTED else 'terminated'}")
    os._exit(code)


@contextmanager
def _show_warnings() -> Iterator[None]:
    """Show hybridloop's warnings although Prefect replaces the handlers of the root logger when it is imported."""
    handler = WarningLines()
    logger = logging.getLogger("hybridloop")
    logger.addHandler(handler)
    if is_json():
        log_in_json()
    show = warnings.showwarning

    def show_warning(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if category.__module__.startswith("hybridloop."):  # a line without its place in our code
            print_message(f"hybridloop: {message}")
        else:
            show(message, category, *place, **named)

    warnings.showwarning = show_warning
    try:
        yield
    finally:
        warnings.showwarning = show
        logger.removeHandler(handler)
