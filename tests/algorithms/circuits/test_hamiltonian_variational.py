"""Hamiltonian variational ansatz: parts, reference state and layers against dense matrices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector
from scipy.linalg import expm

from hybridloop.algorithms.circuits.ansatz import BASIS_GATES
from hybridloop.algorithms.circuits.basis import two_qubit_gates
from hybridloop.algorithms.circuits.hamiltonian_variational import (
    commuting_parts,
    hamiltonian_variational,
    is_real,
    is_spin_model,
    stabilizer_reference,
)
from hybridloop.algorithms.optimizers.trigonometric_model import fit_trigonometric, sample_offsets
from hybridloop.errors import InputError
from tests.spin_models import HEISENBERG, MORIYA, chain, dense, ring, spin_model

MODELS = {
    "heisenberg": spin_model(3, chain(3), {"XX": 1.0, "YY": 1.0, "ZZ": 0.5}),
    "ising": spin_model(4, ring(4), {"ZZ": 1.0}, "X"),
    "moriya": spin_model(3, chain(3), MORIYA),
    "three-body": {"XZY": 0.4, "ZZI": -1.0, "IIX": 0.3, "YII": -0.2, "III": 2.0},
}


def operator(terms: Mapping[str, float]) -> SparsePauliOp:
    return SparsePauliOp.from_list(list(terms.items()))


def state_at(circuit: QuantumCircuit, point: NDArray[np.float64]) -> NDArray[np.complex128]:
    state: NDArray[np.complex128] = Statevector(circuit.assign_parameters(point)).data
    return state


@pytest.mark.parametrize("bonds", [chain(4), ring(4)], ids=["chain", "ring"])
def test_a_heisenberg_model_starts_from_singlets_on_every_other_bond(bonds: list[tuple[int, int]]) -> None:
    terms = spin_model(4, bonds, HEISENBERG)
    parts = commuting_parts(operator(terms))
    reference = stabilizer_reference(operator(terms), parts)
    assert len(parts) == 2
    assert (reference.energy, reference.is_unique) == (-6.0, True)  # −3 for each singlet, 0 between them
    ansatz = hamiltonian_variational(operator(terms), 1)
    state = state_at(ansatz.circuit, np.zeros(ansatz.num_parameters))
    assert np.vdot(state, dense(terms) @ state).real == pytest.approx(-6.0)


def test_a_transverse_field_ising_chain_starts_from_its_field() -> None:
    hamiltonian = operator(spin_model(5, chain(5), {"ZZ": -3.0}, "X"))
    parts = commuting_parts(hamiltonian)
    reference = stabilizer_reference(hamiltonian, parts)
    assert [len(part.terms) for part in parts] == [4, 5]
    assert (reference.energy, reference.is_unique) == (-5.0, True)  # the bonds have two ground states


def test_a_bond_of_an_ising_model_is_one_gate_in_each_layer() -> None:
    circuit = hamiltonian_variational(operator(MODELS["ising"]), 3).circuit
    assert two_qubit_gates(circuit) == circuit.count_ops()["rzz"] == 3 * len(ring(4))


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 2), st.sampled_from(sorted(MODELS)))
def test_the_circuit_is_the_product_of_exact_exponentials(seed: int, layers: int, name: str) -> None:
    hamiltonian = operator(MODELS[name])
    ansatz = hamiltonian_variational(hamiltonian, layers)
    assert set(ansatz.circuit.count_ops()) <= set(BASIS_GATES)
    point = np.random.default_rng(seed).uniform(-np.pi, np.pi, ansatz.num_parameters)
    expected = state_at(ansatz.circuit, np.zeros(ansatz.num_parameters))
    for angle, generator in zip(point, itertools.cycle(generators(hamiltonian, MODELS[name])), strict=False):
        expected = expm(-0.5j * angle * generator) @ expected
    assert abs(np.vdot(expected, state_at(ansatz.circuit, point))) == pytest.approx(1.0, abs=1e-9)


def generators(hamiltonian: SparsePauliOp, terms: Mapping[str, float]) -> list[NDArray[np.complex128]]:
    """Return Σ ± P of each angle of a layer; with their |c| they sum to the Hamiltonian without its constant."""
    parts = commuting_parts(hamiltonian)
    chosen = stabilizer_reference(hamiltonian, parts).part
    total, found = np.zeros_like(dense(terms)), []
    for part in [*parts[:chosen], *parts[chosen + 1 :], parts[chosen]]:
        clifford = QuantumCircuit(hamiltonian.num_qubits)
        part.frame.append_to(clifford)
        frame = Operator(clifford).data
        for shared in part.by_angle:
            labels = {f"{mask:0{hamiltonian.num_qubits}b}": c for mask, c in shared}
            diagonal = dense({bits.replace("0", "I").replace("1", "Z"): np.sign(c) for bits, c in labels.items()})
            found.append(frame.conj().T @ diagonal @ frame)
            total += abs(shared[0][1]) * found[-1]
    identity = "I" * int(hamiltonian.num_qubits)
    np.testing.assert_allclose(total, dense({**terms, identity: 0.0}), atol=1e-9)
    return found


@pytest.mark.parametrize("name", ["ising", "moriya"])
def test_the_energy_along_an_angle_has_the_stated_frequencies(name: str) -> None:
    ansatz, matrix = hamiltonian_variational(operator(MODELS[name]), 2), dense(MODELS[name])
    start = np.random.default_rng(4).uniform(-np.pi, np.pi, ansatz.num_parameters)

    def energy(angle: int, value: float) -> float:
        state = state_at(ansatz.circuit, np.where(np.arange(len(start)) == angle, value, start))
        return float(np.vdot(state, matrix @ state).real)

    for angle, frequencies in enumerate(ansatz.frequencies):
        rows = [(float(t), energy(angle, float(t)), 1.0) for t in sample_offsets(frequencies)]
        fit = fit_trigonometric(frequencies, rows, 0.0)
        assert fit is not None
        assert fit.value(0.7) == pytest.approx(energy(angle, 0.7), abs=1e-9)


def test_the_initial_point_is_a_ramp_from_one_part_to_the_whole() -> None:
    """The reference's part, last in each layer, has its full angle from the start; the bonds' angle grows."""
    ansatz = hamiltonian_variational(operator(spin_model(3, chain(3), {"ZZ": -1.0}, "X")), 3)
    bonds, field = ansatz.initial_point[::2], ansatz.initial_point[1::2]
    assert ansatz.is_ramp
    assert np.ptp(field) == 0.0
    assert (0.0 < bonds).all()
    assert (np.diff(bonds) > 0.0).all()


def test_equal_coefficients_share_an_angle() -> None:
    assert hamiltonian_variational(operator(spin_model(4, ring(4), {"ZZ": 1.0}, "X")), 3).num_parameters == 6
    unequal = {"ZZI": 1.0, "IZZ": 0.5, "XII": 1.0, "IXI": -1.0, "IIX": 1.0}
    assert hamiltonian_variational(operator(unequal), 1).num_parameters == 3


def test_the_letters_of_the_terms_say_whether_an_operator_is_real_or_a_spin_model() -> None:
    assert is_real(operator({"YY": 1.0, "XZ": 1.0}))
    assert not is_real(operator({"XY": 1.0}))
    assert is_real(operator({"XY": 0.0, "ZZ": 1.0}))
    assert is_spin_model(operator({"XYI": 1.0, "IIZ": 1.0}))
    assert not is_spin_model(operator({"XYZ": 1.0}))


def test_no_layer_and_no_term_are_refused() -> None:
    with pytest.raises(InputError, match="layers must be at least 1, got 0"):
        hamiltonian_variational(operator({"ZZ": 1.0, "XI": 1.0}), 0)
    with pytest.raises(InputError, match="constant"):
        hamiltonian_variational(operator({"II": 1.0}), 1)
