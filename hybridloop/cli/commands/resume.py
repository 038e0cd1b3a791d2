"""`hybridloop runs resume`, whose options are the limits and the goals of all algorithms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hybridloop.cli.commands.runs import Run, status_of
from hybridloop.cli.options import changes_of, given_options, resume_options, with_options
from hybridloop.cli.output import AsJson, Quiet, RequirePrefect, Workspace, print_json, print_line, print_text
from hybridloop.cli.progress import show_progress, show_stages
from hybridloop.cli.result_output import Unit, print_result
from hybridloop.errors import InputError

app = typer.Typer()


def _resume(
    ctx: typer.Context,
    run: Run,
    *,
    later: Annotated[bool, typer.Option("--later", help="Let the housekeeping flow resume it.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Estimate what is missing; start nothing.")] = False,
    workspace: Workspace = None,
    require_prefect: RequirePrefect = False,
    unit: Unit = None,
    json: AsJson = False,
    quiet: Quiet = False,
    **changes: Any,
) -> None:
    """Resume a run where it ended, with other limits if you give some; a result is extended if they reach further.

    Nothing is measured twice, and the result is that of an uninterrupted run. An earlier result is kept.

    Example: hybridloop runs resume night --max-cost 100USD
    """
    given = changes_of(given_options(ctx, changes))
    if later:
        if given or plan or require_prefect or unit is not None or workspace is not None:
            problem = "housekeeping resumes a run with the settings that it has"
            raise InputError("--later", problem, "Give --later alone, or resume the run here.")
        _request_resume(run, as_json=json)
        return
    from hybridloop.api import stored as api

    if plan:
        if unit is not None:
            raise InputError("--unit", "a plan has no energy", "Leave it out.")
        if require_prefect:
            raise InputError("--require-prefect", "a plan starts nothing", "Leave it out.")
        with show_stages():
            missing = api.plan_resume(run, given, workspace=workspace)
        if json:
            print_json(asdict(missing))
        else:
            print_text(str(missing))
        return
    with show_progress(quiet=quiet) as display:
        result = api.resume_run(
            run,
            given,
            workspace=workspace,
            on_progress=display.on_progress,
            feed=display.feed,
            require_prefect=require_prefect,
        )
    print_result(result, as_json=json, unit=unit)


app.command("resume")(with_options(_resume, resume_options()))


def _request_resume(run: str, *, as_json: bool) -> None:
    from hybridloop.api.stored import resume_later

    record = resume_later(run)
    if as_json:
        print_json({"run_key": record.key, "resume_requested": True, "status": status_of(record)})
    else:
        print_line(f"run {record.key} will be resumed by the next run of the housekeeping flow")
