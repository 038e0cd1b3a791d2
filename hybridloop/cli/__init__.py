"""The command line: arguments in, exit codes out; the only room that prints."""

from __future__ import annotations

import sys

from hybridloop.cli.app import build_app
from hybridloop.cli.output import say
from hybridloop.errors import HybridloopError

INTERRUPTED = 130


def main() -> None:
    """Run the command of `sys.argv` and exit with its code."""
    try:
        build_app()()
    except HybridloopError as error:
        say(f"hybridloop: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("hybridloop: interrupted; the session was closed, jobs in flight were left to the service")
        sys.exit(INTERRUPTED)
