"""`hybridloop up | down | status | env`: start, stop and show the local stack, and lead other programs to it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from hybridloop.cli.output import AsJson, print_json, print_line, print_message, print_table
from hybridloop.runtime.paths import home

if TYPE_CHECKING:
    from hybridloop.local_stack import StackStatus


def up(*, json: AsJson = False) -> None:
    """Start the local Prefect server and the local quantum service, unless they run already.

    Example: hybridloop up
    """
    from hybridloop import local_stack

    _print(local_stack.up(), as_json=json)


def down(*, json: AsJson = False) -> None:
    """Stop the local stack; its data is kept.

    Example: hybridloop down
    """
    from hybridloop import local_stack

    stopped = local_stack.down()
    if json:
        print_json({"home": str(home()), "stopped": stopped})
    else:
        print_message(f"stopped: {', '.join(stopped) or 'nothing was running'}")


def status(*, json: AsJson = False) -> None:
    """Show the local stack without starting it.

    Example: hybridloop status
    """
    from hybridloop import local_stack

    _print(local_stack.status(), as_json=json)


def env() -> None:
    """Print commands that let `prefect` and its workers use the local Prefect server: eval "$(hybridloop env)".

    They contain its password. The server is started if needed; with a server of your own there is nothing to set.

    Example: hybridloop env
    """
    from hybridloop import local_stack

    server = local_stack.ensure_prefect()
    if not server.is_local:
        print_message(f"your own Prefect server is used: {server.api_url}")
    for name, value in server.environment.items():
        print_line(f"export {name}={shlex.quote(value)}")


def _print(stack: StackStatus, *, as_json: bool) -> None:
    rows = [
        {
            "part": part.name,
            "state": str(part.state),
            "url": part.url,
            "pid": part.pid,
            "started": part.started and part.started.isoformat(),
            "release": part.release,
            "output": part.output and str(part.output),
        }
        for part in stack.components
    ]
    if as_json:
        print_json({"home": str(stack.home), "parts": rows})
    else:
        print_table(("part", "state", "url", "pid"), rows)
        print_message(f"state: {stack.home}")
        if stack.prefect_sign_in:
            print_message(f"Prefect in a browser (the link has its password): {stack.prefect_sign_in}")
