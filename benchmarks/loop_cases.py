"""Cases of the measured search: circuit, start, Hamiltonian, target, and the circuit's lowest energy.

The measured search has a classical optimizer and no simulation. The lowest energies are those of `benchmarks.loop
--minima`: ten exact searches on the same circuit, the first from the case's own start.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse.linalg import eigsh

from benchmarks.accuracy_energies import fcidump
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.problem_kinds import max_cut
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.hamiltonian_variational import hamiltonian_variational
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.problems.electronic import electronic_problem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.qaoa.angles import with_tree_angles
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.algorithms.batched_state_helpers import gates_of
from tests.algorithms.gate_states import evolve, initial_states
from tests.spin_models import HEISENBERG, chain, ring, spin_model

CHEMICAL_ACCURACY = 1.6e-3  # hartree
SPREAD_SHARE = 1e-3  # target of a spin model or a cut, in parts of the spectrum's spread
DIFFERENCE_RAD = 1e-5  # of gradients: third order and rounding are below 1e-9

Made = tuple[Ansatz, SparsePauliOp, float | None, NDArray[np.float64] | None]  # the last are `exact` and `scales`


@dataclass(frozen=True, slots=True, eq=False)
class LoopCase:
    """A case: the ansatz at its start, the Hamiltonian in qubit-wise groups, and the target above `minimum`.

    `two_qubit_error` is the strength of the depolarizing noise after each gate on two qubits, a tenth of it after the
    others. Energies at angles are exact and without noise in any case. `exact` is the lowest energy of the problem, the
    bound of a run's claim; None for a cut, whose mean has none. `scales` (n,) are comparable sizes of angles whose
    frequencies are unknown.
    """

    name: str
    ansatz: Ansatz
    measured: Observable
    matrix: Any  # sparse, of SciPy
    target: float
    minimum: float
    exact: float | None = None
    two_qubit_error: float = 0.0
    scales: NDArray[np.float64] | None = None

    def energies(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the exact energy (k,) at each of the angles (k, n)."""
        circuit = self.ansatz.circuit
        states = evolve(initial_states(len(points), circuit.num_qubits), gates_of(circuit), points)
        applied = (self.matrix @ states.T).T
        energies: NDArray[np.float64] = (states.conj() * applied).sum(axis=1).real
        return energies

    def energy_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the exact energy at the angles (n,) and its gradient (n,) by central differences."""
        shifts = DIFFERENCE_RAD * np.eye(len(point))
        energy, *others = self.energies(np.vstack([point, point + shifts, point - shifts]))
        above, below = np.split(np.array(others), 2)
        return float(energy), (above - below) / (2.0 * DIFFERENCE_RAD)

    def errors(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the exact energies above the circuit's lowest, in targets."""
        return (self.energies(points) - self.minimum) / self.target

    def work(self) -> dict[str, Any]:
        """Return the case as JSON for other libraries: gates, start, terms, and the measured groups."""
        operator, qubits = self.measured.operator, self.measured.num_qubits
        empty = QuantumCircuit(qubits)
        return {
            "name": self.name,
            "qubits": qubits,
            "gates": gates_of(self.ansatz.circuit),
            "frequencies": self.ansatz.frequencies,
            "start": self.ansatz.initial_point.tolist(),
            "terms": [[label, float(value.real)] for label, value in operator.to_list()],
            "constant": self.measured.constant,
            "groups": [
                {
                    "gates": gates_of(group.measurement_circuit(empty)),
                    "masks": group.masks,
                    "coefficients": group.coefficients.tolist(),
                }
                for group in self.measured.groups
            ],
            "two_qubit_error": self.two_qubit_error,
            "target": self.target,
            "minimum": self.minimum,
        }


def _molecule(source: str) -> Made:
    problem = electronic_problem(read_fcidump(fcidump(source), source), FermionMapping.PARITY)
    return uccsd(problem), problem.hamiltonian, exact_ground_energy(problem.molecule), None


def _spins(terms: Mapping[str, float], layers: int) -> Made:
    operator = SparsePauliOp(list(terms), list(terms.values()))
    lowest = float(spectrum_ends(operator.to_matrix(sparse=True))[0])
    return hamiltonian_variational(operator, layers), operator, lowest, None


def _with_fields(terms: dict[str, float], letter: str, fields: list[float]) -> dict[str, float]:
    """Return the terms with a field on each qubit along an axis."""
    count = len(fields)
    return terms | {"I" * (count - 1 - i) + letter + "I" * i: field for i, field in enumerate(fields)}


def _random_sum(qubits: int, layers: int, seed: int) -> Made:
    """Return two terms of random letters on each bond of a ring, and a field of a random letter on each qubit."""
    generator = np.random.default_rng(seed)
    terms: dict[str, float] = {}
    for i, j in [*ring(qubits), *ring(qubits), *((i, i) for i in range(qubits))]:
        label = ["I"] * qubits
        for qubit in {i, j}:
            label[-1 - qubit] = "XYZ"[int(generator.integers(3))]
        terms["".join(label)] = float(generator.normal())
    return _spins(terms, layers)


def _cut(nodes: int, layers: int, seed: int) -> Made:
    """Return QAOA of a weighted cut of a ring with diagonals, from the angles of its tree of couplings."""
    generator = np.random.default_rng(seed)
    bonds = [*ring(nodes), *((i, i + nodes // 2) for i in range(nodes // 2))]
    graph = graph_from_edges(nodes, [(i, j, float(generator.uniform(0.2, 1.8))) for i, j in bonds])
    circuit = with_tree_angles(qaoa_circuit(max_cut(graph), layers=layers))[0]
    unknown = ((),) * (2 * layers)
    ansatz = Ansatz(f"qaoa-{layers}", circuit.circuit, circuit.initial_point, unknown, is_near=True)
    return ansatz, circuit.cost.operator(), None, circuit.scales


def spectrum_ends(matrix: Any) -> tuple[float, float]:
    """Return the lowest and the highest eigenvalue of a sparse matrix."""
    start = np.random.default_rng(0).normal(size=matrix.shape[0])
    low, high = (float(eigsh(matrix, k=1, which=which, v0=start)[0][0]) for which in ("SA", "LA"))
    return low, high


_STAGGERED = _with_fields(spin_model(5, chain(5), {"XX": 1.0, "YY": 1.0}), "Z", [0.5 * (-1) ** i for i in range(5)])
_TILTED = _with_fields(spin_model(6, chain(6), {"ZZ": -1.0}, "X"), "Z", [-0.5] * 6)
_SOURCES: Mapping[str, tuple[Callable[[], Made], float]] = {  # with the lowest energies
    "H3+": (lambda: _molecule("H3+_0.9"), -1.267587),
    "LiH": (lambda: _molecule("LiH_1.595_fc"), -7.882175),
    "H4 chain": (lambda: _molecule("H4_1"), -2.166302),
    "Ising ring of 7": (lambda: _spins(spin_model(7, ring(7), {"ZZ": -1.0}, "X"), 7), -8.987918),
    "Ising chain of 6 in a tilted field": (lambda: _spins(_TILTED, 4), -9.458196),
    "Heisenberg chain of 4": (lambda: _spins(spin_model(4, chain(4), HEISENBERG), 4), -6.464102),
    "XY chain of 5 in staggered fields": (lambda: _spins(_STAGGERED, 5), -6.341619),
    "random sum of 3 qubits": (lambda: _random_sum(3, 3, 7), -4.091178),
    "random sum of 5 qubits": (lambda: _random_sum(5, 2, 7), -5.74516),
    "weighted cut of 8": (lambda: _cut(8, 2, 7), -9.969316),
    "weighted cut of 12": (lambda: _cut(12, 3, 7), -16.754184),
}
NOISY = "H3+ with gate noise of 0.2 %"
NAMES = (*_SOURCES, NOISY)


@functools.cache
def loop_case(name: str) -> LoopCase:
    """Return a case by its name."""
    source = "H3+" if name == NOISY else name
    make, minimum = _SOURCES[source]
    ansatz, operator, exact, scales = make()
    matrix = operator.to_matrix(sparse=True)
    if source in ("H3+", "LiH", "H4 chain"):
        target = CHEMICAL_ACCURACY
    else:
        low, high = spectrum_ends(matrix)
        target = SPREAD_SHARE * (high - low)
    error = 0.002 if name == NOISY else 0.0
    return LoopCase(name, ansatz, observable(operator), matrix, target, minimum, exact, error, scales)
