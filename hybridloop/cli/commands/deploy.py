"""`hybridloop deploy …`: a run on a schedule, in one command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import typer

from hybridloop.cli.commands.run import Config, Set, command_class, problem_argument
from hybridloop.cli.help import HELP_ALL, AlgorithmGroup, command_of
from hybridloop.cli.options import input_options, read_input, with_options
from hybridloop.cli.output import AsJson, Workspace, print_json, print_line, print_message
from hybridloop.descriptions import ALGORITHMS, Description
from hybridloop.errors import InputError
from hybridloop.settings.deployment import DeploymentOptions

app = typer.Typer(
    name="deploy",
    cls=AlgorithmGroup,
    no_args_is_help=True,
    invoke_without_command=True,
    help="""Deploy a run to Prefect: work pool, schedule, notifications.

    Example: hybridloop deploy vqe h2 --cron "0 2 * * *"
    """,
)

_DEPLOYMENT = "Deployment"
Notify = Annotated[
    str | None,
    typer.Option(
        metavar="URL|TYPE/NAME",
        help="Webhook, or notification block of Prefect, that gets the results and what needs attention.",
        rich_help_panel=_DEPLOYMENT,
    ),
]
Heartbeat = Annotated[
    str | None,
    typer.Option(
        metavar="URL|TYPE/NAME",
        help="Webhook, or notification block, that hears of each ended run with its cost, as a monitor that misses it.",
        rich_help_panel=_DEPLOYMENT,
    ),
]
Cron = Annotated[
    str | None,
    typer.Option(help="Schedule, such as '0 2 * * *'; without it runs start on request.", rich_help_panel=_DEPLOYMENT),
]
Timezone = Annotated[str, typer.Option(help="Time zone of the schedule.", rich_help_panel=_DEPLOYMENT)]
CatchUp = Annotated[
    bool,
    typer.Option(
        "--catch-up",
        help="Make a run for each start that was missed without a worker; by default one for all.",
        rich_help_panel=_DEPLOYMENT,
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Name of the deployment; the problem's by default.", rich_help_panel=_DEPLOYMENT)
]


@app.callback()
def _notifications(
    ctx: typer.Context,
    *,
    notify: Notify = None,
    test_notify: Annotated[
        bool, typer.Option("--test-notify", help="Let the Prefect server send a test message.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Set up the notifications of all runs on the server, and test them, if no algorithm is given."""
    from hybridloop.api import worker as api

    if ctx.invoked_subcommand is not None:
        if notify is not None or test_notify:
            raise InputError("notify", "it stands before the algorithm", "Give it after the problem, or alone.")
        return
    done = [] if notify is None else [*api.set_notifications(notify)]
    if test_notify:
        api.send_test_notification()
    if json:
        print_json({"done": done, "test_sent": test_notify})
        return
    _print(done)
    if test_notify:
        print_message("the Prefect server sends a test message")


def _deploy_command(algorithm: Description) -> Callable[..., None]:
    """Return the `deploy` command of an algorithm, with the options of its `run` command."""

    def deploy(
        ctx: typer.Context,
        problem: Any,
        *,
        cron: Cron = None,
        timezone: Timezone = "UTC",
        name: Name = None,
        work_pool: Any = "hybridloop",
        notify: Notify = None,
        heartbeat: Heartbeat = None,
        catch_up: CatchUp = False,
        workspace: Workspace = None,
        config: Config = None,
        set_: Set = [],  # noqa: B006  # typer's way to make it optional
        **options: Any,
    ) -> None:
        from hybridloop.api import worker as api

        text, resolved = read_input(ctx, algorithm.name, problem, config, set_, options)
        place = DeploymentOptions(
            *(name or text.name, work_pool, cron, timezone, workspace),
            notify=notify,
            heartbeat=heartbeat,
            catch_up=catch_up,
        )
        _print(api.deploy(algorithm.name, text, resolved, place))

    names = ["--work-pool"] if "pool" in algorithm.settings.model_fields else ["--pool", "--work-pool"]
    deploy.__annotations__["work_pool"] = Annotated[
        str,
        typer.Option(
            *names, help="Work pool; one of processes is created if it is missing.", rich_help_panel=_DEPLOYMENT
        ),
    ]
    deploy.__annotations__["problem"] = problem_argument(algorithm)
    deploy.__doc__ = (
        f"Deploy a run of {algorithm.name} to Prefect, with the options of `hybridloop run {algorithm.name}`.\n\n"
        f"Example: hybridloop deploy {algorithm.name} {algorithm.example} --cron '0 2 * * *'"
    )
    return with_options(deploy, [*input_options(algorithm.settings), HELP_ALL])


def _print(done: Iterable[str]) -> None:
    for sentence in done:
        print_line(sentence)


def _add(to: typer.Typer, algorithm: Description) -> None:
    to.command(algorithm.name, cls=command_class(algorithm, "cron work_pool notify name"))(_deploy_command(algorithm))


for _algorithm in ALGORITHMS.known:
    _add(app, _algorithm)
AlgorithmGroup.makers["deploy"] = partial(command_of, _add)
