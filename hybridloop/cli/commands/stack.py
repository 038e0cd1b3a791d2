"""`hybridloop up | down | status | portal | env | worker`: the local stack, and other programs on it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.output import AsJson, print_json, print_line, print_message, print_table
from hybridloop.errors import HybridloopError, InputError, StackError
from hybridloop.runtime.json_log import is_json
from hybridloop.runtime.paths import home
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE, workspace_variable

if TYPE_CHECKING:
    from hybridloop.local_stack import RunningEmulator, StackStatus
    from hybridloop.reports.costs import OpenReservation


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


def status(
    *,
    connection_string: Annotated[
        bool,
        typer.Option(
            "--connection-string",
            help="Print the connection string of the local service, for any client; it is secret.",
        ),
    ] = False,
    json: AsJson = False,
) -> None:
    """Show the local stack without starting it.

    Example: hybridloop status
    """
    from hybridloop import local_stack

    if connection_string:
        from hybridloop.azure.workspace import LocalService
        from hybridloop.azure.workspace import connection_string as text_of

        service = _local_service(local_stack.find_emulator())
        print_line(text_of(LocalService(service.url, service.api_key)))
    else:
        _print(local_stack.status(), _open_reservations(), as_json=json)


def portal(
    *,
    link: Annotated[
        bool, typer.Option("--link", help="Print the link, which signs in once, and open nothing.")
    ] = False,
) -> None:
    """Open the local service's sessions and jobs in the browser, signed in; the service is started if needed.

    The link signs in once.

    Example: hybridloop portal
    """
    import webbrowser

    from hybridloop import local_stack

    service = _local_service(None if workspace_variable(os.environ) else local_stack.ensure_emulator())
    address = local_stack.portal_link(service)
    if link or not webbrowser.open(address):
        print_line(address)
    else:
        print_message(f"opened {service.url} in the browser")


def _local_service(service: RunningEmulator | None) -> RunningEmulator:
    """Return the running service. Raises InputError if there is none, or if runs use another workspace."""
    if (variable := workspace_variable(os.environ)) is not None:
        problem = "it names the workspace that your runs use, which is not the local service's"
        raise InputError(variable, problem, "Open it in its own portal, or unset the variable for the local service.")
    if service is None:
        raise StackError("the local service does not run", "Start it: hybridloop up.")
    return service


def env() -> None:
    """Print commands that let `prefect` and its workers use the local parts: eval "$(hybridloop env)".

    Without a Prefect server of your own these are the address and the password of the local one, which is started if
    needed. If no variable names a workspace (AZURE_QUANTUM_CONNECTION_STRING, AZURE_QUANTUM_WORKSPACE_NAME), the runs
    of workers in that shell use the local service.

    Example: hybridloop env
    """
    variables = _worker_variables()
    for name, value in variables.items():
        print_line(f"export {name}={shlex.quote(value)}")
    if not variables:
        print_message(f"nothing to set: {workspace_variable(os.environ)} names the workspace of workers, too")


def worker(
    *,
    pool: Annotated[
        str, typer.Option(help="Work pool of type process; it is created if it is missing.")
    ] = "hybridloop",
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum of runs at the same time.")] = None,
) -> None:
    """Start a Prefect worker that lets its runs close their sessions before it ends.

    On Ctrl-C or SIGTERM they have 40 s; a second signal ends all at once. The worker uses your Prefect server and
    workspace, else the local ones, which are started if needed.

    Example: hybridloop worker --pool hybridloop --limit 4
    """
    from hybridloop.local_stack.worker import run_worker
    from hybridloop.settings.deployment import check_pool

    pool = check_pool(pool, "pool")
    in_json = {"PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json"} if is_json() else {}
    raise typer.Exit(run_worker(pool, limit, {**in_json, **os.environ, **_worker_variables()}))


def _worker_variables() -> dict[str, str]:
    """Return the variables by which a worker finds the local parts that its user has not of their own."""
    from hybridloop import local_stack
    from hybridloop.azure.workspace import LOCAL_SERVICE_VARIABLE
    from hybridloop.local_stack.prefect_settings import worker_environment

    server = local_stack.ensure_prefect()
    if not server.is_local:
        print_message(f"your own Prefect server is used: {server.api_url}")
    variables = worker_environment(server.environment)
    if workspace_variable(os.environ) is None:
        print_message(f"{CONNECTION_VARIABLE} is not set: workers run on the local service")
        variables[LOCAL_SERVICE_VARIABLE] = "1"
    return variables


def _open_reservations() -> list[OpenReservation]:
    """Return what stays reserved for runs without a process; of a journal that can't be read print the reason."""
    from hybridloop.journal import has_journal, open_journal

    if not has_journal():
        return []
    from hybridloop.reports.costs import open_reservations

    try:
        with open_journal() as journal:
            return open_reservations(journal, time.time())
    except HybridloopError as error:
        print_message(str(error))
        return []


def _print(stack: StackStatus, left: Sequence[OpenReservation] = (), *, as_json: bool) -> None:
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
        print_json({"home": str(stack.home), "parts": rows, "unsettled": [asdict(each) for each in left]})
    else:
        print_table(("part", "state", "url", "pid"), rows)
        print_message(f"state: {stack.home}")
        for each in left:
            print_message(str(each))
        if any(part.name == "emulator" and part.state == "running" for part in stack.components):
            print_message("sessions and jobs of the local service in a browser: hybridloop portal")
            print_message("its connection string, for other clients: hybridloop status --connection-string")
        if stack.prefect_sign_in and sys.stderr.isatty():  # else it would stand in a log, or in the mail of cron
            print_message(f"Prefect in a browser (the link has its password): {stack.prefect_sign_in}")
