"""Hold a run as its flow does, without a flow."""

from contextlib import AbstractContextManager

from hybridloop.journal import Journal
from hybridloop.journal.held_run import HeldRun
from hybridloop.runs.hold import hold as hold_run
from hybridloop.runs.order import RunOrder
from hybridloop.runs.recorded import limits_of
from hybridloop.runs.run import Run, find_run


def hold(journal: Journal, order: RunOrder) -> AbstractContextManager[HeldRun]:
    """Hold the run of an order, new or resumed, for the block."""
    return hold_found(journal, find_run(journal, order))


def hold_found(journal: Journal, found: Run) -> AbstractContextManager[HeldRun]:
    """Hold a run that was found."""
    return hold_run(journal, found, limits=limits_of(found.settings), flow_run_id=found.order.flow_run_id)
