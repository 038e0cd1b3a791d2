"""Electronic structure problem: a molecule's Hamiltonian on qubits, with its reference determinant and symmetries."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.problems.fermions import (
    Encoding,
    FermionMapping,
    SymplecticOperator,
    hamiltonian_terms,
    multiply,
    to_pauli_sum,
)
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class ElectronicProblem:
    """A molecule under a fermion-to-qubit encoding.

    `hamiltonian` is in hartree; its identity term includes the core energy. `flips` is a basis over GF(2) of the sets
    of spin orbitals (as bit masks) whose occupation the Hamiltonian can change. A set outside its span breaks one of
    the Hamiltonian's Z2 symmetries (spin parities and point group).
    """

    molecule: Molecule
    encoding: Encoding
    hamiltonian: SparsePauliOp
    flips: tuple[int, ...]

    @property
    def reference_state(self) -> int:
        """The basis state of the Hartree-Fock determinant; bit i is qubit i."""
        return self.encoding.basis_state(self.encoding.hartree_fock_occupation())

    @property
    def number_operator(self) -> SparsePauliOp:
        """The electron number operator.

        Under parity mapping it is valid for states with the problem's two parities.
        """
        return self._encode(self._weighted_number_operator(1.0, 1.0))

    @property
    def electron_deviation_operator(self) -> SparsePauliOp:
        """The operator (N_α − n_α)² + (N_β − n_β)²: 0 for states with the problem's electrons, else positive."""
        total: dict[tuple[int, int], float] = {}
        for weights, count in zip(((1.0, 0.0), (0.0, 1.0)), self.molecule.electrons, strict=True):
            deviation = self._weighted_number_operator(*weights)
            deviation[0, 0] -= count
            for key, value in multiply(deviation, deviation).items():
                total[key] = total.get(key, 0.0) + value
        return self._encode(total)

    def _weighted_number_operator(self, alpha: float, beta: float) -> dict[tuple[int, int], float]:
        """Return Σ w_p n_p with n_p = (1 − Z_p) / 2 under Jordan-Wigner."""
        weights = [alpha] * self.molecule.norb + [beta] * self.molecule.norb
        return {(0, 0): 0.5 * sum(weights)} | {(0, 1 << p): -0.5 * weight for p, weight in enumerate(weights)}

    def _encode(self, operator: SymplecticOperator) -> SparsePauliOp:
        return to_pauli_sum(self.encoding.encode(operator), self.encoding.num_qubits)

    def conserves_symmetry(self, flip: int) -> bool:
        """Return whether flipping the spin orbitals of the mask `flip` keeps every Z2 symmetry of the Hamiltonian."""
        return _reduce(flip, self.flips) == 0


def electronic_problem(molecule: Molecule, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """Map a molecule to qubits.

    Raises InputError for one orbital under parity mapping, which leaves no qubit.
    """
    encoding = Encoding(mapping, molecule.norb, molecule.electrons)
    if encoding.num_qubits == 0:
        problem = f"{molecule.source} has one orbital: parity mapping leaves no qubit"
        raise InputError("mapping", problem, "Choose the mapping jordan-wigner.")
    terms = hamiltonian_terms(molecule)
    hamiltonian = to_pauli_sum(encoding.encode(terms), encoding.num_qubits)
    basis: list[int] = []
    for flip in {x for x, _ in terms}:
        if remainder := _reduce(flip, basis):
            basis.append(remainder)
            basis.sort(reverse=True)
    return ElectronicProblem(molecule, encoding, hamiltonian, tuple(basis))


def _reduce(mask: int, basis: tuple[int, ...] | list[int]) -> int:
    """Reduce a mask by Gaussian elimination over GF(2); the basis has distinct leading bits, largest first."""
    for vector in basis:
        mask = min(mask, mask ^ vector)
    return mask
