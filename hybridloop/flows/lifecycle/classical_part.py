"""Classical part of a run: what follows its last round, without a session, under the run's lease and deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hybridloop.algorithms.problems.interruption import interrupted_by
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import CapReached, RunCancelled, StopRequested
from hybridloop.flows.lifecycle.host import Cancellation
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.held_run import HeldRun
from hybridloop.journal.revisions import MAIN_STREAM
from hybridloop.results.live import STEP_LOST

LOST = f"{STEP_LOST.capitalize()}."


def is_classical_alone(journal: Journal, record: RunRecord | None) -> bool:
    """Return True if the journal has all rounds of a run, so that its process needs no session and no target."""
    if record is None or not (count := ALGORITHMS[record.algorithm].sampling_rounds):
        return False
    rounds = [journal.round(record.uid, MAIN_STREAM, number) for number in range(count)]
    return all(round_ is not None and round_.complete for round_ in rounds)


@contextmanager
def stops_in_classical_part(
    run: HeldRun, cancellation: Cancellation, check_deadline: Callable[[], None]
) -> Iterator[Callable[[], None]]:
    """Yield a check for the block, to be called between pieces of work: it raises if the run is to stop.

    It ends a diagonalization of this process within the time of one product with the Hamiltonian.
    It raises StopRequested, RunCancelled for a cancellation by the host, LeaseLost if another
    process took over the run, and what `check_deadline` raises.
    """

    def check() -> None:
        if run.lease_error is not None:
            raise run.lease_error
        if cancellation.cancelled.is_set():
            raise RunCancelled(0, LOST)
        if run.stop_requested.is_set():
            raise StopRequested(0, LOST)
        try:
            check_deadline()
        except CapReached as error:
            raise CapReached(error.cap, error.state, f"{LOST} {error.remedy}", error.larger_cap) from error

    with interrupted_by(check):
        yield check
