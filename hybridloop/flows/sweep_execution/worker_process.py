"""Worker process of a sweep: runs the points that a pool sends, one after the other; a JSON line each way.

Each point is a flow run with its own run and session. Imports are paid once per process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

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
from hybridloop.flows import load_flow
from hybridloop.flows.lifecycle.caller_context import CallerContext, caller_context
from hybridloop.settings import SETTINGS, ProblemText

# errors that another attempt would meet again
PERMANENT = (InputError, ReplayDiverged, ProgramError, AccessDenied, ServiceRefused, CapReached)


def main() -> None:
    """Serve points until standard input ends."""
    points = sys.stdin.buffer
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's output must not mix with the answers
        configuration = json.loads(points.readline())
        block, tag = configuration["workspace"], configuration["tag"]
        heartbeat = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: configuration["heartbeat_s"]}
        with temporary_settings(heartbeat), SyncClientContext.get_or_create():  # one Prefect client for all points
            workspace = connect_from_environment() if block is None else load_workspace(block)
            while line := points.readline():
                with caller_context(CallerContext(workspace)) as caller, tags(tag):
                    answer = _run(json.loads(line), block, caller)
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()


def _run(point: Mapping[str, Any], block: str | None, caller: CallerContext) -> dict[str, Any]:
    algorithm = point["algorithm"]
    try:
        load_flow(algorithm)(
            ProblemText.model_validate(point["problem"]),
            SETTINGS[algorithm].model_validate(point["settings"]),
            point["run_key"],
            block,
        )
    except HybridloopError as error:
        return {"trouble": str(error), "again": not isinstance(error, PERMANENT)}
    except Exception as error:  # of Prefect or another library: it ends this point, and the next one may run
        if isinstance(caller.end, RunCancelled):
            return {"trouble": str(caller.end)}
        if caller.end is not None:  # Prefect could not store the end of a finished run
            return {}
        return {"trouble": f"{type(error).__name__}: {error}", "again": True}
    return {}
