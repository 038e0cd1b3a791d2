"""Rounding of exact distributions: its bound against drawn states of the kinds that occur."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.estimation.estimates import estimate_observable, shot_energies
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.estimation.rounding import Rounding
from hybridloop.algorithms.rounds import Counts
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import largest_remainder
from tests.long_form import long_form, short_or_long
from tests.paths import DATA
from tests.preparation_helpers import prepare_vqe

Draw = Callable[[np.random.Generator], Statevector]
MANY = 10_000  # shots: the most of a job


def product(rng: np.random.Generator) -> Statevector:
    circuit, size = QuantumCircuit(6), rng.choice([0.02, 0.1, 0.5, math.pi])
    for qubit in range(6):
        circuit.ry(rng.uniform(-size, size), qubit)
        circuit.rz(rng.uniform(-size, size), qubit)
    return Statevector(circuit)


def ghz(rng: np.random.Generator) -> Statevector:
    circuit, size = QuantumCircuit(6), rng.choice([0.0, 0.02, 0.1])
    circuit.ry(rng.uniform(0.0, math.pi), 0)
    for qubit in range(5):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(6):
        circuit.ry(size * rng.normal(), qubit)
    return Statevector(circuit)


def ring(rng: np.random.Generator) -> Statevector:
    circuit = QuantumCircuit(8)
    circuit.h(range(8))
    for gamma, beta in rng.uniform(0.0, math.pi, (rng.integers(1, 3), 2)):
        for qubit in range(8):
            circuit.rzz(gamma, qubit, (qubit + 1) % 8)
        circuit.rx(beta, range(8))
    return Statevector(circuit)


def random(rng: np.random.Generator) -> Statevector:
    amplitudes = rng.normal(size=2**12) + 1j * rng.normal(size=2**12)
    return Statevector(amplitudes / np.linalg.norm(amplitudes))


def chain(qubits: int, letters: str, *, is_closed: bool = False) -> Observable:
    pairs = [[qubit, (qubit + 1) % qubits] for qubit in range(qubits if is_closed else qubits - 1)]
    terms = [(2 * letter, pair, 1.0) for pair in pairs for letter in letters]
    return observable(SparsePauliOp.from_sparse_list([*terms, ("Z", [0], 0.3)], qubits))


def molecule() -> tuple[Observable, Draw]:
    text = (DATA / "fcidump" / "H2_0.74_6-31g.fcidump").read_text()
    prepared = prepare_vqe(ProblemText(name="H2", text=text), VqeSettings(target="ionq.simulator"), 0)
    ansatz = prepared.ansatz

    def draw(rng: np.random.Generator) -> Statevector:
        moved = rng.choice([0.0, 1e-3, 0.03, 0.3]) * rng.normal(size=ansatz.num_parameters)
        return Statevector(ansatz.circuit.assign_parameters(ansatz.initial_point + moved))

    return prepared.energy.observable, draw


def distributions(measured: Observable, state: Statevector) -> list[NDArray[np.float64]]:
    found = []
    for group in measured.groups:
        circuit = group.measurement_circuit(QuantumCircuit(measured.num_qubits))
        circuit.remove_final_measurements()
        found.append(np.abs(state.evolve(circuit).data) ** 2)
    return found


def all_values(measured: Observable) -> list[NDArray[np.float64]]:
    """Return the value of each possible outcome of each group."""
    qubits = measured.num_qubits
    every = Counts.from_bitstrings({format(i, f"0{qubits}b"): 1 for i in range(2**qubits)})
    return [shot_energies(group, every) for group in measured.groups]


KINDS: dict[str, Callable[[], tuple[Observable, Draw]]] = {
    "product states": lambda: (chain(6, "XYZ"), product),
    "GHZ states": lambda: (chain(6, "XYZ"), ghz),
    "H2 in 6-31G": molecule,
    "a ring with its symmetry": lambda: (chain(8, "Z", is_closed=True), ring),
    "random states of 12 qubits": lambda: (chain(12, "XYZ"), random),
}


@long_form
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", [1000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_the_bound_holds_for_more_than_95_percent_of_the_states_of_each_kind(kind: str, shots: int) -> None:
    measured, draw = KINDS[kind]()
    values, rng, inside, draws = all_values(measured), np.random.default_rng(7), 0, short_or_long(60, 2000)
    for _ in range(draws):
        exact, counts = measured.constant, []
        for each, of_group in zip(distributions(measured, draw(rng)), values, strict=True):
            exact += float(each @ of_group)
            rounded = largest_remainder(shots, each / each.sum())
            seen = {format(i, f"0{measured.num_qubits}b"): int(rounded[i]) for i in np.flatnonzero(rounded)}
            counts.append(Counts.from_bitstrings(seen, exact=True))
        made = estimate_observable(measured, counts)
        inside += abs(made.value - exact) <= made.rounding_bound + 1e-12
    assert inside >= 0.95 * draws


def test_the_energy_of_a_molecule_is_bounded_far_below_chemical_accuracy() -> None:
    measured, draw = molecule()
    rng, counts = np.random.default_rng(0), []
    for each in distributions(measured, draw(rng)):
        rounded = largest_remainder(MANY, each / each.sum())
        seen = {format(i, f"0{measured.num_qubits}b"): int(rounded[i]) for i in np.flatnonzero(rounded)}
        counts.append(Counts.from_bitstrings(seen, exact=True))
    assert 0.0 < estimate_observable(measured, counts).rounding_bound <= 0.5e-3


@pytest.mark.parametrize("shots", range(160, 193))
def test_outcomes_of_which_some_are_rounded_up_are_within_the_bound(shots: int) -> None:
    # 16 equal outcomes, of which those that are rounded up have all one value
    up = shots % 16
    values = np.where(np.arange(16) < up, 1.0, -1.0)
    rounded = np.where(np.arange(16) < up, shots // 16 + 1, shots // 16)
    seen = np.flatnonzero(rounded)
    counts = Counts.from_bitstrings({format(i, "04b"): int(rounded[i]) for i in seen}, exact=True)
    found = Rounding.of(values[seen], counts, 1.0, 1.0)
    assert abs(float(rounded @ values) / shots - values.mean()) <= found.bound + 1e-12


def test_bounds_of_alike_circuits_add_and_of_others_less() -> None:
    first, second = Rounding(9.0, {0.3: 2e-3}), Rounding(9.0, {0.6: 2e-3})
    assert (first + first).bound == pytest.approx(2.0 * first.bound)
    assert (first + second).bound == pytest.approx(math.sqrt(2.0) * first.bound)
    assert (first * -3.0).bound == pytest.approx(3.0 * first.bound)
    assert Rounding(1e-4, {0.3: 1.0}).bound == 1e-4  # the worst case is smaller
