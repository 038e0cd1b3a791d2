"""Housekeeping beside a worker: a process of its own, so that it never waits behind the runs that it rescues.

It looks after dead runs every twenty seconds, for one work pool and the journal of its workers; of several workers one
does. It is no flow run, since it must work without Prefect's server, too.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.exceptions import PrefectException

from hybridloop.errors import HybridloopError, InputError
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.flows.lifecycle.workspace import find_workspace
from hybridloop.flows.rescue.dead_flow_runs import SETTLE_S, mark_dead_flow_runs, seconds_to_settle
from hybridloop.flows.rescue.resume import alone, give_to_deployment, resumable_runs, resume_here
from hybridloop.flows.rescue.waiting import tell_waiting
from hybridloop.journal import Journal, RunRecord, open_journal
from hybridloop.journal.held_run import held_name
from hybridloop.runtime.json_log import is_json
from hybridloop.runtime.lifeline import end_with_parent
from hybridloop.runtime.messages import EscapedFormatter, show_warnings
from hybridloop.runtime.signals import exit_on_sigterm
from hybridloop.runtime.waits import HOUSEKEEPING_REQUEST_S
from hybridloop.tasks.orphans import close_orphaned_sessions
from hybridloop.tasks.prefect_tasks import TAG

EVERY_S = 20.0  # a lease lasts 60 s: within two minutes of a death the session is closed, and the run is in line
PARKED_EVERY_S = 180.0  # for what asks the service about each job: runs that are parked
AT_ONCE = 4  # runs without a deployment that it resumes, in a process each
_RESUME = "from hybridloop.flows.rescue.housekeeper import resume; resume()"
_PAGE = 200

_log = logging.getLogger("hybridloop.housekeeping")


class Housekeeper:
    """Housekeeping of one work pool; `environ` is that of the processes in which it resumes runs."""

    def __init__(self, journal: Journal, pool: str, environ: Mapping[str, str] = os.environ) -> None:
        self._journal, self._pool, self._environ = journal, pool, environ
        self._resuming: dict[str, subprocess.Popen[bytes]] = {}
        self._said: dict[str, str] = {}
        self._next_parked = 0.0
        self._blocks: set[str | None] = {None}

    def look(self) -> None:
        """Do what is due now; what fails is tried again the next time, and said once."""
        is_parked_due = time.monotonic() >= self._next_parked
        if is_parked_due:
            self._next_parked = time.monotonic() + PARKED_EVERY_S
        marked: dict[str, str] = {}
        try:
            with client_without_retries(timeout_s=HOUSEKEEPING_REQUEST_S) as client:
                marked = mark_dead_flow_runs(self._journal, client, now=time.time(), pool=self._pool)
                if is_parked_due:
                    self._blocks = {None, *_workspaces_of(client, self._pool)}
                    self._say("runs that wait", tell_waiting(client, self._pool) or "")
            self._say("Prefect's server", "")
        except (HTTPError, PrefectException, RuntimeError) as error:
            self._say("Prefect's server", f"it fails: {error}")
        for key, state in marked.items():
            self._say(f"the flow run of {key}", state)
        for block, workspace in self._workspaces():
            try:
                self._rescue(block, workspace, marked, is_parked_due=is_parked_due)
                self._say(f"workspace {block or 'of the environment'}", "")
            except (HybridloopError, HTTPError, PrefectException, RuntimeError) as error:
                self._say(f"workspace {block or 'of the environment'}", str(error))

    def _rescue(self, block: str | None, workspace: Any, marked: Mapping[str, str], *, is_parked_due: bool) -> None:
        for closed in close_orphaned_sessions(self._journal, workspace):
            self._say(f"session {closed.session} of run {closed.run_key}", closed.done)
        for record in resumable_runs(self._journal, workspace, parked=is_parked_due):
            process = self._resuming.get(record.uid)
            if process is not None and process.poll() is None:
                continue
            with client_without_retries(timeout_s=HOUSEKEEPING_REQUEST_S) as client:
                if record.key not in marked and seconds_to_settle(self._journal, client, record, SETTLE_S):
                    continue
                outcome = give_to_deployment(self._journal, client, record)
            self._say(f"run {record.key}", outcome or self._resume(record, block))

    def _resume(self, record: RunRecord, block: str | None) -> str:
        self._resuming = {uid: each for uid, each in self._resuming.items() if each.poll() is None}
        if len(self._resuming) >= AT_ONCE:
            return f"left: {AT_ONCE} runs are resumed here at once"
        command = [sys.executable, "-c", _RESUME, record.key, *([] if block is None else [block])]
        self._resuming[record.uid] = subprocess.Popen(command, env=dict(self._environ), stdin=subprocess.DEVNULL)
        return "resumed here"

    def _workspaces(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the workspace of the environment, if it has one, and those that the pool's deployments name."""
        for block in sorted(self._blocks, key=str):
            try:
                yield block, find_workspace(block)
            except InputError as error:
                if block is not None or len(self._blocks) == 1:
                    self._say("workspace", str(error))

    def _say(self, subject: str, text: str) -> None:
        if self._said.get(subject, "") != text:
            self._said[subject] = text
            if text:
                _log.warning("%s: %s", subject, text)


def _workspaces_of(client: SyncPrefectClient, pool: str) -> set[str]:
    """Return the saved workspaces that deployments of the pool name."""
    found = client.read_deployments(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        limit=_PAGE,
    )
    names = (each.parameters.get("workspace") for each in found)
    return {name for name in names if isinstance(name, str)}


def main() -> None:
    """Keep house for the pool that the argument names, until the worker beside ends."""
    end_with_parent()
    if is_json():
        show_warnings()
    else:
        lines = logging.StreamHandler()
        lines.setFormatter(EscapedFormatter("%(asctime)s | %(levelname)-7s | housekeeping - %(message)s", "%H:%M:%S"))
        logging.basicConfig(handlers=[lines])
    pool, pause, said = sys.argv[1], threading.Event(), ""
    while True:
        try:
            with open_journal() as journal, held_name(journal, f"housekeeping {pool}") as is_held:
                housekeeper = Housekeeper(journal, pool)
                while is_held:
                    with alone(journal):
                        housekeeper.look()
                    pause.wait(EVERY_S)
        except HybridloopError as error:  # the journal is away
            if str(error) != said:
                said = str(error)
                _log.warning("%s", said)
        pause.wait(EVERY_S)  # another worker's process does it, or the journal is away


def resume() -> None:
    """Resume the run whose key is the argument, in the workspace of the block that a second one names."""
    _, key, *blocks = sys.argv
    block = blocks[0] if blocks else None
    show_warnings()
    with exit_on_sigterm(), open_journal() as journal:
        try:
            resume_here(journal, journal.run(key), block, find_workspace(block))
        except HybridloopError as error:
            _log.warning("run %s was not resumed: %s", key, error)
