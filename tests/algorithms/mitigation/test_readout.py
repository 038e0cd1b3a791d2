"""Readout mitigation and symmetries on single groups: inversion, derivatives, and the shots that are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector, random_statevector

from hybridloop.algorithms.estimation.estimates import (
    MIN_KEPT_FRACTION,
    Evaluation,
    GroupStatistics,
    group_statistics,
)
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, observable
from hybridloop.algorithms.estimation.symmetry import Symmetry
from hybridloop.algorithms.mitigation.readout import (
    ReadoutErrors,
    mitigate_readout,
)
from hybridloop.algorithms.rounds import Counts, UnusablePoint
from tests.algorithms.batched_state_helpers import largest_remainder
from tests.long_form import long_form, short_or_long

EXACT_SHOTS = 10**9  # of distributions: rounding moves an energy by 1e-8 hartree at most
_rate = st.floats(0.0, 0.3)


@given(st.lists(st.tuples(_rate, _rate), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_readout_inversion_agrees_with_dense_matrices(rates: list[tuple[float, float]], seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth = draws.dirichlet(np.ones(8))
    group, read = _read(draws, _errors(rates))
    matrices = [np.array([[1 - a, b], [a, 1 - b]]) for a, b in rates]
    misread = np.kron(np.kron(matrices[2], matrices[1]), matrices[0]) @ truth
    signs = [[(-1) ** (mask & outcome).bit_count() for outcome in range(8)] for mask in group.masks]
    expected = group.coefficients @ np.array(signs) @ truth
    # rounding moves 8 counts by less than one each, and the inverse stretches that by at most (1 / 0.4)³ a term
    assert read(group, _distribution(misread)).mean == pytest.approx(expected, abs=1e-5)


@long_form
@settings(max_examples=short_or_long(20, 200))
@given(st.lists(st.tuples(_rate, _rate), min_size=3, max_size=3), st.integers(0, 2**32 - 1), st.booleans())
def test_readout_derivatives_agree_with_finite_differences(
    rates: list[tuple[float, float]],
    seed: int,
    in_sector: bool,  # noqa: FBT001  # drawn
) -> None:
    draws = np.random.default_rng(seed)
    counts = _distribution(draws.dirichlet(np.ones(8)) / 2 + np.eye(8)[1] / 2)
    symmetries = (Symmetry.of_parity(0b011, -1),) if in_sector else ()
    group, read = _read(draws, _errors(rates), symmetries)
    slopes, step = read(group, counts).readout_derivatives, 1e-6
    for place, slope in enumerate(slopes):
        ahead, behind = (
            _read(None, _errors(_moved(rates, place, by)), symmetries)[1](group, counts).mean for by in (step, -step)
        )
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-3, abs=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_a_symmetry_keeps_only_the_shots_in_its_sector(seed: int) -> None:
    draws = np.random.default_rng(seed)
    drawn = draws.multinomial(1000, draws.dirichlet(np.ones(8)) / 2 + np.eye(8)[1] / 2)
    group, read = _read(draws, None, (Symmetry.of_parity(0b011, -1),))
    seen = {format(i, "03b"): int(n) for i, n in enumerate(drawn) if n}
    kept = {key: n for key, n in seen.items() if (int(key, 2) & 0b011).bit_count() % 2}
    found, plain = read(group, Counts.from_bitstrings(seen)), group_statistics(group, Counts.from_bitstrings(kept))
    assert found.mean == pytest.approx(plain.mean)
    assert found.variance == pytest.approx(plain.variance)
    assert found.discarded == 1000 - plain.shots


def test_a_symmetry_is_skipped_if_a_group_cannot_show_it_and_unusable_without_shots_in_its_sector() -> None:
    bare = Evaluation(observable(SparsePauliOp("ZZZ")), (), lambda _: [])
    read = mitigate_readout(bare, symmetries=(Symmetry.of_parity(0b011, -1),)).reduce_counts
    turned = MeasurementGroup("IXX", (0b011,), np.array([1.0]))
    counts = Counts.from_bitstrings({"000": 60, "001": 40})
    found = read(turned, counts)
    assert isinstance(found, GroupStatistics)
    assert found.mean == pytest.approx(group_statistics(turned, counts).mean)
    found = read(MeasurementGroup("ZZZ", (0b111,), np.array([1.0])), Counts.from_bitstrings({"000": 60}))
    assert found == UnusablePoint("only 0 of 60 shots have the state's symmetries")


@long_form
@settings(max_examples=short_or_long(25, 200))
@given(st.integers(0, 2**32 - 1))
def test_a_diagonalized_group_shows_a_symmetry_in_other_bits(seed: int) -> None:
    state = random_statevector(4, seed)
    operator = SparsePauliOp(["XX", "YY"], [0.7, 0.4])  # commute, but on neither qubit; their product is the symmetry
    energy = observable(operator, Grouping.FULLY_COMMUTING)
    (group,) = energy.groups
    assert group.diagonalization is not None
    circuit = QuantumCircuit(2)
    circuit.prepare_state(state)
    turned = group.measurement_circuit(circuit).remove_final_measurements(inplace=False)
    counts = _distribution(Statevector(turned).probabilities())
    bare = Evaluation(energy, (), lambda _: [])
    found = mitigate_readout(bare, symmetries=(Symmetry.of_parity(0b11, -1),)).reduce_counts(group, counts)
    odd = np.diag([0.0, 1.0, 1.0, 0.0]) @ state.data
    if np.vdot(odd, odd).real < MIN_KEPT_FRACTION:
        assert isinstance(found, UnusablePoint)
        return
    assert isinstance(found, GroupStatistics)
    expected = np.vdot(odd, operator.to_matrix() @ odd).real / np.vdot(odd, odd).real
    assert found.mean == pytest.approx(expected, abs=1e-4)


def _errors(rates: Sequence[tuple[float, float]]) -> ReadoutErrors:
    zero_as_one, one_as_zero = np.array(rates).T
    return ReadoutErrors(zero_as_one, one_as_zero)


def _moved(rates: Sequence[tuple[float, float]], place: int, by: float) -> list[tuple[float, float]]:
    table = np.array(rates).T
    table[place // 3, place % 3] += by
    return [(a, b) for a, b in table.T]


def _read(
    draws: np.random.Generator | None, errors: ReadoutErrors | None, symmetries: tuple[Symmetry, ...] = ()
) -> tuple[MeasurementGroup, Callable[[MeasurementGroup, Counts], GroupStatistics]]:
    """Return a group of all seven products of three Zs with random coefficients, and its counts reducer."""
    coefficients = np.ones(7) if draws is None else draws.normal(size=7)
    bare = Evaluation(observable(SparsePauliOp("ZZZ")), (), lambda _: [])
    with_them = mitigate_readout(bare, errors=errors, symmetries=symmetries).reduce_counts

    def read(group: MeasurementGroup, counts: Counts) -> GroupStatistics:
        found = with_them(group, counts)
        assert isinstance(found, GroupStatistics)
        return found

    return MeasurementGroup("ZZZ", tuple(range(1, 8)), coefficients), read


def _distribution(shares: NDArray[np.float64]) -> Counts:
    counts = largest_remainder(EXACT_SHOTS, shares / shares.sum())
    return Counts.from_bitstrings({format(i, "03b"): int(n) for i, n in enumerate(counts) if n}, exact=True)
