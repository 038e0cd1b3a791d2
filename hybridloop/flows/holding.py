"""The session of a run in its flow run: what is waited for before it is opened, and what ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.runtime import flow_run

from hybridloop.flows.cancelling import cancelled_in_prefect
from hybridloop.flows.outages import wait_for_target
from hybridloop.flows.runs import session_of_run
from hybridloop.flows.settings import RunSettings
from hybridloop.flows.slots import session_slot
from hybridloop.sessions.run import ClaimedRun
from hybridloop.sessions.session import OpenSession
from hybridloop.tasks.session import session_of_flow


@contextmanager
def held_session(
    workspace: Any, settings: RunSettings, run: ClaimedRun, cancelled: threading.Event, *, is_there: bool
) -> Iterator[OpenSession]:
    """Hold the run's session for the block, which a cancel in Prefect stops, setting the event.

    It is opened once its target takes jobs (`is_there`: it does already) and there is a slot for it. Raises as
    `wait_for_target`, `session_slot` and `open_session` do.
    """
    if not is_there:
        wait_for_target(workspace, settings, run, cancelled)
    with (
        session_slot(settings.session_slots, run, workspace, cancelled),
        session_of_flow(settings.target, session_of_run(workspace, settings, run)) as session,
        cancelled_in_prefect(flow_run.id, cancelled, session.stop),
    ):
        yield session
