"""`hybridloop emulator …`: the local Azure Quantum service for any client, and its books.

Reads the local service's books over its admin endpoint.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from hybridloop.cli.output import AsJson, print_json, print_table
from hybridloop.emulator.settings import DEFAULT_PORT, ClockKind, IdleRule, LatencyKind, Settings, parse_memory_size
from hybridloop.errors import InputError, ServiceUnreachable
from hybridloop.runtime.paths import home

PATIENCE_S = 30.0
_PAGE = 10_000


def read_ledger(url: str, admin_key: str, *, run: str | None, session: str | None) -> dict[str, Any]:
    """The whole account of these jobs, its pages put together."""
    account: dict[str, Any] | None = None
    after = 0
    while True:
        page = _page(url, admin_key, {**_asked(run, session), "top": _PAGE, "after": after})
        if account is None:
            account = page
        else:
            account["entries"] += page["entries"]
        if page["next"] is None:
            del account["next"]
            return account
        after = page["next"]


def read_totals(url: str, admin_key: str, *, run: str | None, session: str | None) -> dict[str, Any]:
    """The account of these jobs without its entries."""
    return _page(url, admin_key, {**_asked(run, session), "top": 0})


def _asked(run: str | None, session: str | None) -> dict[str, Any]:
    return {name: value for name, value in (("run", run), ("session", session)) if value is not None}


def _page(url: str, admin_key: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/_admin/ledger?{urlencode(asked)}")
        request.add_header("x-admin-key", admin_key)
        past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with past_proxies.open(request, timeout=PATIENCE_S) as reply:
            document: dict[str, Any] = json.load(reply)
            return document
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise InputError(
                "--admin-key", f"{url} does not accept it", "Give the key that the service printed."
            ) from error
        raise _unreachable(url, f"answered {error.code}") from error
    except (OSError, ValueError) as error:  # no such host, no answer, no address, no JSON
        raise _unreachable(url, f"can't be read: {error}") from error


def _unreachable(url: str, what: str) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"the service at {url} {what}", "Nothing was changed.", "`hybridloop status` shows the local stack's service."
    )


app = typer.Typer(no_args_is_help=True, help="A local Azure Quantum service.")


@app.callback()
def _group() -> None:
    """A local Azure Quantum service."""


@app.command()
def start(
    *,
    port: Annotated[int, typer.Option(help="Port on this machine's loopback; 0 takes a free one.")] = DEFAULT_PORT,
    state: Annotated[Path | None, typer.Option(help="Folder that keeps sessions, jobs and blobs.")] = None,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Forget everything at the end.")] = False,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_API_KEY", help="Default: one kept with the state.", show_envvar=True),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_ADMIN_KEY", help="Default: one kept with the state."),
    ] = None,
    clock: Annotated[ClockKind, typer.Option(help="virtual: time goes on only when it is told to.")] = ClockKind.REAL,
    seed: Annotated[int | None, typer.Option(help="Of sampling. Default: the one kept with the state, else 0.")] = None,
    idle_rule: Annotated[
        IdleRule, typer.Option(help="From when a session's ten idle minutes count.")
    ] = IdleRule.RECORDED,
    latency: Annotated[
        LatencyKind, typer.Option(help="How long jobs take besides their computing: not at all, or as recorded.")
    ] = LatencyKind.NONE,
    faults: Annotated[Path | None, typer.Option(help="A YAML file of faults to make, for tests of clients.")] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Of all simulations together, like 8GiB. Default: a third of the machine's.")
    ] = None,
) -> None:
    """Serve until Ctrl-C; prints what a client needs to connect.

    Example: hybridloop emulator start --in-memory
    """
    if in_memory and state is not None:
        raise InputError("--in-memory", "it was given together with --state", "Choose one of the two.")
    try:
        settings = Settings(
            port=port,
            state=None if in_memory else state or _own_state(),
            api_key=api_key,
            admin_key=admin_key,
            clock=clock,
            seed=seed,
            idle_rule=idle_rule,
            latency=latency,
            faults=faults,
            max_memory=None if max_memory is None else parse_memory_size(max_memory),
        )
    except ValueError as error:
        raise InputError("emulator", str(error), "`hybridloop emulator start --help` says what is taken.") from error
    from hybridloop.emulator.server import serve

    raise typer.Exit(serve(settings))


@app.command("ledger")
def show_ledger(
    *,
    run: Annotated[str | None, typer.Option(help="Only the jobs of the run with this uid.")] = None,
    session: Annotated[uuid.UUID | None, typer.Option(help="Only the jobs of this session.")] = None,
    url: Annotated[str | None, typer.Option(help="The service's address. Default: the local stack's service.")] = None,
    admin_key: Annotated[
        str | None, typer.Option(envvar="HYBRIDLOOP_EMULATOR_ADMIN_KEY", help="The key that goes with --url.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the service's own account of every job that it accepted: duplicates, and what was spent.

    Example: hybridloop emulator ledger --json
    """
    address, key = _service(url, admin_key)
    only = None if session is None else str(session)
    if json:
        print_json(read_ledger(address, key, run=run, session=only))
    else:
        _show(read_totals(address, key, run=run, session=only))


def _service(url: str | None, admin_key: str | None) -> tuple[str, str]:
    if url is not None:
        if admin_key is None:
            raise InputError(
                "--admin-key", "it is missing", "Set HYBRIDLOOP_EMULATOR_ADMIN_KEY to what the service printed."
            )
        return url, admin_key
    from hybridloop import local_stack as stack

    service = stack.ensure_emulator()
    return service.url, service.admin_key


def _show(account: dict[str, Any]) -> None:
    ended = ", ".join(f"{number} {status}" for status, number in account["ended"].items())
    print(f"{'jobs':<12}{account['jobs']}{f' ({ended})' if ended else ''}")
    print(f"{'shots':<12}{account['shots']}")
    print(f"{'money':<12}{_money(account)}")
    print(f"{'duplicates':<12}{account['duplicates']['count']}")
    for entry in account["duplicates"]["entries"]:
        print(
            f"  {entry['place']}: job {entry['job']}, while {entry['earlier']['job']} was {entry['earlier']['status']}"
        )
    if account["sessions"]:
        print()
        rows = [{**row, "money": _money(row)} for row in account["sessions"]]
        print_table(("id", "target", "status", "jobs", "shots", "money"), rows)


def _money(row: dict[str, Any]) -> str:
    return ", ".join(f"{amount:g} {unit}" for unit, amount in row["money"].items()) or "none"


def _own_state() -> Path:
    return home() / "emulator-by-hand"  # the stack's own service holds another folder
