"""A service that all tests share is as before for each test."""

from __future__ import annotations

import pytest

from tests.conftest import Emulator


@pytest.mark.parametrize("_turn", ["first", "second"])
def test_faults_and_states_of_targets_end_with_the_test_that_set_them(
    _turn: str, azure_quantum_emulator: Emulator
) -> None:
    changed = {"availability": "Degraded", "queue_s": 120}
    assert azure_quantum_emulator.admin("targets")["ionq.simulator"] != changed
    assert azure_quantum_emulator.admin("faults")["rules"] == []
    azure_quantum_emulator.admin("targets", {"ionq.simulator": changed})
    azure_quantum_emulator.admin("faults", {"rules": [{"fault": "throttled", "operation": "sas"}]})
