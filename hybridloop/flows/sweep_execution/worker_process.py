"""A process that runs points of a sweep one after the other, as a pool hands them to it: a line each, and one back.

Each point is a flow run and a run of its own, with its own session. What is imported is imported once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from prefect import tags
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from hybridloop.azure.workspace import connect_from_environment
from hybridloop.blocks import load_workspace
from hybridloop.errors import (
    AccessDenied,
    CapReached,
    HybridloopError,
    InputError,
    ProgramError,
    ReplayDiverged,
    RunCancelled,
    ServiceRefused,
)
from hybridloop.flows.lifecycle.caller_context import CallerContext, caller_context
from hybridloop.flows.registry import FLOWS
from hybridloop.settings import SETTINGS, ProblemText

FOR_GOOD = (InputError, ReplayDiverged, ProgramError, AccessDenied, ServiceRefused, CapReached)
"""What another attempt would meet again."""


def main() -> None:
    """Serve until there are no more orders."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        greeting = json.loads(sys.stdin.buffer.readline())
        heartbeat = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: greeting["heartbeat_s"]}
        with temporary_settings(heartbeat), SyncClientContext.get_or_create():  # one client of Prefect for all points
            _serve(sys.stdin.buffer, answers, greeting["tag"], greeting["workspace"])


def _serve(orders: IO[bytes], answers: IO[bytes], tag: str, saved: str | None) -> None:
    workspace = connect_from_environment() if saved is None else load_workspace(saved)
    while order := orders.readline():
        with caller_context(CallerContext(workspace)) as caller, tags(tag):
            answer = _answer(json.loads(order), saved, caller)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _answer(order: Mapping[str, Any], saved: str | None, caller: CallerContext) -> dict[str, Any]:
    algorithm = order["algorithm"]
    try:
        FLOWS[algorithm](
            ProblemText.model_validate(order["problem"]),
            SETTINGS[algorithm].model_validate(order["settings"]),
            order["run_key"],
            saved,
        )
    except HybridloopError as error:
        return {"trouble": str(error), "again": not isinstance(error, FOR_GOOD)}
    except Exception as error:  # Prefect's own, a library's: it is this point's, and the next one may fare better
        if isinstance(caller.end, RunCancelled):
            return {"trouble": str(caller.end)}
        if caller.end is not None:  # Prefect could not store the end of a run that is complete
            return {}
        return {"trouble": f"{type(error).__name__}: {error}", "again": True}
    return {}


if __name__ == "__main__":
    main()
