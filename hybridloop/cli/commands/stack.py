"""`hybridloop up | down | status`: the local stack by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridloop.cli.output import AsJson, print_json, print_table, say
from hybridloop.runtime.paths import home

if TYPE_CHECKING:
    from hybridloop.local_stack import StackStatus

_COLUMNS = ("part", "state", "url", "pid")


def up(*, json: AsJson = False) -> None:
    """Start the local Prefect server and the local quantum service, or find them running.

    Example: hybridloop up
    """
    from hybridloop import local_stack as stack

    _show(stack.up(), as_json=json)


def down(*, json: AsJson = False) -> None:
    """Stop the local stack; what it stored is kept.

    Example: hybridloop down
    """
    from hybridloop import local_stack as stack

    stopped = stack.down()
    if json:
        print_json({"home": str(home()), "stopped": stopped})
    else:
        say(f"stopped: {', '.join(stopped) or 'nothing was running'}")


def status(*, json: AsJson = False) -> None:
    """Show the local stack; starts nothing.

    Example: hybridloop status
    """
    from hybridloop import local_stack as stack

    _show(stack.status(), as_json=json)


def _show(found: StackStatus, *, as_json: bool) -> None:
    if as_json:
        print_json({"home": str(found.home), "parts": _rows(found)})
    else:
        print_table(_COLUMNS, _rows(found))
        say(f"state: {found.home}")


def _rows(found: StackStatus) -> list[dict[str, Any]]:
    return [
        {
            "part": part.name,
            "state": str(part.state),
            "url": part.url,
            "pid": part.pid,
            "started": part.started and part.started.isoformat(),
            "release": part.release,
            "output": part.output and str(part.output),
        }
        for part in found.components
    ]
