"""`hybridloop emulator …`: run the local Azure Quantum service, and read its job ledger over the admin endpoint."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.cli.output import AsJson, print_json, print_line, print_table
from hybridloop.emulator.settings import (
    DEFAULT_PORT,
    DEFAULT_TIME_LIMIT_S,
    ClockKind,
    GateCompiler,
    IdleRule,
    LatencyKind,
    Settings,
    WorkspaceKind,
    parse_memory_size,
)
from hybridloop.errors import InputError, ServiceUnreachable
from hybridloop.runtime.paths import home
from hybridloop.runtime.waits import ADMIN_REQUEST_S

_SHOWS_SERVICE = "`hybridloop status` shows the local stack's service."
_PAGE_SIZE = 10_000

app = typer.Typer(name="emulator", no_args_is_help=True, help="A local Azure Quantum service.")


@app.command()
def start(
    *,
    port: Annotated[int, typer.Option(help="Port on the loopback interface; 0 for a free one.")] = DEFAULT_PORT,
    state: Annotated[Path | None, typer.Option(help="Folder for sessions, jobs and blobs.")] = None,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Keep no data after the end.")] = False,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_API_KEY", help="API key. Default: the one stored with the state."),
    ] = None,
    admin_key: Annotated[
        str | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_ADMIN_KEY", help="Admin key. Default: the one stored with the state."),
    ] = None,
    clock: Annotated[ClockKind, typer.Option(help="Virtual time advances only by admin requests.")] = ClockKind.REAL,
    seed: Annotated[int | None, typer.Option(help="Sampling seed. Default: the stored one, else 0.")] = None,
    idle_rule: Annotated[IdleRule, typer.Option(help="Start of a session's ten idle minutes.")] = IdleRule.RECORDED,
    latency: Annotated[
        LatencyKind, typer.Option(help="Added duration of jobs: none, or as recorded at the real service.")
    ] = LatencyKind.NONE,
    faults: Annotated[Path | None, typer.Option(help="YAML file with faults to inject, for tests of clients.")] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Memory for all simulations, such as 8GiB. Default: a third of the machine's.")
    ] = None,
    job_time_limit: Annotated[
        float, typer.Option(help="Seconds for which a job may run until it fails.")
    ] = DEFAULT_TIME_LIMIT_S,
    gate_compiler: Annotated[
        GateCompiler, typer.Option(help="Optimization of programs: none, unless a job turns it off, or always.")
    ] = GateCompiler.NONE,
    extra_targets: Annotated[
        Path | None,
        typer.Option(envvar="HYBRIDLOOP_EMULATOR_EXTRA_TARGETS", help="JSON file of further targets, for tests."),
    ] = None,
    workspace_kind: Annotated[
        WorkspaceKind, typer.Option(help="Words of the statuses of jobs: those of a v1 or of a v2 workspace.")
    ] = WorkspaceKind.V1,
) -> None:
    """Run the service until Ctrl-C, and print the connection data for clients.

    Example: hybridloop emulator start --in-memory
    """
    if in_memory and state is not None:
        raise InputError("--in-memory", "it was given together with --state", "Choose one of the two.")
    try:
        settings = Settings(
            port=port,
            state=None if in_memory else state or home() / "emulator-by-hand",
            api_key=api_key,
            admin_key=admin_key,
            clock=clock,
            seed=seed,
            idle_rule=idle_rule,
            latency=latency,
            faults=faults,
            max_memory=None if max_memory is None else parse_memory_size(max_memory),
            job_time_limit=job_time_limit,
            gate_compiler=gate_compiler,
            extra_targets=extra_targets,
            workspace_kind=workspace_kind,
        )
    except ValueError as error:
        raise InputError("emulator", str(error), "See `hybridloop emulator start --help`.") from error
    from hybridloop.emulator.server import serve

    raise typer.Exit(serve(settings))


@app.command("ledger")
def show_ledger(
    *,
    run: Annotated[str | None, typer.Option(help="Only the jobs of the run with this uid.")] = None,
    session: Annotated[uuid.UUID | None, typer.Option(help="Only the jobs of this session.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of the service. Default: the local stack's service.")] = None,
    admin_key: Annotated[
        str | None, typer.Option(envvar="HYBRIDLOOP_EMULATOR_ADMIN_KEY", help="Admin key of the service at --url.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the service's ledger of accepted jobs, with duplicates and cost.

    Example: hybridloop emulator ledger --json
    """
    address, key = _service(url, admin_key)
    only = None if session is None else str(session)
    if json:
        print_json(_read_ledger(address, key, {"run": run, "session": only}))
    else:
        _print_totals(_read_page(address, key, {"run": run, "session": only, "top": 0}))


def _read_ledger(url: str, admin_key: str, query: dict[str, Any]) -> dict[str, Any]:
    """Return the ledger of the jobs that match the query, with the entries of all pages."""
    ledger = _read_page(url, admin_key, {**query, "top": _PAGE_SIZE})
    while (after := ledger.pop("next")) is not None:
        page = _read_page(url, admin_key, {**query, "top": _PAGE_SIZE, "after": after})
        ledger["entries"] += page["entries"]
        ledger["next"] = page["next"]
    return ledger


def _read_page(url: str, admin_key: str, query: dict[str, Any]) -> dict[str, Any]:
    import httpx

    parameters = {name: value for name, value in query.items() if value is not None}
    try:
        reply = httpx.get(
            f"{url.rstrip('/')}/_admin/ledger",
            params=parameters,
            headers={"x-admin-key": admin_key},
            timeout=ADMIN_REQUEST_S,
            trust_env=False,  # no proxies
        )
        if reply.status_code == 401:
            raise InputError("--admin-key", f"{url} does not accept it", "Give the key that the service printed.")
        if not reply.is_success:
            happened = f"the service at {url} answered {reply.status_code}"
            raise ServiceUnreachable(happened, "Nothing was changed.", _SHOWS_SERVICE)
        page: dict[str, Any] = reply.json()
        return page
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:  # ValueError: not JSON
        happened = f"the service at {url} can't be read: {error}"
        raise ServiceUnreachable(happened, "Nothing was changed.", _SHOWS_SERVICE) from error


def _service(url: str | None, admin_key: str | None) -> tuple[str, str]:
    if url is not None:
        if admin_key is None:
            raise InputError(
                "--admin-key", "it is missing", "Set HYBRIDLOOP_EMULATOR_ADMIN_KEY to the key that the service printed."
            )
        return url, admin_key
    from hybridloop import local_stack

    service = local_stack.ensure_emulator()
    return service.url, service.admin_key


def _print_totals(ledger: dict[str, Any]) -> None:
    ended = ", ".join(f"{number} {status}" for status, number in ledger["ended"].items())
    print_line(f"{'jobs':<12}{ledger['jobs']}{f' ({ended})' if ended else ''}")
    print_line(f"{'shots':<12}{ledger['shots']}")
    print_line(f"{'money':<12}{_money(ledger)}")
    print_line(f"{'duplicates':<12}{ledger['duplicates']['count']}")
    for entry in ledger["duplicates"]["entries"]:
        earlier = entry["earlier"]
        print_line(f"  {entry['place']}: job {entry['job']}, while {earlier['job']} was {earlier['status']}")
    if ledger["sessions"]:
        print_line()
        rows = [{**row, "money": _money(row)} for row in ledger["sessions"]]
        print_table(("id", "target", "status", "jobs", "shots", "money"), rows)


def _money(row: dict[str, Any]) -> str:
    return ", ".join(f"{amount:g} {unit}" for unit, amount in row["money"].items()) or "none"
