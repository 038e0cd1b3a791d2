"""Failure policy: accepted values, bounded retries, and agreement with the users' guide."""

import re
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridloop.azure.retry import ATTEMPTS
from hybridloop.azure.retry import LONGEST_WAIT_S as LONGEST_WAIT_OF_A_CALL_S
from hybridloop.azure.transport import TRANSIENT, FailureKind
from hybridloop.budget.caps import Caps
from hybridloop.runtime.waits import RETRY_AFTER_CAP_S
from hybridloop.settings.failure_policy import (
    FailurePolicy,
    OnJobFailure,
    OnLostJob,
    OnSessionLost,
    OnTargetDown,
    policy_warnings,
    target_down_text,
    wait_for_target,
)
from hybridloop.tasks.submission.job_errors import (
    CALL_ERRORS,
    CANCELLED,
    CANCELLED_WITH_SESSION,
    LONGEST_BACKOFF_S,
    PERMANENT_ERRORS,
    TRANSIENT_ERRORS,
    judge_failure,
    meaning_of,
)
from tests.paths import DOCS

PAGE = (DOCS / "failures.md").read_text("utf-8")
ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<second>[^|]+) \| (?P<third>[^|]+) \|$", re.MULTILINE)


def table(heading: str) -> list[tuple[str, str, str]]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [(row["name"], row["second"].strip(), row["third"].strip()) for row in ROW.finditer(section)]


def test_the_guide_has_every_kind_of_error_as_the_transport_classifies_it() -> None:
    assert table("Calls") == [
        (each.value, "yes" if each in TRANSIENT else "no", CALL_ERRORS[each]) for each in FailureKind
    ]


def test_the_guide_has_every_end_of_a_job_as_it_is_classified() -> None:
    retried = [(code, "yes", meaning) for code, meaning in TRANSIENT_ERRORS.items()]
    assert table("Jobs") == retried + [(code, "no", meaning) for code, meaning in PERMANENT_ERRORS.items()]


def test_the_guide_has_every_setting_of_the_policy_and_its_values() -> None:
    section = PAGE.partition("\n## Failure policy\n")[2]
    words = [word for kind in (OnJobFailure, OnLostJob, OnSessionLost, OnTargetDown) for word in kind]
    assert all(f"`{word}`" in section for word in [*FailurePolicy.model_fields, *words])


def test_a_run_has_no_cap_by_default() -> None:
    assert not any(asdict(Caps()).values())


def test_the_guide_has_the_bounds_of_a_call() -> None:
    assert ATTEMPTS == 5
    assert "five attempts at most" in PAGE
    assert f"up to {LONGEST_WAIT_OF_A_CALL_S:.0f} seconds" in PAGE
    assert f"up to {RETRY_AFTER_CAP_S:.0f} seconds" in PAGE
    assert f"{LONGEST_BACKOFF_S:.0f}.\n" in PAGE


FAIL, SKIP = FailurePolicy(), FailurePolicy(on_lost_job=OnLostJob.SKIP)
TRANSIENT_CODE, PERMANENT_CODE = "ProviderTimeout", "InvalidInputData"


def judge(policy: FailurePolicy, code: str | None = TRANSIENT_CODE, **values: Any) -> float | OnLostJob:
    usual = {"failures": 1, "since_first_s": 0.0, "draw": 0.5, "found_ended": False}
    return judge_failure(policy, code, **usual | values)


# The service's codes that are retried, as documented; deliberately separate from the product's table.
@pytest.mark.parametrize(
    "code", ["ProviderTimeout", "TransientFailure", "InternalError", "PartnerCallFailed", "TargetUnavailable"]
)
def test_a_transient_code_is_retried(code: str) -> None:
    assert judge(FAIL, code) == 1.0


@pytest.mark.parametrize(
    "code",
    [
        *("PropertyNotSpecified", "InvalidInputData", "InvalidProperty", "RuntimeError", "CannotTranslateOutputData"),
        *("InvalidInputError", "quantinuum - 1001", "CompilationError", "QIRPreProcessingFailed"),
        *("QATTransformationFailed", "CannotTranslateInputData"),
        *("Unheard", "providertimeout", "ProviderTimeout: later", "", None),
    ],
)
def test_any_other_code_or_none_is_not_retried(code: str | None) -> None:
    assert judge(FAIL, code) is OnLostJob.FAIL


def test_an_unknown_code_is_named() -> None:
    assert "'Unheard'" in meaning_of("Unheard")
    assert meaning_of("TargetUnavailable") == "the target went down"
    assert meaning_of(None) == meaning_of("") == "the service gave no reason"


def test_calls_are_retried_as_the_transport_says() -> None:
    assert TRANSIENT == {FailureKind.UNREACHABLE, FailureKind.BUSY, FailureKind.UNCLEAR}


@pytest.mark.parametrize(
    "given_words",
    [
        {"retires": 3},
        {"retries": -1},
        {"retries": 2.5},
        {"retries": True},
        {"retry_within_s": 0},
        {"retry_within_s": float("inf")},
        {"on_lost_job": "ignore"},
        {"on_lost_job": "penalize"},
        {"on_lost_job": "skip", "penalty": 0.0},
        {"penalty": 1.0},
        {"on_lost_job": "penalize", "penalty": float("nan")},
        {"on_lost_job": "penalize", "penalty": True},
        {"max_renewals": 0},
        {"target_down_wait_s": -1},
        {"session_on_job_failure": "Abort"},
    ],
    ids=str,
)
def test_invalid_values_are_refused(given_words: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FailurePolicy.model_validate(given_words)


def test_a_policy_survives_json_and_can_not_be_changed() -> None:
    policy = FailurePolicy(on_lost_job=OnLostJob.PENALIZE, penalty=-0.5, retries=0)
    assert FailurePolicy.model_validate_json(policy.model_dump_json()) == policy
    with pytest.raises(ValidationError):
        policy.retries = 5  # type: ignore[misc]


POLICIES = st.builds(FailurePolicy, retries=st.integers(0, 20), retry_within_s=st.floats(0.1, 5000.0))


@given(POLICIES, st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.floats(0.0, 300.0)), min_size=21))
def test_a_job_that_always_fails_has_bounded_attempts_all_begun_within_the_time(
    policy: FailurePolicy, draws_and_runs: list[tuple[float, float]]
) -> None:
    attempts, since_first = 1, 0.0
    for draw, run_s in draws_and_runs:
        wait = judge(policy, failures=attempts, since_first_s=since_first, draw=draw)
        if isinstance(wait, OnLostJob):
            break
        assert 0.0 <= wait <= LONGEST_BACKOFF_S
        since_first += wait
        assert since_first <= policy.retry_within_s
        attempts += 1
        since_first += run_s
    assert attempts <= 1 + policy.retries


def test_waits_grow_to_their_bound() -> None:
    policy = FailurePolicy(retries=8)
    waits = [judge(policy, failures=n) for n in range(1, 10)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, OnLostJob.FAIL]


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (judge(FAIL), 1.0),
        (judge(SKIP, failures=3, since_first_s=10.0, found_ended=True), 4.0),
        (judge(FAIL, failures=4), OnLostJob.FAIL),
        (judge(SKIP, since_first_s=600.0), OnLostJob.SKIP),
        (judge(SKIP, PERMANENT_CODE), OnLostJob.SKIP),
        (judge(FAIL, CANCELLED), OnLostJob.FAIL),
        (judge(FAIL, PERMANENT_CODE, found_ended=True), 0.0),  # as if its own process had recorded the failure
        (judge(FAIL, failures=4, found_ended=True), 0.0),
        (judge(SKIP, PERMANENT_CODE, found_ended=True), OnLostJob.SKIP),
        (judge(FAIL, CANCELLED_WITH_SESSION, failures=0), 0.0),
        (judge(SKIP, CANCELLED_WITH_SESSION, failures=99, since_first_s=9999.0), 0.0),
    ],
)
def test_a_failed_attempt_is_retried_after_a_wait_or_treated_as_the_policy_says(
    decision: float | OnLostJob, expected: float | OnLostJob
) -> None:
    assert decision == expected


def test_a_target_that_is_down_is_waited_for_as_long_as_the_policy_says() -> None:
    waiting, failing = FailurePolicy(target_down_wait_s=90), FailurePolicy(on_target_down=OnTargetDown.FAIL)
    assert [wait_for_target(waiting, down_s=seconds) for seconds in (0.0, 30.0, 90.0)] == [90.0, 60.0, None]
    assert wait_for_target(failing, down_s=0.0) is None


def test_a_policy_that_lets_the_service_abort_warns_of_what_it_means() -> None:
    assert policy_warnings(FailurePolicy()) == ()
    (renewing,) = policy_warnings(FailurePolicy(session_on_job_failure=OnJobFailure.ABORT, max_renewals=4))
    (failing,) = policy_warnings(
        FailurePolicy(session_on_job_failure=OnJobFailure.ABORT, on_session_lost=OnSessionLost.FAIL)
    )
    assert "at most 4 times" in renewing
    assert "the run ends" in failing


@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        (
            FailurePolicy(),
            ("30 min at most", "ends as failed", "runs resume", "With --on-target-down park", "with fail"),
        ),
        (
            FailurePolicy(on_target_down=OnTargetDown.PARK, target_down_wait_s=90),
            ("90 s at most", "is parked", "runs resume", "With --on-target-down wait", "with fail"),
        ),
        (FailurePolicy(on_target_down=OnTargetDown.FAIL), ("does not wait", "--on-target-down wait and park")),
    ],
    ids=["wait", "park", "fail"],
)
def test_the_message_about_a_target_that_is_down_states_wait_consequence_and_setting(
    policy: FailurePolicy, parts: tuple[str, ...]
) -> None:
    message = target_down_text(policy, policy.target_down_wait_s)
    places = [message.find(each) for each in parts]
    assert -1 not in places, (message, parts)
    assert places == sorted(places)
