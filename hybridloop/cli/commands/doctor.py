"""`hybridloop doctor`: what is wrong with the set-up, and how to mend it."""

from __future__ import annotations

import dataclasses

import typer

from hybridloop.cli.output import AsJson, Workspace, print_json


def doctor(*, workspace: Workspace = None, json: AsJson = False) -> None:
    """Look the set-up over: Python, packages, folder, disk, settings, journal, Prefect, workspace, clock, target.

    It starts and changes nothing. It ends with 1 where something is wrong.

    Example: hybridloop doctor
    """
    from hybridloop.setup_checks import CheckResult, CheckStatus, run_checks

    seen: list[CheckResult] = []
    for each in run_checks(workspace=workspace):
        seen.append(each)
        if not json:
            print(f"{each.state:<8} {each.check:<14} {each.found}", flush=True)
            if each.remedy:
                print(f"{'':<24}{each.remedy}", flush=True)
    is_ok = all(each.state is not CheckStatus.WRONG for each in seen)
    if json:
        print_json({"ok": is_ok, "findings": [dataclasses.asdict(each) for each in seen]})
    if not is_ok:
        raise typer.Exit(1)
