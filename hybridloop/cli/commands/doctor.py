"""`hybridloop doctor`: check the set-up, or what is assumed of the service."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.cli.output import AsJson, Workspace, print_json, print_line, print_message
from hybridloop.errors import InputError

if TYPE_CHECKING:
    from hybridloop.setup_checks.live.report import Finding, LiveReport


def doctor(
    *,
    live: Annotated[bool, typer.Option("--live", help="Check the service, by free jobs: ten minutes.")] = False,
    idle: Annotated[bool, typer.Option("--idle", help="With --live: also wait for a session to time out.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --live: do not ask before jobs are sent.")] = False,
    workspace: Workspace = None,
    json: AsJson = False,
) -> None:
    """Check Python, packages, folder, disk, settings, journal, Prefect, workspace, clock and target.

    Nothing is started or changed. Exits with 1 if a check finds an error. With --live, check on free targets what
    hybridloop assumes of the service; exits with 1 if something differs.

    Example: hybridloop doctor
    """
    from hybridloop.setup_checks import CheckResult, CheckStatus, run_checks

    if live:
        _check_live(idle=idle, yes=yes, workspace=workspace, json=json)
        return
    if idle or yes:
        raise InputError("--idle" if idle else "--yes", "it needs --live", "Add --live.")
    results: list[CheckResult] = []
    for result in run_checks(workspace=workspace):
        results.append(result)
        if not json:
            print_line(f"{result.state:<8} {result.check:<14} {result.found}")
            if result.remedy:
                print_line(f"{'':<24}{result.remedy}")
    is_ok = all(result.state is not CheckStatus.WRONG for result in results)
    if json:
        print_json({"ok": is_ok, "findings": [dataclasses.asdict(result) for result in results]})
    if not is_ok:
        raise typer.Exit(1)


def _check_live(*, idle: bool, yes: bool, workspace: str | None, json: bool) -> None:
    from hybridloop.api.environment import resolve_workspace
    from hybridloop.setup_checks.live.all_checks import LiveChecks
    from hybridloop.setup_checks.live.service import FREE_TARGETS, MAX_JOBS

    checks = LiveChecks(resolve_workspace(workspace), idle=idle)
    service = "a local service, not Azure" if checks.is_local else "Azure Quantum"
    targets = ", ".join(FREE_TARGETS)
    minutes = "25" if idle else "10"
    print_message(
        f"This sends at most {MAX_JOBS} jobs to {service}, to {targets} only, which are free. On Azure it takes about "
        f"{minutes} minutes."
    )
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("--yes", "no terminal to ask at", "Add --yes to send the jobs.")
        if not typer.confirm("Continue?", err=True):
            print_message("Nothing was sent.")
            raise typer.Exit(1)
    for finding in checks.findings():
        if not json:
            _print_finding(finding)
    report = checks.report()
    if json:
        print_json(report.to_json())
    else:
        _print_end(report)
    if report.differences:
        raise typer.Exit(1)


def _print_finding(finding: Finding) -> None:
    assumption = finding.assumption
    is_different = finding.verdict == "different"
    found = "" if is_different else f" {finding.found[0].upper()}{finding.found[1:]}."
    print_line(f"{finding.verdict:<10} {assumption.name:<20} {assumption.assumed}{found}")
    more = {"before": finding.before}
    if is_different:
        more = {"found": finding.found, "assumed": " or ".join(assumption.expected), **more}
        more |= {"where": assumption.where, "effect": assumption.effect}
    for name, text in more.items():
        if text is not None:
            print_line(f"{'':<31} {name + ':':<8} {text}")


def _print_end(report: LiveReport) -> None:
    numbers = Counter(finding.verdict.value for finding in report.findings)
    same, differences, unknown = (numbers[verdict] for verdict in ("same", "different", "not shown"))
    print_line()
    print_line(f"{same} same, {differences} different, {unknown} not shown; {report.jobs_sent} jobs were sent.")
    if report.previous:
        print_line(f"{len(report.changes)} findings changed since the checks of {_minute(report.previous)}.")
    if differences:
        print_line("Different: the service does not do what hybridloop assumes; nothing is wrong with your account.")
        print_line("The line `effect` says what this means for a run.")
    if unknown:
        print_line("Not shown: the check could not be made this time, for the reason after the colon.")
    print_line(f"Report, without keys and ids: {report.path}")
    if not report.is_local and differences:
        print_line("Please send it to the developers of hybridloop, who need it to adapt hybridloop to the service.")


def _minute(time: str) -> str:
    return f"{time[:16].replace('T', ' ')} UTC"
