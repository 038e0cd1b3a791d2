"""A repetition is paid once for each comparison that its caller got."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.azure.workspace import connection_string_of
from hybridloop.reports import reproduce
from tests.conftest import Died, Emulator


def test_a_repetition_that_was_killed_before_its_comparison_is_compared_and_the_next_call_measures_anew(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    workspace = emulator.workspace()
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string_of(workspace))
    hl.vqe("h2", run_key="r", seed=7, precision=0.05, host="plain")

    def jobs() -> int:
        return len(list(workspace.list_jobs()))

    compare, compared = reproduce.compare_runs, []

    def die(*runs: Any) -> Any:
        compared.append(runs)
        if len(compared) == 2:  # the first asks whether the run can be compared at all
            raise Died
        return compare(*runs)

    monkeypatch.setattr(reproduce, "compare_runs", die)
    with pytest.raises(Died):
        hl.reproduce("r")
    paid = jobs()
    found = hl.reproduce("r")
    assert (found.again, found.identical, jobs()) == ("r-again", True, paid)
    found = hl.reproduce("r")
    assert (found.again, found.identical, jobs()) == ("r-again-2", True, paid + paid // 2)
