"""Double factorization of a molecule's Hamiltonian: fragments that are diagonal after a rotation of the orbitals.

`python -m benchmarks.double_factorization` compares its shots and gates with those of groups of Pauli terms.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import XXPlusYYGate
from qiskit.quantum_info import Statevector
from scipy.linalg import null_space
from scipy.optimize import minimize

from benchmarks.accuracy_energies import MHA, fcidump
from benchmarks.measurement_fragments import Fragment
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.formats.fcidump import read_fcidump
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.electronic import Encoding, FermionMapping, electronic_problem
from hybridloop.algorithms.problems.exact import lowest_state
from hybridloop.algorithms.problems.molecule import Molecule, frozen_core
from hybridloop.settings.problem_objects.molecules import geometry_fcidump

Array = NDArray[np.float64]

ROUNDING = 1e-10  # hartree: smaller eigenvalues of the two-electron integrals come from rounding
SMALLEST_ANGLE = 1e-9  # radians: smaller rotations come from rounding
SMOOTHING = 1e-12  # squared hartree: keeps the gradient finite when a fragment vanishes
EXTRA_VARIANCE = 1e-3  # of each squared coefficient: what the reference state's covariances may lack
MAX_STEPS = 3000
COST_TOLERANCE = 1e-7  # relative change of the cost per step
PRECISION = 0.8 * MHA  # standard error of the table's shots


def double_factorization(molecule: Molecule, reference: Array | None = None) -> tuple[float, list[Fragment]]:
    """Split a Hamiltonian into a constant in hartree and fragments, each measured in a basis of rotated orbitals.

    H = constant + Σ_l [Σ_p d^l_p N_p(U_l) + Σ_pq g^l_pq N_p(U_l) N_q(U_l)], where N_p(U) counts the electrons of both
    spins in the orbital Σ_q U_qp φ_q: basis rotation grouping, W. J. Huggins et al., npj Quantum Inf. 7 (2021) 23.
    U_0 is the identity. The columns of the others are the eigenvectors of the l-th eigenvector of (pq|rs), read as a
    matrix. No eigenvector is left out, so the fragments sum to the Hamiltonian under Jordan-Wigner, for any electrons.

    The paper has one fragment with the one-body part, in its own basis, and g^l of rank one. Both are free: one-body
    parts may move between fragments (fluid fermionic fragments: S. Choi, I. Loaiza and A. F. Izmaylov, Quantum 7 (2023)
    889), and so may products N_p N_q, because those of all fragments are linearly dependent, as Pauli terms in several
    groups are (coefficient splitting: T.-C. Yen, A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14). Here
    they minimize Σ_l σ_l in a reference state, a convex problem. Multiples of the conserved number of electrons are
    among them. `reference` are amplitudes (k,) of `determinants_of(molecule)`, by default the CISD ground state; the
    sum is exact for any.
    """
    rotations = _rotations(molecule)
    covariances = _covariances(molecule, rotations, cisd_state(molecule) if reference is None else reference)
    coefficients = _split(*_constraints(molecule, rotations), covariances)
    return molecule.core_energy, [
        Fragment(rotation(orbitals), _CountEnergy.of(row))
        for orbitals, row in zip(rotations, coefficients, strict=True)
    ]


def cisd_state(molecule: Molecule) -> Array:
    """Return the lowest state of the Hartree-Fock determinant and its single and double excitations.

    Amplitudes (k,) of `determinants_of(molecule)`, normalized; those of higher excitations are 0.
    """
    states = determinants_of(molecule)
    alpha, beta = ((1 << count) - 1 for count in molecule.electrons)
    is_near = np.bitwise_count(states ^ (alpha | beta << molecule.norb)) <= 4  # an excitation changes two orbitals
    amplitudes = np.zeros(len(states))
    amplitudes[is_near] = lowest_state(hamiltonian_matrix(molecule, states[is_near]), molecule.norb)[1]
    return amplitudes


def rotation(orbitals: Array) -> QuantumCircuit:
    """Return the circuit (2 norb qubits, Jordan-Wigner) after which qubit p is the occupation of column p.

    Both spins are rotated alike, by Givens rotations of two CX each between neighbours. They zero the rows of the
    transposed matrix from the right (M. Reck et al., Phys. Rev. Lett. 73 (1994) 58). Signs of orbitals that remain are
    not corrected: they do not change occupations.
    """
    norb, rows = len(orbitals), orbitals.T.copy()
    circuit = QuantumCircuit(2 * norb)
    for row in range(norb - 1):
        for column, angle in _zero_right(rows, row, row):
            for spin in (0, norb):
                circuit.append(XXPlusYYGate(2.0 * angle, -np.pi / 2), [spin + column - 1, spin + column])
    return circuit.decompose("xx_plus_yy")


def _zero_right(rows: Array, row: int, place: int) -> list[tuple[int, float]]:
    """Rotate neighbouring columns of all rows so that a row is zero right of `place`; return columns and angles."""
    rotations = []
    for column in range(rows.shape[1] - 1, place, -1):
        left, right = rows[:, column - 1].copy(), rows[:, column].copy()
        if abs(right[row]) < SMALLEST_ANGLE:
            continue
        angle = float(np.arctan2(right[row], left[row]))
        rows[:, column - 1] = np.cos(angle) * left + np.sin(angle) * right
        rows[:, column] = np.cos(angle) * right - np.sin(angle) * left
        rotations.append((column, angle))
    return rotations


def _with_few_gates(orbitals: Array) -> Array:
    """Order the columns so that `rotation` takes few gates, where symmetry makes some of their elements zero.

    Greedy: the next column is the one whose last element comes first, after the rotations so far.
    """
    rows, order = orbitals.T.copy(), list[int]()
    for place in range(len(rows)):
        last = np.where(np.abs(rows) > SMALLEST_ANGLE, np.arange(len(rows)), 0).max(axis=1)
        row = min(set(range(len(rows))).difference(order), key=lambda row: (last[row], row))
        _zero_right(rows, row, place)
        order.append(row)
    return np.asarray(orbitals[:, order])


def rotated_probabilities(molecule: Molecule, orbitals: Array, state: Array) -> Array:
    """Return the probabilities (k,) of the occupations of rotated orbitals, in a state of `determinants_of`.

    The overlap of two determinants is a minor of the orbitals' overlaps (P.-O. Löwdin, Phys. Rev. 97 (1955) 1474).
    """
    alpha, beta = (
        np.linalg.det(orbitals[filled[:, None, :, None], filled[None, :, None, :]])
        for filled in _filled_orbitals(molecule)
    )
    amplitudes: Array = beta.T @ state.reshape(len(beta), len(alpha)) @ alpha
    return np.square(amplitudes).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class _CountEnergy:
    """The energy Σ_p d_p N_p + Σ_p≤q g_pq N_p N_q of outcomes, with N_p the electrons of both spins in orbital p."""

    linear: Array
    quadratic: Array

    @classmethod
    def of(cls, coefficients: Array) -> _CountEnergy:
        """Create from the coefficients of `_features`."""
        norb = next(n for n in range(1, len(coefficients)) if n * (n + 3) // 2 == len(coefficients))
        quadratic = np.zeros((norb, norb))
        quadratic[np.triu_indices(norb)] = coefficients[:-norb]
        return cls(coefficients[-norb:], quadratic)

    def __call__(self, outcomes: NDArray[np.int64]) -> Array:
        norb = len(self.linear)
        bits = outcomes[:, None] >> np.arange(2 * norb) & 1
        counts = (bits[:, :norb] + bits[:, norb:]).astype(float)
        return np.asarray(counts @ self.linear + ((counts @ self.quadratic) * counts).sum(axis=1))


def _rotations(molecule: Molecule) -> list[Array]:
    """Return the orbitals (norb, norb) of each fragment, as columns."""
    norb = molecule.norb
    weights, vectors = np.linalg.eigh(molecule.two_body.reshape(norb**2, norb**2))
    matrices = vectors.T[np.abs(weights) > ROUNDING].reshape(-1, norb, norb)
    return [np.eye(norb), *(_with_few_gates(np.linalg.eigh(matrix + matrix.T)[1]) for matrix in matrices)]


def _constraints(molecule: Molecule, rotations: Sequence[Array]) -> tuple[Array, Array]:
    """Return the matrix and the right side of the linear equations for all fragments' coefficients.

    They equate the unique integrals: (½ (pq|rs)) of E_pq E_rs, and those of the one-body part that remains.
    """
    norb = molecule.norb
    pairs = np.tril_indices(norb)
    unique = np.tril_indices(len(pairs[0]))
    columns = []
    for orbitals in rotations:
        densities = np.einsum("ap,bp->pab", orbitals, orbitals)[:, *pairs]
        for p, q in zip(*np.triu_indices(norb), strict=True):
            both = np.outer(densities[p], densities[q])
            columns.append(np.concatenate([0.5 * (both + both.T)[unique], np.zeros(len(pairs[0]))]))
        columns += [np.concatenate([np.zeros(len(unique[0])), density]) for density in densities]
    two_body = molecule.two_body[pairs][:, *pairs]
    one_body = molecule.one_body - 0.5 * np.einsum("prrq->pq", molecule.two_body)
    return np.array(columns).T, np.concatenate([0.5 * two_body[unique], one_body[pairs]])


def _covariances(molecule: Molecule, rotations: Sequence[Array], state: Array) -> Array:
    """Return the covariances (fragments, f, f) of each fragment's `_features` in a state."""
    features = _features(molecule)
    covariances = []
    for orbitals in rotations:
        probabilities = rotated_probabilities(molecule, orbitals, state)
        centered = features - probabilities @ features
        covariances.append(centered.T @ (probabilities[:, None] * centered))
    return np.array(covariances)


def _features(molecule: Molecule) -> Array:
    """Return the products N_p N_q, p ≤ q, and the counts N_p of each determinant, as (k, f)."""
    alpha, beta = (
        np.array([np.bincount(row, minlength=molecule.norb) for row in filled]) for filled in _filled_orbitals(molecule)
    )
    counts = (beta[:, None] + alpha[None]).reshape(-1, molecule.norb).astype(float)
    p, q = np.triu_indices(molecule.norb)
    return np.concatenate([counts[:, p] * counts[:, q], counts], axis=1)


def _filled_orbitals(molecule: Molecule) -> list[NDArray[np.int64]]:
    """Return the filled orbitals (k, electrons) of alpha and of beta, in the order of `determinants_of`."""
    return [
        np.array(sorted(combinations(range(molecule.norb), count), key=lambda filled: filled[::-1]), np.int64)
        for count in molecule.electrons
    ]


def _split(equations: Array, integrals: Array, covariances: Array) -> Array:
    """Return the coefficients (fragments, f) that solve the equations with the least Σ_l σ_l."""
    some = np.linalg.lstsq(equations, integrals, rcond=None)[0]
    free = null_space(equations)

    def coefficients_of(parameters: Array) -> Array:
        return np.asarray(some + free @ parameters).reshape(len(covariances), -1)

    def cost(parameters: Array) -> tuple[float, Array]:
        coefficients = coefficients_of(parameters)
        half_slope = np.einsum("lij,lj->li", covariances, coefficients) + EXTRA_VARIANCE * coefficients
        deviations = np.sqrt((coefficients * half_slope).sum(axis=1) + SMOOTHING)
        return float(deviations.sum()), np.asarray(free.T @ (half_slope / deviations[:, None]).reshape(-1))

    start = np.zeros(free.shape[1])
    optimum = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS, "ftol": COST_TOLERANCE})
    return coefficients_of(optimum.x)


def _pauli_fragment(group: MeasurementGroup, num_qubits: int) -> Fragment:
    circuit = group.measurement_circuit(QuantumCircuit(num_qubits))
    circuit.remove_final_measurements()

    def energies(outcomes: NDArray[np.int64]) -> Array:
        parities = np.bitwise_count(outcomes[:, None] & np.array(group.masks)) & 1
        return np.asarray((1.0 - 2.0 * parities) @ group.coefficients)

    return Fragment(circuit, energies)


@dataclass(frozen=True, slots=True)
class Row:
    """A way of measuring: its circuits, their mean and largest two-qubit gates, and Σ σ in hartree."""

    way: str
    circuits: int
    mean_gates: float
    most_gates: int
    deviations: float

    @classmethod
    def of(cls, way: str, fragments: Sequence[Fragment], state: Array) -> Row:
        """Create from fragments, for the amplitudes of a state of all qubits."""
        gates = [fragment.two_qubit_gates for fragment in fragments]
        deviations = sum(standard_deviation(fragment, state) for fragment in fragments)
        return cls(way, len(fragments), float(np.mean(gates)), max(gates), deviations)

    @property
    def shots(self) -> float:
        """The shots of the standard error `PRECISION`, shared out by Neyman allocation."""
        return (self.deviations / PRECISION) ** 2


def standard_deviation(fragment: Fragment, state: Array) -> float:
    """Return the standard deviation of a shot in hartree, for the amplitudes of a state of all qubits."""
    probabilities = Statevector(state).evolve(fragment.basis_change).probabilities()
    energies = fragment.energies(np.arange(len(state)))
    return float(np.sqrt(probabilities @ (energies - probabilities @ energies) ** 2))


def on_all_qubits(molecule: Molecule, mapping: FermionMapping, state: Array) -> Array:
    """Return the amplitudes (2^qubits,) of a state whose amplitudes are of `determinants_of(molecule)`."""
    encoding = Encoding(mapping, molecule.norb, molecule.electrons)
    amplitudes = np.zeros(2**encoding.num_qubits)
    amplitudes[[encoding.basis_state(int(each)) for each in determinants_of(molecule)]] = state
    return amplitudes


def groups_row(molecule: Molecule, mapping: FermionMapping, grouping: Grouping, state: Array) -> Row:
    """Measure a state of `determinants_of(molecule)` in groups of Pauli terms, as a VQE of the molecule does."""
    problem = electronic_problem(molecule, mapping)
    reference = ReferenceState.perturbed(problem.hamiltonian, problem.reference_state)
    grouped = group_hamiltonian(problem.hamiltonian, grouping, reference)
    fragments = [_pauli_fragment(group, grouped.num_qubits) for group in grouped.groups]
    return Row.of(f"{grouping}, {mapping}", fragments, on_all_qubits(molecule, mapping, state))


def factorized_row(molecule: Molecule, reference: Array, state: Array) -> Row:
    """Measure a state of `determinants_of(molecule)` by double factorization with a reference state."""
    _, fragments = double_factorization(molecule, reference)
    amplitudes = on_all_qubits(molecule, FermionMapping.JORDAN_WIGNER, state)
    kind = "Hartree-Fock" if np.count_nonzero(reference) == 1 else "CISD"
    return Row.of(f"double factorization, {kind}", fragments, amplitudes)


def hartree_fock_state(molecule: Molecule) -> Array:
    """Return the Hartree-Fock determinant as amplitudes (k,) of `determinants_of(molecule)`: its first."""
    return np.asarray(np.eye(1, count_determinants(molecule))[0])


def ground_state(molecule: Molecule) -> Array:
    """Return the exact ground state as amplitudes (k,) of `determinants_of(molecule)`."""
    return lowest_state(hamiltonian_matrix(molecule, determinants_of(molecule)), molecule.norb)[1]


def molecules() -> dict[str, Molecule]:
    """Return LiH, BeH2, H2O and N2 in STO-3G with frozen core orbitals."""
    beryllium = [("Be", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.3264)), ("H", (0.0, 0.0, -1.3264))]
    nitrogen = [("N", (0.0, 0.0, 0.0)), ("N", (0.0, 0.0, 1.1))]
    return {name: read_fcidump(fcidump(name), name) for name in ("LiH_1.595_fc", "H2O_eq_fc")} | {
        name: frozen_core(read_fcidump(geometry_fcidump(atoms, name, basis="sto-3g", charge=0, spin=None), name), core)
        for name, atoms, core in (("BeH2_1.3264_fc", beryllium, 1), ("N2_1.1_cas10e8o", nitrogen, 2))
    }


def main() -> int:
    print(f"shots for a standard error of {PRECISION / MHA:g} mHa in the exact ground state")
    print(f"{'':<55} {'shots':>9} {'circuits':>9} {'two-qubit gates, mean':>22} {'most':>5}")
    for name, molecule in molecules().items():
        state = ground_state(molecule)
        grouped = [groups_row(molecule, *ways, state) for ways in product(FermionMapping, Grouping)]
        factorized = [factorized_row(molecule, make(molecule), state) for make in (hartree_fock_state, cisd_state)]
        for row in (*grouped, *factorized):
            print(
                f"{name + ', ' + row.way:<55} {row.shots:>9.2e} {row.circuits:>9} {row.mean_gates:>22.1f} "
                f"{row.most_gates:>5}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
