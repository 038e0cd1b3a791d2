"""Looks the set-up over: what would keep a run from succeeding, and how to mend it. Starts and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hybridloop.checkup.finding import Finding, State
from hybridloop.checkup.machine import disk, folder, packages, python, settings
from hybridloop.checkup.parts import journal, prefect, stack
from hybridloop.checkup.service import service

__all__ = ["Finding", "State", "findings"]


def findings(environ: Mapping[str, str] = os.environ, *, workspace: str | None = None) -> Iterator[Finding]:
    """What is found, each as soon as it is known; what asks somebody else comes last.

    `workspace` is the name of a saved block, for which Prefect's server is asked, and started if need be.
    """
    yield python()
    yield packages()
    yield folder(environ)
    yield disk(environ)
    yield settings(environ)
    yield journal(environ)
    yield from stack(environ)
    yield prefect(environ)
    yield from service(environ, workspace)
