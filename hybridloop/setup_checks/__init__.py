"""Checks of the set-up, for `hybridloop doctor`: what would make a run fail, and how to fix it; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from hybridloop.api.environment import resolve_workspace
from hybridloop.setup_checks.check_result import CheckResult, CheckStatus
from hybridloop.setup_checks.machine import check_packages, check_places, check_python, check_settings
from hybridloop.setup_checks.services import check_journal, check_prefect, check_stack, check_workspace

if TYPE_CHECKING:
    from hybridloop.setup_checks.live.report import LiveReport

__all__ = ["CheckResult", "CheckStatus", "doctor", "run_checks"]


@overload
def doctor(*, live: Literal[False] = False, workspace: str | None = None) -> list[CheckResult]: ...


@overload
def doctor(*, live: Literal[True], idle: bool = False, workspace: str | Any | None = None) -> LiveReport: ...


def doctor(
    *, live: bool = False, idle: bool = False, workspace: str | Any | None = None
) -> list[CheckResult] | LiveReport:
    """Check the set-up; with `live`, check on free targets what is assumed of the service, with at most 40 jobs.

    `workspace` is the name of a saved block; with `live` also an `azure.quantum.Workspace`. `idle` adds the time-out
    of a session, which takes twelve minutes. Raises HybridloopError if the workspace is unknown.
    """
    if not live:
        return list(run_checks(workspace=workspace))
    from hybridloop.setup_checks.live.all_checks import LiveChecks

    checks = LiveChecks(resolve_workspace(workspace), idle=idle)
    for _ in checks.findings():
        pass
    return checks.report()


def run_checks(environ: Mapping[str, str] = os.environ, *, workspace: str | None = None) -> Iterator[CheckResult]:
    """Yield the result of each check as soon as it is known; checks that need the network come last.

    `workspace` is the name of a saved block. It is read from the Prefect server, which is started if necessary.
    """
    yield check_python()
    yield check_packages()
    yield from check_places(environ)
    yield check_settings(environ)
    yield check_journal(environ)
    yield from check_stack(environ)
    yield check_prefect(environ)
    yield from check_workspace(environ, workspace)
