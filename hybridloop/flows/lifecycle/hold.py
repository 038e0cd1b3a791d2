"""Hold a run in its flow run: its lease, the watch of its flow run, and what shows it in Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect.runtime import flow_run

from hybridloop.azure.targets import Target
from hybridloop.flows.in_prefect.flow_run_events import label_flow_run, shown_in_flow_run
from hybridloop.flows.lifecycle.begin import in_flow_run
from hybridloop.flows.lifecycle.prefect_watch import PrefectWatch, watch_flow_run
from hybridloop.flows.lifecycle.takeover import leave_state_after_takeover
from hybridloop.journal import Journal
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runs.claim import FoundRun, claim
from hybridloop.runs.recorded import limits_of
from hybridloop.settings import RunSettings


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that this process works on: claimed, in the SDK's `workspace`, on a target, and watched in Prefect."""

    run: ClaimedRun
    workspace: Any
    target: Target
    settings: RunSettings
    watch: PrefectWatch


@contextmanager
def hold(journal: Journal, found: FoundRun, workspace: Any, target: Target, settings: RunSettings) -> Iterator[HeldRun]:
    """Hold a run for the block, which is in its flow run: see `claim`."""
    found = in_flow_run(found, flow_run.id)
    label_flow_run(found.run)
    with (
        shown_in_flow_run(found.run),
        claim(journal, found, limits=limits_of(settings), flow_run_id=flow_run.id) as run,
        leave_state_after_takeover(run),
        watch_flow_run(flow_run.id, partial(journal.request_stop, run.uid)) as watch,
    ):
        yield HeldRun(run, workspace, target, settings, watch)
