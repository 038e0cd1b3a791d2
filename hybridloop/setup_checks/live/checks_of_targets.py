"""Checks of Rigetti's and Quantinuum's free targets, of the workspace's lists, and of the rate of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from hybridloop.azure.targets import known_targets
from hybridloop.azure.transport import FailureKind, RequestFailed, Transport
from hybridloop.azure.workspace import connect, connection_string_of
from hybridloop.errors import InputError
from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import QUANTINUUM, RIGETTI, LiveService, refusal

Found = Iterator[tuple[str, str]]
CALLS = 200


def check_rigetti(service: LiveService) -> Found:
    """Parameter sets of a Quil job, its options, and the number of qubits."""
    session_id = str(service.open_session(RIGETTI, "Continue")["id"])
    flip, none = programs.HALF_TURN, 0.0
    job = quil(service, session_id, inputParams=programs.rows([none, flip, none], 5))
    bits = [shot[0] for shot in service.result(job)["ro"]]
    yield "rows-count", f"{len(bits)} results"
    yield "rows-order", "in order" if bits == [0] * 5 + [1] * 5 + [0] * 5 else f"{bits}"
    listed = next((item for item in service.jobs(session_id) if item["id"] == job["id"]), {})
    is_listed = "substitutions" in (listed.get("inputParams") or {})
    yield "rows-listed", "listed" if is_listed else "left out"
    equal = quil(service, session_id, inputParams=programs.rows([flip / 2] * 2, 100))
    drawn = [shot[0] for shot in service.result(equal)["ro"]]
    yield "rows-independent", "independent" if drawn[:100] != drawn[100:] else "equal"
    large = programs.rows([0.001 * row for row in range(500)], 1)
    yield (
        "rows-large",
        service.outcome_of_job(programs.QUIL, RIGETTI, session_id, **programs.QUIL_FORMATS, inputParams=large),
    )
    skipping = programs.rows([flip], 5, skipQuilc=True)
    yield (
        "option-skip-quilc",
        service.outcome_of_job(programs.QUIL, RIGETTI, session_id, **programs.QUIL_FORMATS, inputParams=skipping),
    )
    wide = {**programs.QUIL_FORMATS, "inputParams": {"shots": 1}}
    outcome = service.outcome_of_job(programs.quil_of(30), RIGETTI, session_id, **wide)
    yield "rigetti-qubits", outcome.partition(" ")[0]
    service.close_session(session_id)


def quil(service: LiveService, session_id: str, **more: Any) -> dict[str, Any]:
    """Run the program with one parameter and return its job."""
    return service.ended(service.submit(programs.QUIL, RIGETTI, session_id, **programs.QUIL_FORMATS, **more))


def check_quantinuum(service: LiveService) -> Found:
    """A program with a branch, and an option of the compiler, on a syntax checker."""
    session_id = str(service.open_session(QUANTINUUM, "Continue")["id"])
    yield "program-adaptive", service.outcome_of_job(programs.branched(), QUANTINUUM, session_id)
    params = {"inputParams": {"shots": 10, "tket-opt-level": 1}}
    yield "option-tket", service.outcome_of_job(programs.rotated("Adaptive_RI"), QUANTINUUM, session_id, **params)
    service.close_session(session_id)


def check_workspace(service: LiveService) -> Found:
    """Targets and quotas of the workspace."""
    page = service.call("GET", "/providerStatus")
    targets = [target for provider in page["value"] for target in provider.get("targets") or ()]
    ours = known_targets()
    providers = tuple({f"{target.provider}." for target in ours.values()})
    unknown = sorted(t["id"] for t in targets if t["id"].startswith(providers) and t["id"].lower() not in ours)
    yield "targets-known", f"unknown: {', '.join(unknown)}" if unknown else "all known"
    is_stated = all({"currentAvailability", "averageQueueTime"} <= target.keys() for target in targets)
    yield "targets-status", "stated" if targets and is_stated else "left out"
    yield "quotas", service.outcome(lambda: service.call("GET", "/quotas")["value"])
    yield "wrong-key", wrong_key(service)


def wrong_key(service: LiveService) -> str:
    """Read with a key that is none."""
    try:
        connection = connection_string_of(service.workspace)
    except InputError:
        return "not tried with an identity"
    other = Transport(connect(re.sub("(?i)(?<=ApiKey=)[^;]+", "0" * 44, connection)))
    with closing(other):
        return service.outcome(lambda: other.call("GET", "/quotas")).partition(" ")[0]


def check_calls(service: LiveService) -> Found:
    """Read the quotas until a request is throttled, at most `CALLS` times."""
    began = service.clock.now()
    for number in range(CALLS):
        try:
            service.transport.call("GET", "/quotas")
        except RequestFailed as failure:
            if failure.kind is not FailureKind.BUSY:
                raise
            rate = number / max(service.clock.now() - began, 1e-3)
            yield "calls", f"{refusal(failure)} after {number} calls, {rate:.3g} a second"
            yield "calls-retry-after", "not stated" if failure.retry_after is None else "stated"
            return
    yield "calls", f"{CALLS} answered"
    yield "calls-retry-after", "no 429"
