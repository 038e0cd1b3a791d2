"""Recursive QAOA ends at an assignment and returns its objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.binary import problem_kinds as qubo
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import ising_from_qubo
from hybridloop.algorithms.qaoa.recursive import rqaoa
from hybridloop.algorithms.rounds import Counts, MeasuredPub
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.qaoa_helpers import REFERENCE, max_cut_problem


@pytest.mark.claim("recursive QAOA")
@pytest.mark.parametrize("name", ["reg3_n10_s1", "reg3w_n10_s12", "gnp_n10_p05_s4"])
def test_recursion_finds_the_best_cut_in_seven_rounds(name: str) -> None:
    for run_round in (noiseless_rounds(), shot_rounds(1)):
        result = rqaoa(max_cut_problem(name), run_round, shots=4000)
        assert result.value == result.best_value == pytest.approx(REFERENCE["graphs"][name]["max_cut"])
        assert (result.rounds, result.standard_error) == (7, 0.0)
        assert sum(round_.shots for round_ in result.history) == 7 * 4000


@given(matrix=st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=4, max_size=4))
@settings(max_examples=15)
def test_the_value_is_that_of_the_returned_assignment(matrix: list[list[int]]) -> None:
    if ising_from_qubo(matrix).is_constant:
        return
    problem = qubo.qubo(np.array(matrix, float), offset=0.5)

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        numbers = np.random.default_rng(0).integers(0, 2 ** pubs[0].circuit.num_qubits, 50)
        words = [format(number, f"0{pubs[0].circuit.num_qubits}b") for number in numbers]
        counts = Counts.from_bitstrings({word: words.count(word) for word in words})
        return [MeasuredPub(np.zeros((1, 2)), (counts,))]

    result = rqaoa(problem, run_round, stop_at=1)
    bits = np.array([int(bit) for bit in reversed(str(result.best_bitstring))])
    assert result.best_value == pytest.approx(float(bits @ np.array(matrix) @ bits) + 0.5)
    assert result.best_value is not None
    assert result.best_value <= result.value + 1e-9
    assert ("a sample was better" in result.reason) == (result.best_value < result.value - 1e-9)


def test_a_sample_of_a_later_round_is_an_assignment_after_substitution() -> None:
    """In a ring of four, samples say that 0 and 1 differ (right), then that 0 and 3 agree, which gives a cut of 2."""
    widths: list[int] = []

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        widths.append(pubs[0].circuit.num_qubits)
        counts = {4: {"1101": 6, "0010": 5, "0001": 1}, 3: {"011": 1, "000": 3, "101": 3, "111": 2, "010": 2}}[
            widths[-1]
        ]
        return [MeasuredPub(np.zeros((1, 2)), (Counts.from_bitstrings(counts),))]

    ring = qubo.max_cut(graph_from_edges(4, [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (0, 3, 1.0)]))
    result = rqaoa(ring, run_round, stop_at=2)
    assert widths == [4, 3]
    assert (result.value, result.best_value, result.best_bitstring) == (2.0, 4.0, "0101")


def test_variables_beyond_the_qubits_are_eliminated_without_jobs() -> None:
    widths: list[int] = []

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        widths.append(pubs[0].circuit.num_qubits)
        return noiseless_rounds()(pubs)

    result = rqaoa(max_cut_problem("reg3_n10_s1"), run_round, shots=4000, max_variables=6)
    assert widths == [6, 5, 4]
    assert result.reason.startswith("eliminated 4 variables by simulated correlations and 3 variables by measured")
    assert result.value == pytest.approx(REFERENCE["graphs"]["reg3_n10_s1"]["max_cut"])


def test_with_at_most_stop_at_variables_nothing_is_measured() -> None:
    result = rqaoa(max_cut_problem("ring_n6"), lambda _: [], stop_at=6)
    assert (result.value, result.rounds) == (6.0, 0)
    assert "all assignments were enumerated" in result.reason
