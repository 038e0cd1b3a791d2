"""Checks of Rigetti's and Quantinuum's free targets, of the workspace's lists, and of the rate of calls."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

from hybridloop.azure.transport import TRANSIENT, RequestFailed, Transport
from hybridloop.azure.workspace import connect, connection_string_of
from hybridloop.errors import InputError
from hybridloop.runtime.waits import RETRY_AFTER_CAP_S
from hybridloop.setup_checks.live import programs
from hybridloop.setup_checks.live.service import (
    QUANTINUUM,
    RIGETTI,
    Found,
    LiveService,
    NotShown,
    unanswered,
    unknown,
)
from hybridloop.targets import known_targets
from hybridloop.targets.provider_options import provider_params

CALLS = 200
FEW = 10  # of these calls may fail: others may use the workspace at the same time
_BREATH_S = 1.0


def check_rigetti(service: LiveService) -> Found:
    """Parameter sets of a Quil job, its options, and the number of qubits."""
    session_id = str(service.open_session(RIGETTI, "Continue")["id"])
    flip, none = programs.HALF_TURN, 0.0
    job = quil(service, session_id, programs.rows([none, flip, none], 5))
    bits = [shot[0] for shot in service.result(job)["ro"]]
    yield "rows-count", f"{len(bits)} results"
    in_order = "in order" if bits == [0] * 5 + [1] * 5 + [0] * 5 else f"{bits}"
    yield "rows-order", in_order if len(bits) == 15 else unknown("the number of results is another")
    yield "rows-listed", lambda: listed_rows(service, session_id, job["id"])
    yield "rows-independent", lambda: compared_rows(service, session_id)

    def run(program: bytes, params: dict[str, Any]) -> str:
        return service.outcome_of_job(program, RIGETTI, session_id, **programs.QUIL_FORMATS, inputParams=params)

    yield "rows-large", lambda: run(programs.quil_with(programs.MANY), programs.many_rows())
    yield "option-skip-quilc", lambda: run(programs.QUIL, programs.rows([flip], 5, skipQuilc=True))
    yield "rigetti-21-qubits", lambda: run(programs.quil_of(21), {"shots": 1})
    yield "rigetti-qubits", lambda: run(programs.quil_of(31), {"shots": 1}).partition(" ")[0]
    service.close_session(session_id)


def quil(service: LiveService, session_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """Run the program with one parameter and return its job."""
    job = service.run(programs.QUIL, RIGETTI, session_id, **programs.QUIL_FORMATS, inputParams=params)
    return service.succeeded(job)


def listed_rows(service: LiveService, session_id: str, job_id: str) -> str:
    """Return if the list of jobs has a job's parameter sets."""
    listed = next((item for item in service.jobs(session_id) if item["id"] == job_id), {})
    return "listed" if "substitutions" in (listed.get("inputParams") or {}) else "left out"


def compared_rows(service: LiveService, session_id: str) -> str:
    """Draw two equal rows of 100 shots."""
    job = quil(service, session_id, programs.rows([programs.HALF_TURN / 2] * 2, 100))
    drawn = [shot[0] for shot in service.result(job)["ro"]]
    return "independent" if drawn[:100] != drawn[100:] else "equal"


def check_quantinuum(service: LiveService) -> Found:
    """A program with a branch, options of the compiler, and a folded circuit, on a syntax checker."""
    session_id = str(service.open_session(QUANTINUUM, "Continue")["id"])

    def run(program: bytes, **params: Any) -> str:
        return service.outcome_of_job(program, QUANTINUUM, session_id, **params)

    yield "program-adaptive", lambda: run(programs.branched())
    params = {"inputParams": {"shots": 10, "tket-opt-level": 1}}
    yield "option-tket", lambda: run(programs.rotated("Adaptive_RI"), **params)
    native = {"inputParams": {"shots": 10, "nativetq": "Rxxyyzz", "noreduce": True}}
    yield "option-native", lambda: run(programs.rotated("Adaptive_RI"), **native)
    keeping = {"shots": 10} | provider_params(known_targets()[QUANTINUUM], debias=True, keeps_gates=True)
    yield "option-tket-folded", lambda: run(programs.folded("Adaptive_RI"), inputParams=keeping)
    service.close_session(session_id)


def check_workspace(service: LiveService) -> Found:
    """Targets and quotas of the workspace."""
    page = service.call("GET", "/providerStatus")
    targets = [target for provider in page["value"] for target in provider.get("targets") or ()]
    ours = known_targets()
    providers = tuple({f"{target.provider}." for target in ours.values()})
    others = sorted(t["id"] for t in targets if t["id"].startswith(providers) and t["id"].lower() not in ours)
    yield "targets-known", f"unknown: {', '.join(others)}" if others else "all known"
    stated = ("currentAvailability", "averageQueueTime")
    is_stated = all(target.get(field) is not None for target in targets for field in stated)
    yield "targets-status", "stated" if targets and is_stated else "left out"
    yield "quotas", lambda: service.outcome(lambda: service.call("GET", "/quotas")["value"])
    yield "wrong-key", lambda: wrong_key(service)


def wrong_key(service: LiveService) -> str:
    """Read with a key that is none."""
    try:
        connection = connection_string_of(service.workspace)
    except InputError:
        return "not tried with an identity"
    other = Transport(connect(re.sub("(?i)(?<=ApiKey=)[^;]+", "0" * 44, connection)))
    with closing(other):
        return service.outcome(lambda: service.blob(lambda: other.call("GET", "/quotas"))).partition(" ")[0]


def check_calls(service: LiveService) -> Found:
    """Read the quotas `CALLS` times; the checks end when more than a few calls were throttled."""
    began = service.clock.now()
    throttled, unanswered_calls = list[RequestFailed](), 0
    for number in range(CALLS):
        try:
            service.transport.call("GET", "/quotas")
        except RequestFailed as failure:
            if failure.status == 429:
                throttled.append(failure)
            elif failure.kind not in TRANSIENT:
                raise
            elif (unanswered_calls := unanswered_calls + 1) > FEW:
                raise NotShown(unanswered(failure)) from failure
            if len(throttled) > FEW:
                rate = number / max(service.clock.now() - began, 1e-3)
                yield "calls", f"{len(throttled)} of {number + 1} were throttled, at {rate:.1g} a second"
                break
            service.pause(min(failure.retry_after or _BREATH_S, RETRY_AFTER_CAP_S))
    else:
        yield "calls", f"{CALLS} answered"
    is_stated = all(failure.retry_after is not None for failure in throttled)
    yield "calls-retry-after", ("stated" if is_stated else "not stated") if throttled else "no 429"
