"""A round takes the service's lists as they are, odd ones too, and never leaves its caller waiting."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hybridloop.errors import JobFailed
from hybridloop.sessions.clock import RealClock
from hybridloop.sessions.jobs import JobSpec
from hybridloop.sessions.places import JobPlace, RoundPlace
from hybridloop.sessions.programs import Program
from hybridloop.sessions.rounds import Bill, RoundInFlight

PLACE = JobPlace(RoundPlace("3f0d3a57-64a1-4c5f-8f6b-3a9d5a1a7a01", "main", 0), 0, 0, 0)


def in_flight() -> tuple[RoundInFlight, Any]:
    program = Program(np.zeros((1, 0)), (b"program",), (0,), 1)
    spec = JobSpec(PLACE, 0, 10, 1, b"program", "value")
    workers = SimpleNamespace(do=lambda call: call())
    return RoundInFlight(PLACE.round, [program], [spec]), SimpleNamespace(bill=Bill(), workers=workers)


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        ({"status": "Succeeded"}, "does not say where"),
        ({"status": "Succeeded", "outputDataUri": None}, "does not say where"),
        ({"status": "Failed"}, "gave no reason"),
        ({"status": "Failed", "errorData": {"code": None, "message": None}}, "gave no reason"),
        ({"status": "Cancelled", "errorData": {"code": "Stopped", "message": "by hand"}}, "Stopped by hand"),
    ],
)
def test_a_job_that_ended_without_counts_ends_its_round(listed: dict[str, Any], complaint: str) -> None:
    round_, connection = in_flight()
    round_.observe(connection, {"id": PLACE.job_id(0), **listed})
    with pytest.raises(JobFailed, match=complaint):
        round_.result(RealClock())


@pytest.mark.parametrize("status", ["Waiting", "Executing", "Finishing", "Pondering", None])
def test_a_status_that_is_not_known_to_be_an_end_is_none(status: str | None) -> None:
    round_, connection = in_flight()
    round_.observe(connection, {"id": PLACE.job_id(0), "status": status})
    round_.observe(connection, {"id": "somebody else's", "status": "Failed"})
    assert not round_.ended.is_set()


def test_the_bill_adds_up_what_is_stated_and_passes_over_what_is_not() -> None:
    bill = Bill()
    for estimate in (
        {"currencyCode": "USD", "estimatedTotal": 1.5},
        {"currencyCode": "USD", "estimatedTotal": 2},
        {"currencyCode": "HQC", "estimatedTotal": 5.12},
        {"currencyCode": "USD", "estimatedTotal": None},
        {"estimatedTotal": 3.0},
        None,
    ):
        bill.add(estimate)
    assert bill.total() == {"USD": 3.5, "HQC": 5.12}


def test_quantinuums_credits_are_billed_as_credits_not_as_no_dollars() -> None:
    bill = Bill()
    line = {"dimensionId": "ehqc", "amountBilled": 6.22, "amountConsumed": 6.22, "unitPrice": 0.0}
    bill.add({"currencyCode": "USD", "events": [line], "estimatedTotal": 0.0})
    bill.add({"currencyCode": "USD", "events": [{"dimensionId": "gs1q", "amountBilled": 4.0}], "estimatedTotal": 0.5})
    assert bill.total() == {"eHQC": 6.22, "USD": 0.5}
