"""Preparation of a large molecule: bounded memory and bounded work."""

from __future__ import annotations

import cProfile
import pstats
import tracemalloc

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.settings import ProblemText
from tests.long_form import long_only
from tests.paths import DATA
from tests.preparation_helpers import prepare_vqe

NAME = "H2_0.7414_cc-pvdz"


@pytest.mark.slow
@long_only
def test_18_qubits_and_25_excitations_are_prepared_in_bounded_memory_and_work() -> None:
    problem = ProblemText(name=NAME, text=(DATA / "fcidump" / f"{NAME}.fcidump").read_text())
    profile = cProfile.Profile()
    tracemalloc.start()
    try:
        prepared = profile.runcall(prepare_vqe, problem, VqeSettings(), 7)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert prepared.ansatz.circuit.num_qubits == 18
    assert len(prepared.energy.observable.operator) == 2951
    assert peak <= 300e6  # bytes: a list of all pairs of terms that do not commute takes gigabytes
    assert pstats.Stats(profile).total_calls <= 5e6  # type: ignore[attr-defined]  # a loop over those pairs takes 1e8
