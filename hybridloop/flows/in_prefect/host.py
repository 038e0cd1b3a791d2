"""Prefect as the host of a run: the flow run around shows it, may cancel it, and limits how many run at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.errors import CapReached, InputError, ProgramError, RunBusy, RunCancelled, RunStopped
from hybridloop.flows.in_prefect.artifact import RunArtifact
from hybridloop.flows.in_prefect.completion import completed
from hybridloop.flows.in_prefect.concurrency_slots import session_slot
from hybridloop.flows.in_prefect.flow_run_events import label_flow_run, shown_in_flow_run
from hybridloop.flows.in_prefect.flow_run_labels import flow_run_labels
from hybridloop.flows.in_prefect.takeover import leave_state_after_takeover
from hybridloop.flows.in_prefect.watch import PrefectWatch, watch_flow_run
from hybridloop.flows.lifecycle.host import Ended, Host
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import HeldRun, ShownIn
from hybridloop.results.result import RunResult
from hybridloop.results.statuses import status_after
from hybridloop.runs.order import RunOrder
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.json_log import is_json
from hybridloop.runtime.messages import show_warnings
from hybridloop.tasks.prefect_tasks import run_round, session_of_flow, tasks_untagged
from hybridloop.tasks.session import OpenSession

REFUSALS = (InputError, ProgramError)
REFUSED = "Refused"  # name of the state of a flow run whose input was refused
HELD = "Held"  # of one whose run another process holds


class PrefectHost(Host):
    """The flow run around. A server that does not answer keeps neither the work nor its result."""

    def __init__(self) -> None:
        if is_json():  # else Prefect shows the log as its settings say
            show_warnings()
        self.id: str | None = flow_run.id
        self.log: logging.LoggerAdapter[logging.Logger] = get_run_logger()  # type: ignore[assignment]
        self.cancellation: PrefectWatch = PrefectWatch()
        self.order: RunOrder | None = None  # of its run, once it is known
        self._artifact: RunArtifact | None = None
        self._shown_in: ShownIn | None = None

    def labelled(self, order: RunOrder) -> RunOrder:
        """Return an order of this flow run, with the deployment and the sweep by which limits and reports find it."""
        return replace(order, flow_run_id=self.id, more={**order.more, **flow_run_labels()})

    @contextmanager
    def holding(self, journal: Journal, record: RunRecord, held: AbstractContextManager[HeldRun]) -> Iterator[HeldRun]:
        assert self.id is not None
        label_flow_run(journal, record)
        self._artifact = RunArtifact(record.key, record.uid, self.id)
        with (
            tasks_untagged(),
            shown_in_flow_run(record),
            held as run,
            leave_state_after_takeover(run),
            watch_flow_run(self.cancellation, self.id, partial(run.journal.request_stop, run.uid)),
        ):
            context = FlowRunContext.get()
            starts = 1 if context is None or context.flow_run is None else context.flow_run.run_count
            run.shown_in = self._shown_in = ShownIn(self.id, starts, self.cancellation.cancelled)
            yield run

    def slot(self, limit: str | None, run: HeldRun, workspace: Any) -> AbstractContextManager[None]:
        return session_slot(limit, run, workspace, self.cancellation)

    def session(self, block: AbstractContextManager[OpenSession]) -> AbstractContextManager[OpenSession]:
        return session_of_flow(block)

    def measure(self, session: OpenSession, pubs: Sequence[SamplerPub]) -> list[MeasuredPub]:
        measured: list[MeasuredPub] = run_round(session, pubs)
        return measured

    def show(self, result_so_far: Callable[[], RunResult]) -> None:
        if self._artifact is not None:
            self._artifact.update(result_so_far)

    def end(self, ended: Ended[Any]) -> Any:
        """Show the end in the flow run, which waits for Prefect's server; return what the flow returns to Prefect.

        A flow run of a run that was stopped or parked is Completed, so that no retry starts the run again; so is one
        whose input was refused, whose run another process holds, or which its caller ended by Ctrl-C: that is no
        failure of the run. Raises the error that fails the flow run.
        """
        crash_point("end.stored")
        result, error = ended.result, ended.error
        if ended.show is not None:
            return ended.show()
        if result is not None and self._artifact is not None:
            self._artifact.write(lambda: result)
        if error is None:
            is_cancelled = self._shown_in is not None and self._shown_in.cancelled
            return ended.returned if result is None else completed(result, is_cancelled=is_cancelled)
        if isinstance(error, KeyboardInterrupt):
            return Completed(name="Interrupted", message="its caller ended it by Ctrl-C")
        if isinstance(error, RunCancelled):
            return Cancelled(message=str(error))
        if isinstance(error, REFUSALS) and error.is_refusal:
            return Completed(name=REFUSED, message=str(error))
        if isinstance(error, RunBusy):
            return Completed(name=HELD, message=str(error))
        if isinstance(error, CapReached | RunStopped) and status_after(error) != "interrupted":
            return Completed(name=status_after(error).capitalize(), message=str(error))
        raise error
