"""Worker process of a sweep: runs the points that a pool sends, one after the other; a JSON line each way.

Each point is a flow run with its own run and session. Imports are paid once per process. If the pool's process dies,
this one ends as by SIGTERM: a point at work closes its session.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from select import select
from typing import Any

from httpx import HTTPError
from prefect import tags
from prefect.context import SyncClientContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from hybridloop.azure.workspace import connect_from_environment
from hybridloop.blocks import load_workspace
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import (
    AccessDenied,
    CapReached,
    HybridloopError,
    InputError,
    JournalError,
    JournalGone,
    ProgramError,
    ReplayDiverged,
    RunCancelled,
    ServiceRefused,
)
from hybridloop.flows.in_prefect.algorithm_run import run_order
from hybridloop.runs.order import algorithm_order
from hybridloop.settings import ProblemText

# errors that another attempt would meet again
PERMANENT = (InputError, ReplayDiverged, ProgramError, AccessDenied, ServiceRefused, CapReached, JournalGone)
_LOOK_S = 0.2  # between looks at the pool's process: a process that it forked may keep the pipe open after its end
_HURRY_S = 1.0


def main() -> None:
    """Serve points until standard input or the pool's process, whose id is the argument, ends."""
    logging.raiseExceptions = False  # as the command line has it
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(int(sys.argv[1]), lines), name="hybridloop-points", daemon=True)
    reader.start()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's output must not mix with the answers
        configuration = json.loads(lines.get())
        block, given = configuration["workspace"], configuration["tags"]
        heartbeat = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: configuration["heartbeat_s"]}
        with temporary_settings(heartbeat), SyncClientContext.get_or_create():  # one Prefect client for all points
            workspace = connect_from_environment() if block is None else load_workspace(block)
            while line := lines.get():
                with tags(*given):
                    answer = _run(json.loads(line), block, workspace)
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()


def _read(pool: int, lines: queue.SimpleQueue[bytes]) -> None:
    """Pass on the lines of standard input, and an empty one at its end; end the process when the pool's has died."""
    rest, is_open = b"", True
    while os.getppid() == pool:
        if not is_open:
            time.sleep(_LOOK_S)
        elif select([0], [], [], _LOOK_S)[0]:
            data = os.read(0, 1 << 16)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                lines.put(line)
            is_open = bool(data)
            if not is_open:  # the pool is being closed: it sends SIGTERM itself where a point is at work
                lines.put(b"")
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    for _ in range(2):  # a second signal skips the wait for the round in flight: a resume reads its results
        signal.pthread_kill(main_thread, signal.SIGTERM)  # a signal to another thread would not end this one's wait
        time.sleep(_HURRY_S)


def _run(point: Mapping[str, Any], block: str | None, workspace: Any) -> dict[str, Any]:
    algorithm = point["algorithm"]
    problem = ProblemText.model_validate(point["problem"])
    settings = ALGORITHMS[algorithm].settings.model_validate(point["settings"])
    try:
        run_order(algorithm_order(algorithm, problem, settings, point["run_key"]), workspace, block)
    except RunCancelled as error:
        return {"trouble": str(error)}
    except HybridloopError as error:
        is_outage = isinstance(error, JournalError) and error.is_outage  # of others the journal has a record
        return {"trouble": str(error), "again": not isinstance(error, PERMANENT), "is_own": not is_outage}
    except Exception as error:  # of Prefect or another library: it ends this point, and the next one may run
        is_outage = isinstance(error, HTTPError)
        return {"trouble": f"{type(error).__name__}: {error}", "again": True, "is_own": not is_outage}
    return {}
