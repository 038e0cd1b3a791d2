"""Hold a run as its flow does, without a flow."""

from contextlib import AbstractContextManager

from hybridloop.journal import Journal
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runs.holding import start_or_resume
from hybridloop.runs.lookup import RunLookup, RunRequest, find_run, limits_of


def hold(journal: Journal, request: RunRequest) -> AbstractContextManager[ClaimedRun]:
    """Hold the run of a request, new or resumed, for the block."""
    return hold_found(journal, find_run(journal, request), request.flow_run_id)


def hold_found(
    journal: Journal, lookup: RunLookup, flow_run_id: str | None = None
) -> AbstractContextManager[ClaimedRun]:
    """Hold a run that was looked up for the block."""
    return start_or_resume(journal, lookup.run, limits_of(lookup.settings), flow_run_id)
