"""A molecule on qubits: its Hamiltonian, its reference determinant and what it conserves."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.fermions import XZ, Encoding, FermionMapping, hamiltonian_terms, multiply, to_pauli_sum
from hybridloop.algorithms.molecule import Molecule
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class ElectronicProblem:
    """A molecule under an encoding. `hamiltonian` is in hartree, with the core energy inside its identity.

    `flips` spans, over GF(2), the sets of spin orbitals (as masks) whose occupation one application of the
    Hamiltonian can change; what lies outside breaks one of its Z2 symmetries (spin parities and point group).
    """

    molecule: Molecule
    encoding: Encoding
    hamiltonian: SparsePauliOp
    flips: tuple[int, ...]

    @property
    def reference_state(self) -> int:
        """The Hartree-Fock determinant's basis state; bit i is qubit i."""
        return self.encoding.basis_state(self.encoding.hartree_fock_occupation())

    @property
    def number_operator(self) -> SparsePauliOp:
        """How many electrons there are; under parity, of those states that have the problem's two parities."""
        return self._encoded(self._weighed_occupations(1.0, 1.0))

    @property
    def electron_deviation_operator(self) -> SparsePauliOp:
        """(N_α − n_α)² + (N_β − n_β)², which is 0 where the electrons are the problem's, else positive."""
        total: dict[tuple[int, int], float] = {}
        for weights, count in zip(((1.0, 0.0), (0.0, 1.0)), self.molecule.electrons, strict=True):
            off = self._weighed_occupations(*weights)
            off[0, 0] -= count
            for key, value in multiply(off, off).items():
                total[key] = total.get(key, 0.0) + value
        return self._encoded(total)

    def _weighed_occupations(self, alpha: float, beta: float) -> dict[tuple[int, int], float]:
        """Σ w_p n_p with n_p = (1 − Z_p) / 2 under Jordan-Wigner."""
        weights = [alpha] * self.molecule.norb + [beta] * self.molecule.norb
        return {(0, 0): 0.5 * sum(weights)} | {(0, 1 << p): -0.5 * weight for p, weight in enumerate(weights)}

    def _encoded(self, operator: XZ) -> SparsePauliOp:
        return to_pauli_sum(self.encoding.encode(operator), self.encoding.num_qubits)

    def conserves_symmetry(self, flip: int) -> bool:
        """Whether flipping these spin orbitals keeps every Z2 symmetry that the Hamiltonian has."""
        return _reduced(flip, self.flips) == 0


def electronic_problem(molecule: Molecule, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """The molecule under a mapping."""
    encoding = Encoding(mapping, molecule.norb, molecule.electrons)
    if encoding.num_qubits == 0:
        problem = f"{molecule.source} has one orbital, of which the parity mapping leaves no qubit"
        raise InputError("mapping", problem, "Choose jordan-wigner.")
    terms = hamiltonian_terms(molecule)
    hamiltonian = to_pauli_sum(encoding.encode(terms), encoding.num_qubits)
    basis: list[int] = []
    for flip in {x for x, _ in terms}:
        if remainder := _reduced(flip, basis):
            basis.append(remainder)
            basis.sort(reverse=True)
    return ElectronicProblem(molecule, encoding, hamiltonian, tuple(basis))


def _reduced(mask: int, basis: tuple[int, ...] | list[int]) -> int:
    """What is left of the mask after elimination by a basis with distinct leading bits, largest first."""
    for vector in basis:
        mask = min(mask, mask ^ vector)
    return mask
