"""Record of a run whose input was refused on a worker: without it, a night in which nothing ran would be silent."""

from __future__ import annotations

from hybridloop.errors import HybridloopError
from hybridloop.flows.lifecycle.host import Host
from hybridloop.journal import open_journal
from hybridloop.journal.held_run import hold_run
from hybridloop.runs.hold import refuse
from hybridloop.runs.order import RunOrder
from hybridloop.runs.run import describe_run


def record_refusal(order: RunOrder, error: HybridloopError, host: Host) -> None:
    """Record the run of an order in its host, unless it has been recorded; a failure to do so is only a warning."""
    try:
        with open_journal() as journal:
            new = describe_run(order).record
            if journal.run_by_key(new.key) or (order.flow_run_id and journal.run_by_flow_run(order.flow_run_id)):
                return
            record = journal.add_run(new)
            with host.holding(journal, record, hold_run(journal, record.uid)) as run:
                refuse(run, str(error))
    except HybridloopError as failure:
        host.log.warning("the journal could not store that the run was refused: %s", failure)
