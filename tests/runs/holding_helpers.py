"""Hold a run as its flow does, without a flow."""

from contextlib import AbstractContextManager

from hybridloop.descriptions import ALGORITHMS
from hybridloop.journal import Journal
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runs.claim import FoundRun, RunRequest, claim, find_run
from hybridloop.runs.recorded import limits_of
from hybridloop.settings import RunSettings


def hold(journal: Journal, request: RunRequest) -> AbstractContextManager[ClaimedRun]:
    """Hold the run of a request, new or resumed, for the block."""
    return hold_found(journal, find_run(journal, request), request)


def hold_found(journal: Journal, found: FoundRun, request: RunRequest) -> AbstractContextManager[ClaimedRun]:
    """Hold a run that was found for a request."""
    return claim(
        journal, found, limits=limits_of(settings_of(journal, found, request)), flow_run_id=request.flow_run_id
    )


def settings_of(journal: Journal, found: FoundRun, request: RunRequest) -> RunSettings:
    """Return the settings of a found run."""
    requested = ALGORITHMS[request.algorithm].settings.model_validate(request.stated["settings"])
    return found.settings_of(journal, requested)
