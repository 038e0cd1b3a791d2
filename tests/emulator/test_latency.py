"""Jobs take their time where that is asked for, and show each state at its moment; targets have bad days."""

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

from hybridloop.emulator.clock import moment_of
from hybridloop.emulator.latency import Course, Latency, Profile, recorded_profiles
from hybridloop.emulator.targets import load_catalogue
from tests.conftest import Emulator, running_emulator
from tests.emulator.calls import Caller, Reply, raw_call

TARGET = "rigetti.sim.qvm"
PROFILES = recorded_profiles()


def test_every_target_has_a_profile_and_no_other() -> None:
    assert set(PROFILES) == {target.id for _, target in load_catalogue().targets.values()}


@given(st.text(), st.integers(), st.floats(0, 1e9))
def test_the_same_seed_and_job_give_the_same_course_however_it_is_kept(job: str, seed: int, accepted: float) -> None:
    course = Latency(PROFILES, seed).course_of(TARGET, job, accepted)
    assert course == Latency(PROFILES, seed).course_of(TARGET, job, accepted)
    assert Course.from_json(course.to_json()) == course


def test_courses_spread_around_the_medians_all_parts_by_one_factor() -> None:
    latency, profile = Latency(PROFILES, 0), PROFILES[TARGET]
    courses = [latency.course_of(TARGET, f"job-{i}", 0.0) for i in range(2001)]
    logs = [math.log(course.run_s / profile.run_s) for course in courses]
    # the median of n normal draws deviates by 1.2533 σ/√n, their standard deviation by σ/√(2n): four times each
    assert abs(statistics.median(logs)) < 4 * 1.2533 * profile.spread / math.sqrt(2001)
    assert abs(statistics.stdev(logs) - profile.spread) < 4 * profile.spread / math.sqrt(4002)
    assert all(course.begins / profile.queue_s == pytest.approx(course.lag_s / profile.lag_s) for course in courses)


def test_without_profiles_a_job_takes_no_time_but_in_a_queue_that_was_set() -> None:
    latency = Latency({}, 0)
    assert latency.course_of(TARGET, "a", 5.0) == Course(5.0)
    latency.queues = {TARGET: 30.0}
    assert latency.course_of(TARGET, "a", 5.0) == Course(35.0)


def test_a_queue_that_was_set_takes_the_place_of_the_profiles() -> None:
    latency = Latency({TARGET: Profile(queue_s=4.0, run_s=1.0)}, 0)
    latency.queues = {TARGET: 30.0}
    assert latency.course_of(TARGET, "a", 5.0) == Course(35.0, 1.0)


@pytest.fixture(scope="module")
def paced() -> Iterator[Caller]:
    with running_emulator("--clock", "virtual", "--latency", "recorded") as emulator:
        yield Caller(emulator)


def go_to(caller: Caller, moment: float) -> None:
    """Let time go to a little after the moment."""
    caller.emulator.advance(moment + 1e-3 - caller.emulator.admin("clock")["seconds"])


def shown(caller: Caller, job: str) -> dict[str, Any]:
    document: dict[str, Any] = caller.call("GET", f"/jobs/{job}").json()
    return document


@pytest.mark.parametrize("target", [TARGET, "ionq.simulator", "quantinuum.sim.h2-1e"])
def test_a_job_shows_each_state_at_its_moment(paced: Caller, target: str) -> None:
    session = paced.open_session(target)
    job = paced.submit(target=target, sessionId=session)
    accepted = moment_of(shown(paced, job)["creationTime"])
    course = Latency(PROFILES, 0).course_of(target, job, accepted)
    finishes = course.begins + course.run_s
    states = []
    for moment in (accepted, course.begins, finishes, finishes + course.lag_s):
        go_to(paced, moment)
        states.append(shown(paced, job)["status"])
    assert states == ["Waiting", "Executing", "Finishing", "Succeeded"]
    document = shown(paced, job)
    assert moment_of(document["beginExecutionTime"]) == pytest.approx(course.begins, abs=1e-5)
    assert moment_of(document["endExecutionTime"]) == pytest.approx(finishes, abs=1e-5)
    assert paced.session_status(session) == "Executing"
    assert paced.result(job)


def test_one_jump_over_a_jobs_whole_course_leaves_every_moment_where_it_belongs(paced: Caller) -> None:
    session = paced.open_session()
    job = paced.submit(sessionId=session)
    accepted = moment_of(shown(paced, job)["creationTime"])
    course = Latency(PROFILES, 0).course_of(TARGET, job, accepted)
    paced.emulator.advance(86_400)
    document = shown(paced, job)
    assert document["status"] == "Succeeded"
    assert moment_of(document["endExecutionTime"]) == pytest.approx(course.begins + course.run_s, abs=1e-5)
    closed = paced.call("GET", f"/sessions/{session}").json()
    ended = course.begins + course.run_s + course.lag_s
    assert closed["status"] == "TimedOut"
    assert 600 <= moment_of(closed["endExecutionTime"]) - ended <= 720


def test_a_job_that_fails_at_once_or_is_cancelled_in_the_queue_does_not_hold_time_up(paced: Caller) -> None:
    url = paced.call("POST", "/storage/sasUri", {"containerName": "job-without-input"}).json()["sasUri"]
    assert paced.call("PUT", "/jobs/without-input", paced.document(url)).status == 200
    cancelled = paced.submit()
    assert paced.call("POST", f"/jobs/{cancelled}:cancel").status == 204
    paced.emulator.advance(86_400)
    assert shown(paced, "without-input")["status"] == "Failed"
    assert (shown(paced, cancelled)["status"], shown(paced, cancelled)["beginExecutionTime"]) == ("Cancelled", None)


def test_a_queue_full_of_other_peoples_jobs_holds_jobs_back_and_survives_a_restart(
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
    assert shown(caller, job)["status"] == "Waiting"
    second.advance(110)
    document = caller.ended(job)
    assert document["status"] == "Succeeded"
    waited = moment_of(document["beginExecutionTime"]) - moment_of(document["creationTime"])
    assert waited == pytest.approx(3600, abs=1e-3)


def test_a_job_that_was_computed_but_had_not_ended_ends_once_at_its_old_moment_after_a_restart(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    options = ("--clock", "virtual", "--latency", "recorded")
    first = Caller(start_emulator(*options, state=tmp_path), "finishing")
    session = first.open_session()
    job = first.submit(sessionId=session)
    accepted = moment_of(shown(first, job)["creationTime"])
    course = Latency(PROFILES, 0).course_of(TARGET, job, accepted)
    go_to(first, course.begins + course.run_s)
    finishing = shown(first, job)
    assert (finishing["status"], finishing["costEstimate"]) == ("Finishing", None)
    first.emulator.stop(signal.SIGKILL)

    second = Caller(start_emulator(*options, state=tmp_path), "finishing")
    assert shown(second, job)["status"] == "Finishing"
    second.emulator.advance(3600)
    document = shown(second, job)
    assert document["status"] == "Succeeded"
    for name in ("beginExecutionTime", "endExecutionTime"):
        assert document[name] == finishing[name]
    assert second.emulator.admin("ledger")["jobs"] == 1
    assert second.call("POST", f"/sessions/{session}:close").json()["status"] in ("Succeeded", "TimedOut")


def test_a_queue_takes_its_time_on_the_real_clock_too(start_emulator: Callable[..., Emulator]) -> None:
    caller = Caller(start_emulator())
    caller.emulator.admin("targets", {TARGET: {"queue_s": 0.2}})
    document = caller.ended(caller.submit())
    assert moment_of(document["beginExecutionTime"]) - moment_of(document["creationTime"]) >= 0.199


def test_a_target_that_is_down_refuses_jobs_until_it_is_back(paced: Caller) -> None:
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
def test_a_condition_that_makes_no_sense_is_refused_and_changes_nothing(
    paced: Caller, document: object, status: int
) -> None:
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
