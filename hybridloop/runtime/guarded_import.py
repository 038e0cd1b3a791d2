"""Import of another package's entry point: what it raises is caught by its caller, and that it takes long is said."""

from __future__ import annotations

import logging
import threading
from importlib.metadata import EntryPoint
from typing import Any

from hybridloop.runtime.waits import PLUG_IN_SAID_S

LOADING = (Exception, SystemExit)  # a package may raise any error when it is imported, and may mean to end the program

_log = logging.getLogger(__name__)


def load_guarded(entry: EntryPoint, package: str) -> Any:
    """Return what an entry point leads to; after `PLUG_IN_SAID_S` a warning says that it is still being imported.

    Raises what the package raises: one of `LOADING`, or KeyboardInterrupt.
    """
    text = "%s of %s is still being imported after %.0f s; Ctrl-C ends the wait, and removing the package avoids it"
    timer = threading.Timer(PLUG_IN_SAID_S, _log.warning, (text, entry.value, package, PLUG_IN_SAID_S))
    timer.daemon = True
    timer.start()
    try:
        return entry.load()
    finally:
        timer.cancel()
