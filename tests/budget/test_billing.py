"""Billed amounts of the service are added up by unit."""

from hybridloop.azure.job_document import billed_amounts
from hybridloop.budget.billing import Bill


def test_stated_amounts_are_added_and_missing_ones_are_ignored() -> None:
    bill = Bill({"USD": 1.0})
    for estimate in (
        {"currencyCode": "USD", "estimatedTotal": 1.5},
        {"currencyCode": "USD", "estimatedTotal": 2},
        {"currencyCode": "HQC", "estimatedTotal": 5.12},
        {"currencyCode": "USD", "estimatedTotal": None},
        {"currencyCode": None, "estimatedTotal": 3.0},
        None,
    ):
        bill.add(billed_amounts(estimate))
    assert bill.total() == {"USD": 4.5, "HQC": 5.12}


def test_quantinuum_credits_are_billed_as_credits_not_as_zero_dollars() -> None:
    line = {"dimensionId": "ehqc", "amountBilled": 6.22, "amountConsumed": 6.22, "unitPrice": 0.0}
    assert billed_amounts({"currencyCode": "USD", "events": [line], "estimatedTotal": 0.0}) == {"eHQC": 6.22}
    gates = {"dimensionId": "gs1q", "amountBilled": 4.0}
    assert billed_amounts({"currencyCode": "USD", "events": [gates], "estimatedTotal": 0.5}) == {"USD": 0.5}
