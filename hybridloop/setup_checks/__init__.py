"""Checks of the set-up, for `hybridloop doctor`: what would make a run fail, and how to fix it; nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hybridloop.setup_checks.check_result import CheckResult, CheckStatus
from hybridloop.setup_checks.machine import check_disk, check_folder, check_packages, check_python, check_settings
from hybridloop.setup_checks.services import check_journal, check_prefect, check_stack, check_workspace

__all__ = ["CheckResult", "CheckStatus", "run_checks"]


def run_checks(environ: Mapping[str, str] = os.environ, *, workspace: str | None = None) -> Iterator[CheckResult]:
    """Yield the result of each check as soon as it is known; checks that need the network come last.

    `workspace` is the name of a saved block. It is read from the Prefect server, which is started if necessary.
    """
    yield check_python()
    yield check_packages()
    yield check_folder(environ)
    yield check_disk(environ)
    yield check_settings(environ)
    yield check_journal(environ)
    yield from check_stack(environ)
    yield check_prefect(environ)
    yield from check_workspace(environ, workspace)
