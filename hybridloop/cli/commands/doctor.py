"""`hybridloop doctor`: check the set-up."""

from __future__ import annotations

import dataclasses

import typer

from hybridloop.cli.output import AsJson, Workspace, print_json, print_line


def doctor(*, workspace: Workspace = None, json: AsJson = False) -> None:
    """Check Python, packages, folder, disk, settings, journal, Prefect, workspace, clock and target.

    Nothing is started or changed. Exits with 1 if a check finds an error.

    Example: hybridloop doctor
    """
    from hybridloop.setup_checks import CheckResult, CheckStatus, run_checks

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
