"""What the service bills is added up by unit."""

from hybridloop.sessions.bill import Bill, charges


def test_what_is_stated_is_charged_and_what_is_not_is_passed_over() -> None:
    bill = Bill({"USD": 1.0})
    for estimate in (
        {"currencyCode": "USD", "estimatedTotal": 1.5},
        {"currencyCode": "USD", "estimatedTotal": 2},
        {"currencyCode": "HQC", "estimatedTotal": 5.12},
        {"currencyCode": "USD", "estimatedTotal": None},
        {"currencyCode": None, "estimatedTotal": 3.0},
        None,
    ):
        bill.add(charges(estimate))
    assert bill.total() == {"USD": 4.5, "HQC": 5.12}


def test_quantinuums_credits_are_billed_as_credits_not_as_no_dollars() -> None:
    line = {"dimensionId": "ehqc", "amountBilled": 6.22, "amountConsumed": 6.22, "unitPrice": 0.0}
    assert charges({"currencyCode": "USD", "events": [line], "estimatedTotal": 0.0}) == {"eHQC": 6.22}
    gates = {"dimensionId": "gs1q", "amountBilled": 4.0}
    assert charges({"currencyCode": "USD", "events": [gates], "estimatedTotal": 0.5}) == {"USD": 0.5}
