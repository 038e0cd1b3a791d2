"""Simulated latency: timelines of jobs, their statuses over time, and target status set by hand."""

from __future__ import annotations

import json
import math
import signal
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.clock import parse_time
from hybridloop.emulator.model.latency import JobTimeline, LatencyModel, LatencyProfile, load_latency_profiles
from hybridloop.emulator.model.targets import load_catalogue
from tests.conftest import Emulator, running_emulator
from tests.emulator.http_helpers import Caller, Reply, raw_call

TARGET = "rigetti.sim.qvm"
PROFILES = load_latency_profiles()


def test_exactly_the_targets_of_the_catalogue_have_a_latency_profile() -> None:
    assert set(PROFILES) == {target.id for _, target in load_catalogue().targets.values()}


@given(st.text(), st.integers(), st.floats(0, 1e9))
def test_the_same_seed_and_job_give_the_same_timeline_also_after_json(job: str, seed: int, accepted: float) -> None:
    timeline = LatencyModel(PROFILES, seed).draw_timeline(TARGET, job, accepted)
    assert timeline == LatencyModel(PROFILES, seed).draw_timeline(TARGET, job, accepted)
    assert JobTimeline.from_json(timeline.to_json()) == timeline


def test_timelines_are_log_normal_around_the_medians_with_one_factor_for_all_parts() -> None:
    latency, profile = LatencyModel(PROFILES, 0), PROFILES[TARGET]
    timelines = [latency.draw_timeline(TARGET, f"job-{i}", 0.0) for i in range(2001)]
    logs = [math.log(timeline.run_s / profile.run_s) for timeline in timelines]
    # the median of n normal draws deviates by 1.2533 σ/√n, their standard deviation by σ/√(2n): four times each
    assert abs(statistics.median(logs)) < 4 * 1.2533 * profile.spread / math.sqrt(2001)
    assert abs(statistics.stdev(logs) - profile.spread) < 4 * profile.spread / math.sqrt(4002)
    assert all(
        timeline.begins / profile.queue_s == pytest.approx(timeline.lag_s / profile.lag_s) for timeline in timelines
    )


def test_a_queue_override_replaces_the_profiles_queue_time_and_without_profiles_only_it_takes_time() -> None:
    for profiles, run_s in (({TARGET: LatencyProfile(queue_s=4.0, run_s=1.0)}, 1.0), ({}, 0.0)):
        latency = LatencyModel(profiles, 0)
        assert profiles or latency.draw_timeline(TARGET, "a", 5.0) == JobTimeline(5.0)
        latency.queue_overrides_s = {TARGET: 30.0}
        assert latency.draw_timeline(TARGET, "a", 5.0) == JobTimeline(35.0, run_s)


@pytest.fixture(scope="module")
def paced() -> Iterator[Caller]:
    with running_emulator("--clock", "virtual", "--latency", "recorded") as emulator:
        yield Caller(emulator)


def advance_to(caller: Caller, moment: float) -> None:
    """Advance time to shortly after the moment."""
    caller.emulator.advance(moment + 1e-3 - caller.emulator.admin("clock")["seconds"])


def job_document(caller: Caller, job: str) -> dict[str, Any]:
    document: dict[str, Any] = caller.call("GET", f"/jobs/{job}").json()
    return document


@pytest.mark.parametrize("target", [TARGET, "ionq.simulator", "quantinuum.sim.h2-1e"])
def test_a_job_shows_each_status_at_its_time(paced: Caller, target: str) -> None:
    session = paced.open_session(target)
    job = paced.submit(target=target, sessionId=session)
    accepted = parse_time(job_document(paced, job)["creationTime"])
    timeline = LatencyModel(PROFILES, 0).draw_timeline(target, job, accepted)
    finishes = timeline.begins + timeline.run_s
    states = []
    for moment in (accepted, timeline.begins, finishes, finishes + timeline.lag_s):
        advance_to(paced, moment)
        states.append(job_document(paced, job)["status"])
    assert states == ["Waiting", "Executing", "Finishing", "Succeeded"]
    document = job_document(paced, job)
    assert parse_time(document["beginExecutionTime"]) == pytest.approx(timeline.begins, abs=1e-5)
    assert parse_time(document["endExecutionTime"]) == pytest.approx(finishes, abs=1e-5)
    assert paced.session_status(session) == "Executing"
    assert paced.result(job)


def test_one_jump_over_a_jobs_whole_timeline_gives_the_correct_times(paced: Caller) -> None:
    session = paced.open_session()
    job = paced.submit(sessionId=session)
    accepted = parse_time(job_document(paced, job)["creationTime"])
    timeline = LatencyModel(PROFILES, 0).draw_timeline(TARGET, job, accepted)
    paced.emulator.advance(86_400)
    document = job_document(paced, job)
    assert document["status"] == "Succeeded"
    assert parse_time(document["endExecutionTime"]) == pytest.approx(timeline.begins + timeline.run_s, abs=1e-5)
    closed = paced.call("GET", f"/sessions/{session}").json()
    ended = timeline.begins + timeline.run_s + timeline.lag_s
    assert closed["status"] == "TimedOut"
    assert 600 <= parse_time(closed["endExecutionTime"]) - ended <= 720


def test_a_job_that_fails_at_once_or_is_cancelled_in_the_queue_does_not_block_time(paced: Caller) -> None:
    url = paced.call("POST", "/storage/sasUri", {"containerName": "job-without-input"}).json()["sasUri"]
    assert paced.call("PUT", "/jobs/without-input", paced.document(url)).status == 200
    cancelled = paced.submit()
    assert paced.call("POST", f"/jobs/{cancelled}:cancel").status == 204
    paced.emulator.advance(86_400)
    assert job_document(paced, "without-input")["status"] == "Failed"
    assert (job_document(paced, cancelled)["status"], job_document(paced, cancelled)["beginExecutionTime"]) == (
        "Cancelled",
        None,
    )


def test_a_queue_override_delays_jobs_and_survives_a_restart(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    first = start_emulator(state=tmp_path)
    assert first.admin("targets", {TARGET: {"queue_s": 3600, "availability": "Degraded"}})[TARGET] == {
        "availability": "Degraded",
        "queue_s": 3600,
    }
    job = Caller(first, "queue").submit()
    first.stop(signal.SIGKILL)

    second = start_emulator("--clock", "virtual", state=tmp_path)
    caller = Caller(second, "queue")
    assert provider_status(caller)[TARGET] == ("Degraded", 3600)
    second.advance(3500)
    assert job_document(caller, job)["status"] == "Waiting"
    second.advance(110)
    document = caller.ended(job)
    assert document["status"] == "Succeeded"
    waited = parse_time(document["beginExecutionTime"]) - parse_time(document["creationTime"])
    assert waited == pytest.approx(3600, abs=1e-3)


def test_a_job_computed_before_a_restart_ends_once_at_its_original_time(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    options = ("--clock", "virtual", "--latency", "recorded")
    first = Caller(start_emulator(*options, state=tmp_path), "finishing")
    session = first.open_session()
    job = first.submit(sessionId=session)
    accepted = parse_time(job_document(first, job)["creationTime"])
    timeline = LatencyModel(PROFILES, 0).draw_timeline(TARGET, job, accepted)
    advance_to(first, timeline.begins + timeline.run_s)
    finishing = job_document(first, job)
    assert (finishing["status"], finishing["costEstimate"]) == ("Finishing", None)
    first.emulator.stop(signal.SIGKILL)

    second = Caller(start_emulator(*options, state=tmp_path), "finishing")
    assert job_document(second, job)["status"] == "Finishing"
    second.emulator.advance(3600)
    document = job_document(second, job)
    assert document["status"] == "Succeeded"
    for name in ("beginExecutionTime", "endExecutionTime"):
        assert document[name] == finishing[name]
    assert second.emulator.admin("ledger")["jobs"] == 1
    assert second.call("POST", f"/sessions/{session}:close").json()["status"] in ("Succeeded", "TimedOut")


def test_a_queue_override_takes_its_time_on_the_real_clock_too(emulator: Emulator) -> None:
    caller = Caller(emulator)
    caller.emulator.admin("targets", {TARGET: {"queue_s": 0.2}})
    document = caller.ended(caller.submit())
    assert parse_time(document["beginExecutionTime"]) - parse_time(document["creationTime"]) >= 0.199


def test_an_unavailable_target_refuses_jobs_until_it_is_available(paced: Caller) -> None:
    target = "quantinuum.sim.h2-1sc"
    before = provider_status(paced)[target]
    paced.emulator.admin("targets", {target.upper(): {"availability": "Unavailable"}})
    try:
        assert provider_status(paced)[target] == ("Unavailable", before[1])
        url = paced.upload("while-down", b"")
        refusal = paced.call("PUT", "/jobs/while-down", paced.document(url, target=target))
        assert (refusal.status, refusal.json()["error"]["code"]) == (409, "TargetUnavailable")
    finally:
        paced.emulator.admin("targets", {target: None})
    assert provider_status(paced)[target] == before
    assert paced.call("PUT", "/jobs/while-down", paced.document(url, target=target)).status == 200


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"no.such.target": {}}, 404),
        ({TARGET: {"availability": "Fine"}}, 400),
        ({TARGET: {"queue_s": -1}}, 400),
        ({TARGET: {"queue_s": True}}, 400),
        ({TARGET: {"queue": 1}}, 400),
        ({TARGET: {"queue_s": 9.0}, "ionq.simulator": 5}, 400),
        ([], 400),
    ],
)
def test_an_invalid_target_status_is_refused_and_changes_nothing(paced: Caller, document: object, status: int) -> None:
    before = paced.emulator.admin("targets")
    assert post_targets(paced.emulator, document).status == status
    assert paced.emulator.admin("targets") == before


def post_targets(emulator: Emulator, document: object) -> Reply:
    headers = {"x-admin-key": emulator.admin_key}
    return raw_call(emulator.endpoint, "POST", "/_admin/targets", json.dumps(document).encode(), headers)


def provider_status(caller: Caller) -> dict[str, tuple[str, int]]:
    providers = caller.call("GET", "/providerStatus").json()["value"]
    return {
        target["id"]: (target["currentAvailability"], target["averageQueueTime"])
        for provider in providers
        for target in provider["targets"]
    }
